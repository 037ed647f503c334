"""Signed notes, byte for byte as https://c2sp.org/signed-note specifies them.

A note is text that ends in a newline, an empty line, and one line a signature::

    county/log
    3
    CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=

    — county/log Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9...

The base64 holds a key id of 4 bytes, which only tells keys apart, and the signature over the text
with its last newline. Whoever opens a note names the one key that counts.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from fedtrace.governance.signing import PublicKey

NOTE_LIMIT_BYTES = 128 * 1024
"""A note with 16 post-quantum signatures, which everybody must accept, stays below."""

KEY_ID_BYTES = 4

_ED25519 = b"\x01"
_CONTROL_CHARACTER = re.compile(r"[\x00-\x09\x0b-\x1f]")
_SIGNATURE_LINE = re.compile(r"\u2014 ([^\s+]+) ([A-Za-z0-9+/=]+)")


class NoteError(ValueError):
    """A note that is not well formed, or that the expected key did not sign.

    Args:
        check: the check's short name: ``size``, ``format``, ``origin``, ``key``, ``signature``.
        sentence: what was found.
    """

    def __init__(self, check: str, sentence: str) -> None:
        super().__init__(sentence)
        self.check = check


@dataclass(frozen=True, slots=True, kw_only=True)
class NoteSignature:
    """One signature line.

    Attributes:
        name: the key's name, as the line claims.
        key_id: 4 bytes that tell keys of one name apart.
        signature: the rest; its meaning depends on the key.
    """

    name: str
    key_id: bytes
    signature: bytes


def key_id(name: str, public_key: bytes) -> bytes:
    """The id of an Ed25519 key: SHA-256 of name, newline, algorithm and key, cut to 4 bytes."""
    return hashlib.sha256(name.encode() + b"\n" + _ED25519 + public_key).digest()[:KEY_ID_BYTES]


def sign_note(text: str, *, name: str, key: Ed25519PrivateKey) -> bytes:
    """A note with one signature.

    Args:
        text: ends in a newline.
        name: the key's name, without spaces and plus signs.
        key: signs the text.
    """
    public = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    line = signature_line(name, key_id(name, public), key.sign(text.encode()))
    return f"{text}\n{line}\n".encode()


def signature_line(name: str, key_id: bytes, signature: bytes) -> str:
    """One signature line, without its newline."""
    return f"\u2014 {name} {encode_base64(key_id + signature)}"


def open_note(note: bytes, *, name: str, public_key: PublicKey) -> str:
    """The text of a note that a key signed.

    Signatures by other keys are ignored, even where they share the name or the id: they neither
    help nor harm. Every signature that claims to be by this key must be valid.

    Raises:
        NoteError: not a note, or without a valid signature of this key.
    """
    text, signatures = parse_note(note)
    require_signature(text, signatures, name=name, public_key=public_key)
    return text


def require_signature(
    text: str, signatures: Iterable[NoteSignature], *, name: str, public_key: PublicKey
) -> None:
    """What `open_note` asks of a note that has been parsed already.

    Raises:
        NoteError: ``key`` or ``signature``.
    """
    raw = base64.b64decode(public_key)
    expected = (name, key_id(name, raw))
    ours = [each.signature for each in signatures if (each.name, each.key_id) == expected]
    if not ours:
        raise NoteError("key", "it carries no signature of the expected key")
    verifier = Ed25519PublicKey.from_public_bytes(raw)
    try:
        for signature in ours:
            verifier.verify(signature, text.encode())
    except InvalidSignature as error:
        raise NoteError("signature", "its signature is not valid") from error


def parse_note(note: bytes) -> tuple[str, tuple[NoteSignature, ...]]:
    """Text and signatures of a note; neither may be believed yet.

    Raises:
        NoteError: ``size`` or ``format``.
    """
    if len(note) > NOTE_LIMIT_BYTES:
        raise NoteError("size", f"it has {len(note)} bytes, at most {NOTE_LIMIT_BYTES} are read")
    try:
        content = note.decode("utf-8")
    except UnicodeDecodeError as error:
        raise NoteError("format", "it is not UTF-8") from error
    if _CONTROL_CHARACTER.search(content):
        raise NoteError("format", "it has a control character")
    head, separator, tail = content.rpartition("\n\n")
    if not separator or not tail.endswith("\n"):
        raise NoteError("format", "it has no signature lines")
    return f"{head}\n", tuple(_signature(line) for line in tail[:-1].split("\n"))


def parse_signature_lines(lines: bytes) -> tuple[NoteSignature, ...]:
    """Signature lines that travel without their note, as a witness answers them.

    Raises:
        NoteError: ``size`` or ``format``.
    """
    return parse_note(b"\n\n" + lines)[1]


def encode_base64(data: bytes) -> str:
    """Standard base64."""
    return base64.b64encode(data).decode("ascii")


def decode_base64(text: str) -> bytes:
    """Standard base64 in its one canonical form.

    Raises:
        NoteError: ``format``.
    """
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise NoteError("format", "a line is not base64") from error
    if base64.b64encode(raw).decode() != text:
        raise NoteError("format", "a line is base64, but not in its canonical form")
    return raw


def _signature(line: str) -> NoteSignature:
    match = _SIGNATURE_LINE.fullmatch(line)
    raw = decode_base64(match[2]) if match else b""
    if match is None or len(raw) <= KEY_ID_BYTES:
        raise NoteError("format", "a signature line is not well formed")
    return NoteSignature(name=match[1], key_id=raw[:KEY_ID_BYTES], signature=raw[KEY_ID_BYTES:])
