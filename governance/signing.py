"""Signatures: Ed25519 keys, DSSE envelopes, thresholds of distinct keys.

The cryptography is securesystemslib's; what is added here is that every length has a limit, that
one key under two names counts once, and that the answer names who signed. The format is DSSE v1
(https://github.com/secure-systems-lab/dsse), and a key id is securesystemslib's: the SHA-256 of
the canonical key description.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Generic, Protocol, TypeVar

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from pydantic import AfterValidator
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import FormatError, VerificationError
from securesystemslib.signer import Signature, SSlibKey

ENVELOPE_LIMIT_BYTES = 2 * 1024 * 1024
"""A plan of 1,000 members that two people each signed stays below; more is not parsed."""

SIGNATURE_LIMIT = 4_000
"""More signatures in one envelope are not looked at."""


_FIELD = 2**255 - 19
_OF_ORDER_8 = 0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826
_OF_SMALL_ORDER = {0, 1, _FIELD - 1, _OF_ORDER_8, _FIELD - _OF_ORDER_8}
"""y of the points of order 1, 2, 4 and 8 of edwards25519; x is there with both signs."""


def is_of_small_order(key: bytes) -> bool:
    """Whether some signature by this Ed25519 key, 32 bytes, fits messages that nobody signed.

    RFC 8032's check lets such keys pass: for the point of order 1 one signature fits every message.
    Who agreed to a document could then not be told (Chalkias, Garillot and Nikolaenko 2020, "Taming
    the many EdDSAs", section 3). All encodings count, also those that are not reduced.
    """
    return (int.from_bytes(key, "little") & (2**255 - 1)) % _FIELD in _OF_SMALL_ORDER


def require_key_of_one(key: bytes) -> None:
    """Refuse an Ed25519 key, 32 bytes, that is everybody's.

    Raises:
        ValueError: it is of small order.
    """
    if is_of_small_order(key):
        raise ValueError("anybody can sign for a key of small order, so it stands for nobody")


def _is_public_key(text: str) -> str:
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError("a public key is base64 of 32 bytes") from error
    if len(raw) != 32 or base64.b64encode(raw).decode("ascii") != text:
        raise ValueError("a public key is base64 of 32 bytes")
    require_key_of_one(raw)
    return text


Named = TypeVar("Named", str, tuple[str, int])
"""What a caller calls a key."""

PublicKey = Annotated[str, AfterValidator(_is_public_key)]
"""An Ed25519 public key: standard base64 of its 32 raw bytes, 44 characters."""


class SignatureError(ValueError):
    """An envelope that cannot be read, or too few of the right keys signed it."""


class SignerError(ValueError):
    """A key that did not sign; nothing was written."""


class PassphraseError(SignerError):
    """A key whose passphrase is missing or another one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedPayload(Generic[Named]):
    """Bytes, and who signed them.

    Attributes:
        payload: the signed bytes.
        signers: names of the keys with a valid signature, sorted.
    """

    payload: bytes
    signers: tuple[Named, ...]


class Signer(Protocol):
    """What signs: a port, so that a key may be in a file, on a token or behind a command."""

    @property
    def public_key(self) -> PublicKey:
        """The public half of the key that signs."""

    def sign(self, message: bytes) -> bytes:
        """The Ed25519 signature (RFC 8032) over a message, 64 bytes.

        Raises:
            SignerError: the key is there but did not sign.
        """


def read_private_key(pem: bytes, passphrase: bytes | None = None) -> Ed25519PrivateKey:
    """The key in a PKCS #8 file, for what needs it itself; whoever only signs takes a `KeySigner`.

    Raises:
        PassphraseError: it asks for a passphrase and there is none, or another one.
        ValueError: not such a file, or another kind of key.
    """
    locked = b"ENCRYPTED PRIVATE KEY" in pem
    if locked and not passphrase:
        raise PassphraseError("the private key is protected by a passphrase")
    try:
        key = load_pem_private_key(pem, password=passphrase if locked else None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        if locked:
            raise PassphraseError(
                "the passphrase is another one, or the file is damaged"
            ) from error
        raise ValueError("not a PEM private key") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise ValueError("the private key is not an Ed25519 key")
    return key


class KeySigner:
    """A private Ed25519 key in this process. Never printed, never compared."""

    def __init__(self, private_key: Ed25519PrivateKey) -> None:
        self._private_key = private_key

    def __repr__(self) -> str:
        return f"KeySigner({self.public_key})"

    @classmethod
    def from_pem(cls, pem: bytes, passphrase: bytes | None = None) -> KeySigner:
        """Read a PKCS #8 file.

        Raises:
            PassphraseError, ValueError: as `read_private_key`.
        """
        return cls(read_private_key(pem, passphrase))

    def to_pem(self, passphrase: bytes | None = None) -> bytes:
        """PKCS #8 in PEM, for a file that only its owner can read; encrypted with a passphrase."""
        how = BestAvailableEncryption(passphrase) if passphrase else NoEncryption()
        return self._private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, how)

    @property
    def public_key(self) -> PublicKey:
        """See `Signer`."""
        raw = self._private_key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        return base64.b64encode(raw).decode("ascii")

    def sign(self, message: bytes) -> bytes:
        """See `Signer`."""
        return self._private_key.sign(message)


def generate_key() -> KeySigner:
    """A new key from the operating system's generator."""
    return KeySigner(Ed25519PrivateKey.generate())


def is_signature(public_key: PublicKey, signature: bytes, message: bytes) -> bool:
    """Whether it is this key's Ed25519 signature over this message.

    Raises:
        ValueError: not a public key.
    """
    raw = base64.b64decode(_is_public_key(public_key))
    try:
        Ed25519PublicKey.from_public_bytes(raw).verify(signature, message)
    except InvalidSignature:
        return False
    return True


def key_id(public_key: PublicKey) -> str:
    """The key id that stands beside a signature.

    Raises:
        ValueError: not a public key.
    """
    return _key(public_key).keyid


def sign_envelope(payload: bytes, payload_type: str, signers: Sequence[Signer]) -> bytes:
    """A DSSE envelope (JSON) with one signature a signer.

    Raises:
        SignatureError: it would be more than is read.
    """
    envelope = Envelope(payload, payload_type, {})
    for signer in signers:
        _add(envelope, signer)
    return _to_bytes(envelope)


def add_signature(envelope: bytes, payload_type: str, signer: Signer) -> bytes:
    """The same envelope with one more signature: how another school joins a plan.

    The signatures that are there are kept as they are, not verified.

    Raises:
        SignatureError: the envelope cannot be read or holds another type, or is full.
    """
    parsed = _parse(envelope, payload_type)
    _add(parsed, signer)
    return _to_bytes(parsed)


def merge_signatures(
    envelopes: Iterable[bytes], payload_type: str, keys: Iterable[PublicKey]
) -> bytes:
    """One envelope with the signatures of several over the same payload.

    They are verified only where two of them are said to be by one key and differ: whoever sends a
    copy cannot undo by it what somebody else has signed.

    Args:
        envelopes: the copies; the first one's signature stays where none of these keys decides.
        payload_type: what they hold.
        keys: whose signatures count.

    Raises:
        SignatureError: there is none, one cannot be read, or they hold different payloads.
    """
    parsed = [_parse(envelope, payload_type) for envelope in envelopes]
    if not parsed:
        raise SignatureError("there is no envelope to merge")
    merged, known = parsed[0], {_key(each).keyid: _key(each) for each in keys}
    for other in parsed[1:]:
        if other.payload != merged.payload:
            raise SignatureError("the envelopes hold different payloads")
        for keyid, signature in other.signatures.items():
            kept = merged.signatures.setdefault(keyid, signature)
            if kept != signature and keyid in known and not _signed(merged, known[keyid]):
                merged.signatures[keyid] = signature
    return _to_bytes(merged)


def with_signature_of(envelope: bytes, payload_type: str, public_key: PublicKey) -> bytes:
    """The same envelope with the signature of one key and no other, be it none.

    Raises:
        SignatureError: the envelope cannot be read or holds another type.
    """
    parsed, keyid = _parse(envelope, payload_type), key_id(public_key)
    found = {keyid: parsed.signatures[keyid]} if keyid in parsed.signatures else {}
    return _to_bytes(Envelope(parsed.payload, payload_type, found))


def verify_envelope(
    envelope: bytes, payload_type: str, keys: Mapping[str, PublicKey], threshold: int
) -> VerifiedPayload[str]:
    """Check that enough distinct keys signed.

    Signatures by keys that are not in ``keys`` are ignored: they neither help nor harm.

    Args:
        envelope: DSSE JSON as it came.
        payload_type: the only type that is accepted.
        keys: name -> public key of everybody whose signature counts.
        threshold: how many distinct keys must have signed, at least 1.

    Raises:
        SignatureError: unreadable, another type, or too few valid signatures.
        ValueError: a threshold below 1 or a key that is none.
    """
    if threshold < 1:
        raise ValueError(f"a threshold is at least 1, not {threshold}")
    verified = valid_signers(envelope, payload_type, keys)
    distinct = {keys[name] for name in verified.signers}
    if len(distinct) < threshold:
        raise SignatureError(
            f"{len(distinct)} of the {threshold} signatures that are needed are there and valid"
        )
    return verified


def valid_signers(
    envelope: bytes, payload_type: str, keys: Mapping[Named, PublicKey]
) -> VerifiedPayload[Named]:
    """Which of some keys signed, be it none; the caller decides whether that is enough.

    Raises:
        SignatureError: unreadable, or another type.
        ValueError: a key that is none.
    """
    parsed = _parse(envelope, payload_type)
    valid = (name for name, key in keys.items() if _signed(parsed, _key(key)))
    return VerifiedPayload(payload=parsed.payload, signers=tuple(sorted(valid)))


def unverified_payload(envelope: bytes, payload_type: str) -> bytes:
    """What an envelope says it holds, whoever signed it: to compare, never to act on.

    Raises:
        SignatureError: unreadable or of another type.
    """
    return bytes(_parse(envelope, payload_type).payload)


@lru_cache(maxsize=4096)
def _key(public_key: PublicKey) -> SSlibKey:
    raw = base64.b64decode(_is_public_key(public_key))
    return SSlibKey.from_crypto(Ed25519PublicKey.from_public_bytes(raw))


def _add(envelope: Envelope, signer: Signer) -> None:
    keyid = _key(signer.public_key).keyid
    envelope.signatures[keyid] = Signature(keyid, signer.sign(envelope.pae()).hex())


def _signed(envelope: Envelope, key: SSlibKey) -> bool:
    if key.keyid not in envelope.signatures:
        return False
    try:
        envelope.verify([key], 1)
    except VerificationError:
        return False
    return True


def _to_bytes(envelope: Envelope) -> bytes:
    """What `_parse` will read again.

    Raises:
        SignatureError: nobody would read as much.
    """
    made = json.dumps(envelope.to_dict(), separators=(",", ":"), sort_keys=True).encode("ascii")
    count = len(envelope.signatures)
    if count > SIGNATURE_LIMIT or len(made) > ENVELOPE_LIMIT_BYTES:
        raise SignatureError(
            f"the envelope would have {count} signatures in {len(made)} bytes, and nobody reads "
            f"more than {SIGNATURE_LIMIT} in {ENVELOPE_LIMIT_BYTES}: use it as it was"
        )
    return made


def _parse(envelope: bytes, payload_type: str) -> Envelope:
    if len(envelope) > ENVELOPE_LIMIT_BYTES:
        raise SignatureError(
            f"an envelope of {len(envelope)} bytes, at most {ENVELOPE_LIMIT_BYTES} are read"
        )
    try:
        parsed = json.loads(envelope)
        if len(parsed["signatures"]) > SIGNATURE_LIMIT:
            raise SignatureError(f"more than {SIGNATURE_LIMIT} signatures in one envelope")
        if not all(isinstance(each["keyid"], str) for each in parsed["signatures"]):
            raise SignatureError("a signature in the envelope does not say by which key it is")
        read = Envelope.from_dict(parsed)
    except SignatureError:
        raise
    except (
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        RecursionError,
        FormatError,
    ) as error:
        raise SignatureError("the envelope is not DSSE JSON") from error
    if read.payload_type != payload_type:
        raise SignatureError(f"the envelope does not hold {payload_type}")
    return read
