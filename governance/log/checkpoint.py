"""Log checkpoints, byte for byte as https://c2sp.org/tlog-checkpoint specifies them.

A checkpoint is a signed note whose text is the log's origin, its size and its root, a line each.
Whoever holds one can tell whether a log that is shown later still begins with the same entries.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fedtrace.governance.log.merkle import HASH_BYTES
from fedtrace.governance.log.note import (
    NoteError,
    decode_base64,
    parse_note,
    require_signature,
    sign_note,
)
from fedtrace.governance.signing import PublicKey

_SIZE = re.compile(r"0|[1-9][0-9]{0,18}")


@dataclass(frozen=True, slots=True, kw_only=True)
class LogCheckpoint:
    """What a log commits to: so many entries with this root.

    Attributes:
        origin: the log's name, and the name of the key that signs.
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
    """The signed note of a checkpoint."""
    return sign_note(checkpoint.to_text(), name=checkpoint.origin, key=key)


def open_checkpoint(note: bytes, *, origin: str, public_key: PublicKey) -> LogCheckpoint:
    """Verify and read a checkpoint.

    Raises:
        NoteError: not a checkpoint, another log's, or without a valid signature of its key.
    """
    text, signatures = parse_note(note)
    claimed = parse_checkpoint(text)
    if claimed.origin != origin:
        raise NoteError("origin", "it is the checkpoint of another log")
    require_signature(text, signatures, name=origin, public_key=public_key)
    return claimed


def parse_checkpoint(text: str) -> LogCheckpoint:
    """Read the text of a note as a checkpoint; extension lines are allowed and mean nothing here.

    Raises:
        NoteError: ``format``.
    """
    lines = text.split("\n")
    if len(lines) < 4 or not all(lines[:-1]) or not _SIZE.fullmatch(lines[1]):
        raise NoteError("format", "it does not say origin, size and root, a line each")
    root = decode_base64(lines[2])
    if len(root) != HASH_BYTES:
        raise NoteError("format", f"its root has {len(root)} bytes, not {HASH_BYTES}")
    return LogCheckpoint(origin=lines[0], size=int(lines[1]), root=root)
