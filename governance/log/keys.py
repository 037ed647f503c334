"""Verifier keys: whose signature on a note counts, under which name, and of which kind.

As text (https://c2sp.org/signed-note, "verifier keys") a key is its name, its id and, in base64,
one byte that says the kind and the public key::

    witness.example.com/w1+3b6a27bc+BNdamAGCsQq31Uv+08lkBzoO4XLz2qYjJa8CGmj3B1Ea

The name and the kind are part of the id, so one key pair can sign as a log (kind 1) and cosign as a
witness (kind 4) without one signature ever being taken for the other.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from enum import IntEnum

from fedtrace.governance.log.note import KEY_ID_BYTES, NoteError, decode_base64, encode_base64
from fedtrace.governance.signing import require_key_of_one


class KeyKind(IntEnum):
    """The signature type byte of C2SP signed-note; only these are understood."""

    ED25519 = 0x01
    COSIGNATURE_ED25519 = 0x04
    COSIGNATURE_ML_DSA_44 = 0x06


KEY_BYTES = {
    KeyKind.ED25519: 32,
    KeyKind.COSIGNATURE_ED25519: 32,
    KeyKind.COSIGNATURE_ML_DSA_44: 1312,
}
"""How long a public key of each kind is."""

KEY_NAME = re.compile(r"[^\s+]{1,255}")
"""No spaces, no plus signs; at most as many bytes as an ML-DSA cosignature can name."""

_TEXT = re.compile(r"([^+]+)\+([0-9a-f]{8})\+(.+)", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifierKey:
    """One public key that counts.

    Attributes:
        name: the key's name on signature lines.
        kind: how it signs, and what its signature says.
        public_key: raw bytes.
        key_id: the 4 bytes that stand before each of its signatures.

    Raises:
        ValueError: a name that no signature line can hold, or a key of another length.
    """

    name: str
    kind: KeyKind
    public_key: bytes
    key_id: bytes = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not KEY_NAME.fullmatch(self.name) or len(self.name.encode()) > 255:
            raise ValueError("a key's name has 1 to 255 bytes, no spaces and no plus signs")
        if len(self.public_key) != KEY_BYTES[self.kind]:
            raise ValueError(
                f"a key of kind {self.kind:#04x} has {KEY_BYTES[self.kind]} bytes, not "
                f"{len(self.public_key)}"
            )
        if self.kind is not KeyKind.COSIGNATURE_ML_DSA_44:
            require_key_of_one(self.public_key)
        named = self.name.encode() + b"\n" + bytes([self.kind]) + self.public_key
        object.__setattr__(self, "key_id", hashlib.sha256(named).digest()[:KEY_ID_BYTES])

    def to_text(self) -> str:
        """The one line that configures a verifier with this key."""
        encoded = encode_base64(bytes([self.kind]) + self.public_key)
        return f"{self.name}+{self.key_id.hex()}+{encoded}"

    @classmethod
    def from_text(cls, text: str) -> VerifierKey:
        """Read a key's line.

        Raises:
            ValueError: not a verifier key, of a kind that is not understood, or its id is not its
                own: somebody mistyped a part of it.
        """
        parts = _TEXT.fullmatch(text)
        if parts is None:
            raise ValueError("a verifier key is name+id+key")
        name, printed_id, encoded = parts.groups()
        try:
            raw = decode_base64(encoded)
        except NoteError as error:
            raise ValueError("a verifier key ends in base64") from error
        if not raw or raw[0] not in list(KeyKind):
            raise ValueError("a verifier key of a kind that this release does not know")
        key = cls(name=name, kind=KeyKind(raw[0]), public_key=raw[1:])
        if key.key_id.hex() != printed_id:
            raise ValueError(f"the verifier key of {name} does not have the id {printed_id}")
        return key
