"""Signed notes and log checkpoints, byte for byte as C2SP specifies them.

https://c2sp.org/signed-note and https://c2sp.org/tlog-checkpoint. A note is text that ends in a
newline, an empty line, and signature lines ``— <key name> <base64>``; a checkpoint's text is the
log's origin, its size and its root.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from fedtrace.governance.log.merkle import HASH_BYTES
from fedtrace.governance.signing import PublicKey

NOTE_LIMIT_BYTES = 16 * 1024
"""A checkpoint with a hundred cosignatures stays below; more is not parsed."""

_ED25519 = b"\x01"
_SIGNATURE_LINE = re.compile(r"\u2014 (\S+) ([A-Za-z0-9+/=]+)")
_SIZE = re.compile(r"0|[1-9][0-9]{0,18}")


class NoteError(ValueError):
    """A note that is not well formed, or that the expected key did not sign."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogCheckpoint:
    """What a log commits to: so many entries with this root.

    Attributes:
        origin: the log's name.
        size: its number of entries.
        root: 32 bytes.
    """

    origin: str
    size: int
    root: bytes

    def to_text(self) -> str:
        """The text that is signed."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"


def sign_checkpoint(checkpoint: LogCheckpoint, key: Ed25519PrivateKey) -> bytes:
    """The signed note of a checkpoint, under the key name that is its origin."""
    text = checkpoint.to_text()
    public = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    signature = key_hash(checkpoint.origin, public) + key.sign(text.encode())
    line = f"\u2014 {checkpoint.origin} {base64.b64encode(signature).decode()}\n"
    return f"{text}\n{line}".encode()


def open_checkpoint(note: bytes, *, origin: str, public_key: PublicKey) -> LogCheckpoint:
    """Verify and read a checkpoint.

    Signatures by other keys (witnesses) are ignored: they neither help nor harm.

    Raises:
        NoteError: not a checkpoint, another log's, or without a valid signature of its key.
    """
    text, signatures = _parts(note)
    checkpoint = _checkpoint(text)
    if checkpoint.origin != origin:
        raise NoteError("the checkpoint is of another log")
    raw = base64.b64decode(public_key)
    expected = key_hash(origin, raw)
    ours = [sig[4:] for name, sig in signatures if name == origin and sig[:4] == expected]
    if len(ours) != 1:
        raise NoteError(f"the checkpoint has {len(ours)} signatures of the log's key, not one")
    try:
        Ed25519PublicKey.from_public_bytes(raw).verify(ours[0], text.encode())
    except InvalidSignature as error:
        raise NoteError("the checkpoint's signature is not valid") from error
    return checkpoint


def key_hash(name: str, public_key: bytes) -> bytes:
    """The 4 bytes that tell keys apart: SHA-256 of name, newline, algorithm and key."""
    return hashlib.sha256(name.encode() + b"\n" + _ED25519 + public_key).digest()[:4]


def _parts(note: bytes) -> tuple[str, list[tuple[str, bytes]]]:
    """Text and signatures of a note."""
    if len(note) > NOTE_LIMIT_BYTES:
        raise NoteError(f"the note has {len(note)} bytes, at most {NOTE_LIMIT_BYTES} are read")
    try:
        content = note.decode("utf-8")
    except UnicodeDecodeError as error:
        raise NoteError("the note is not UTF-8") from error
    if any(character < " " and character != "\n" for character in content):
        raise NoteError("the note has a control character")
    head, separator, tail = content.rpartition("\n\n")
    if not separator or not tail.endswith("\n"):
        raise NoteError("the note has no signatures")
    signatures = []
    for line in tail[:-1].split("\n"):
        match = _SIGNATURE_LINE.fullmatch(line)
        if match is None:
            raise NoteError("a signature line is not well formed")
        signatures.append((match[1], _decode(match[2], at_least=5)))
    return f"{head}\n", signatures


def _checkpoint(text: str) -> LogCheckpoint:
    lines = text.split("\n")
    if len(lines) != 4 or lines[3] != "" or not lines[0] or not _SIZE.fullmatch(lines[1]):
        raise NoteError("the note is not a checkpoint: origin, size and root, a line each")
    root = _decode(lines[2], at_least=HASH_BYTES)
    if len(root) != HASH_BYTES:
        raise NoteError(f"the root has {len(root)} bytes, not {HASH_BYTES}")
    return LogCheckpoint(origin=lines[0], size=int(lines[1]), root=root)


def _decode(text: str, *, at_least: int) -> bytes:
    """Standard base64 in its one canonical form."""
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise NoteError("a line is not base64") from error
    if len(raw) < at_least or base64.b64encode(raw).decode() != text:
        raise NoteError("a line is not base64 in its canonical form, or too short")
    return raw
