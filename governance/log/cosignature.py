r"""Cosignatures: "I saw this log at this size, and it had grown from what I saw before".

Byte for byte as https://c2sp.org/tlog-cosignature. A cosignature is one more signature line on a
checkpoint; its bytes are a time, 8 bytes, and a signature by the witness over::

    cosignature/v1                          Ed25519: this, and then the checkpoint's whole text
    time 1679315147

    "subtree/v1\n\0" name time origin 0 size root      ML-DSA-44: these, binary, lengths in a byte

ML-DSA-44 (FIPS 204) is there because the evidence is kept for ten years. A build of
``cryptography`` without it cannot sign, and does not accept, such a cosignature: it fails closed.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey, MLDSA44PublicKey

from fedtrace.governance.log.checkpoint import parse_checkpoint
from fedtrace.governance.log.keys import KeyKind, VerifierKey
from fedtrace.governance.log.note import NoteError, NoteSignature, parse_note, signature_line

COSIGNATURE_LIMIT = 256
"""More signature lines on one checkpoint are not verified; a note has no room for many more."""

_TIME = struct.Struct(">Q")
_LABEL = b"subtree/v1\n\x00"
_LATEST = 2**63 - 1
_SIGNATURE_BYTES = {KeyKind.COSIGNATURE_ED25519: 64, KeyKind.COSIGNATURE_ML_DSA_44: 2420}


class Cosigner(Protocol):
    """A witness's private key."""

    @property
    def verifier(self) -> VerifierKey:
        """The public half, under the witness's name."""
        ...

    def cosign(self, text: str, *, now: datetime) -> str:
        """The signature line over a checkpoint's text, without its newline."""
        ...


@dataclass(frozen=True, slots=True)
class Ed25519Cosigner:
    """Cosigns with Ed25519.

    Args:
        name: the witness's.
        private_key: may also sign a log's checkpoints: the two messages cannot be confused.
    """

    name: str
    private_key: Ed25519PrivateKey
    verifier: VerifierKey = field(init=False)

    def __post_init__(self) -> None:
        raw = self.private_key.public_key().public_bytes_raw()
        key = VerifierKey(name=self.name, kind=KeyKind.COSIGNATURE_ED25519, public_key=raw)
        object.__setattr__(self, "verifier", key)

    def __repr__(self) -> str:
        return f"Ed25519Cosigner({self.name})"

    def cosign(self, text: str, *, now: datetime) -> str:
        """See `Cosigner`.

        Raises:
            NoteError: the text is not a checkpoint.
        """
        return _cosign(text, self.verifier, self.private_key.sign, now)


@dataclass(frozen=True, slots=True)
class MlDsaCosigner:
    """Cosigns with ML-DSA-44.

    Args:
        name: the witness's.
        private_key: used for nothing else.
    """

    name: str
    private_key: MLDSA44PrivateKey
    verifier: VerifierKey = field(init=False)

    def __post_init__(self) -> None:
        raw = self.private_key.public_key().public_bytes_raw()
        key = VerifierKey(name=self.name, kind=KeyKind.COSIGNATURE_ML_DSA_44, public_key=raw)
        object.__setattr__(self, "verifier", key)

    def __repr__(self) -> str:
        return f"MlDsaCosigner({self.name})"

    def cosign(self, text: str, *, now: datetime) -> str:
        """See `Cosigner`.

        Raises:
            NoteError: the text is not a checkpoint, or has lines that ML-DSA does not cover.
        """
        return _cosign(text, self.verifier, self.private_key.sign, now)


def cosigned(note: bytes, lines: Iterable[str]) -> bytes:
    """A checkpoint with more signature lines, none of them verified."""
    return note + "".join(f"{line}\n" for line in lines).encode()


def cosignatures(note: bytes, witnesses: Iterable[VerifierKey]) -> dict[str, datetime]:
    """Which of these witnesses cosigned a checkpoint, and when; the log's signature is not asked.

    Lines of unknown keys neither help nor harm. One that claims to be by a known key must be
    valid. A witness that signed twice counts once, with the later time; one that has several keys
    counts once.

    Args:
        note: the checkpoint.
        witnesses: whose cosignatures count.

    Returns:
        Witness name -> the time that it wrote, in UTC.

    Raises:
        NoteError: not a checkpoint, too many lines, or an invalid cosignature (``cosignature``).
    """
    text, signatures = parse_note(note)
    parse_checkpoint(text)
    known = {(key.name, key.key_id): key for key in witnesses}
    return _times(text, signatures, known)


def require_cosignature(text: str, signature: NoteSignature, key: VerifierKey) -> datetime | None:
    """Verify one cosignature; the time that it states, None where it states none.

    Raises:
        NoteError: ``cosignature``, it is not valid.
    """
    length = _SIGNATURE_BYTES.get(key.kind)
    blob = signature.signature
    if length is None or len(blob) != _TIME.size + length:
        raise NoteError("cosignature", f"the cosignature of {key.name} is not well formed")
    seconds = _TIME.unpack_from(blob)[0]
    if seconds > _LATEST:
        raise NoteError("cosignature", f"the cosignature of {key.name} has no possible time")
    message = _message(text, key, seconds)
    try:
        if key.kind is KeyKind.COSIGNATURE_ED25519:
            ed25519 = Ed25519PublicKey.from_public_bytes(key.public_key)
            ed25519.verify(blob[_TIME.size :], message)
        else:
            ml_dsa = MLDSA44PublicKey.from_public_bytes(key.public_key)
            ml_dsa.verify(blob[_TIME.size :], message)
    except InvalidSignature as error:
        raise NoteError("cosignature", f"the cosignature of {key.name} is not valid") from error
    except UnsupportedAlgorithm as error:
        sentence = f"this machine cannot verify the ML-DSA-44 cosignature of {key.name}"
        raise NoteError("cosignature", sentence) from error
    return _to_time(seconds, key)


def _times(
    text: str,
    signatures: Sequence[NoteSignature],
    known: Mapping[tuple[str, bytes], VerifierKey],
) -> dict[str, datetime]:
    if len(signatures) > COSIGNATURE_LIMIT:
        sentence = f"it has {len(signatures)} signatures, at most {COSIGNATURE_LIMIT} are verified"
        raise NoteError("size", sentence)
    times: dict[str, datetime] = {}
    for signature in signatures:
        key = known.get((signature.name, signature.key_id))
        if key is None:
            continue
        time = require_cosignature(text, signature, key)
        if time is not None:
            times[key.name] = max(time, times.get(key.name, time))
    return times


def _cosign(text: str, verifier: VerifierKey, sign: Callable[[bytes], bytes], now: datetime) -> str:
    parse_checkpoint(text)
    seconds = int(now.timestamp())
    blob = _TIME.pack(seconds) + sign(_message(text, verifier, seconds))
    return signature_line(verifier.name, verifier.key_id, blob)


def _message(text: str, key: VerifierKey, seconds: int) -> bytes:
    """What a witness signs.

    Raises:
        NoteError: ``format``, a checkpoint that ML-DSA cosignatures cannot cover.
    """
    if key.kind is KeyKind.COSIGNATURE_ED25519:
        return f"cosignature/v1\ntime {seconds}\n{text}".encode()
    checkpoint = parse_checkpoint(text)
    origin = checkpoint.origin.encode()
    # Extension lines are not in the signed message: they would look cosigned and not be.
    if checkpoint.to_text() != text or len(origin) > 255:
        raise NoteError("format", "an ML-DSA-44 cosignature covers origin, size and root alone")
    name = key.name.encode()
    return b"".join(
        (
            _LABEL,
            bytes([len(name)]),
            name,
            _TIME.pack(seconds),
            bytes([len(origin)]),
            origin,
            struct.pack(">QQ", 0, checkpoint.size),
            checkpoint.root,
        )
    )


def _to_time(seconds: int, key: VerifierKey) -> datetime | None:
    if seconds == 0:
        return None
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, ValueError, OSError) as error:
        sentence = f"the cosignature of {key.name} has no possible time"
        raise NoteError("cosignature", sentence) from error
