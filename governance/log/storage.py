"""A log's files, written so that a crash at any moment loses nothing that was acknowledged.

``entries.jsonl`` holds one entry a line, ``checkpoint`` the signed note over them. The order is:
append the lines, force them to disk, sign, write the note beside the old one, force it, rename,
force the folder. What is signed is therefore always on disk already; what is on disk and not
signed was never acknowledged.

| the power fails ...      | found at the next start            | what happens        |
| ------------------------ | ---------------------------------- | ------------------- |
| while lines are written  | a torn or unsigned tail            | the tail is dropped |
| before the rename        | unsigned lines, the old checkpoint | the tail is dropped |
| after the rename         | lines and checkpoint agree         | nothing             |
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from fedtrace.governance.errors import Corrupt
from fedtrace.governance.log.entries import ENTRY_LIMIT_BYTES

ENTRIES, CHECKPOINT, _LOCK = "entries.jsonl", "checkpoint", "lock"
READ_LIMIT_BYTES = 4 * 1024**3
"""A larger log is not read into memory."""


class LogFiles(Protocol):
    """Where a log keeps its bytes; the tests put a disk that fails in this place."""

    def read(self) -> tuple[list[bytes], bytes | None]:
        """Whole lines without their newline, and the checkpoint; None before the first."""
        ...

    def keep(self, lines: int) -> None:
        """Drop everything after the first ``lines`` lines."""
        ...

    def append(self, lines: Sequence[bytes]) -> None:
        """Add lines; they are on disk when this returns."""
        ...

    def publish(self, checkpoint: bytes) -> None:
        """Replace the checkpoint in one step; it is on disk when this returns."""
        ...

    def close(self) -> None:
        """Let go."""
        ...


class DirectoryFiles:
    """A log in a folder of its own, held by one process at a time.

    Args:
        directory: created when it is not there.

    Raises:
        OSError: another process has the log open, or the folder cannot be written.
    """

    def __init__(self, directory: Path) -> None:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._directory = directory
        self._lock = os.open(directory / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(self._lock)
            raise OSError(
                error.errno, "another process has this log open; stop it first", str(directory)
            ) from error
        self._entries = os.open(directory / ENTRIES, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)

    def read(self) -> tuple[list[bytes], bytes | None]:
        """See `LogFiles`."""
        return read_lines(self._directory), read_note(self._directory)

    def keep(self, lines: int) -> None:
        """See `LogFiles`."""
        kept = read_lines(self._directory)[:lines]
        os.ftruncate(self._entries, sum(len(line) + 1 for line in kept))
        os.fsync(self._entries)

    def append(self, lines: Sequence[bytes]) -> None:
        """See `LogFiles`; a write that stops half-way raises and leaves a tail to drop."""
        data = memoryview(b"".join(line + b"\n" for line in lines))
        while data:
            data = data[os.write(self._entries, data) :]
        os.fdatasync(self._entries)

    def publish(self, checkpoint: bytes) -> None:
        """See `LogFiles`."""
        staged = self._directory / f"{CHECKPOINT}.tmp"
        with staged.open("wb") as file:
            file.write(checkpoint)
            file.flush()
            os.fsync(file.fileno())
        staged.replace(self._directory / CHECKPOINT)
        folder = os.open(self._directory, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def close(self) -> None:
        """See `LogFiles`."""
        os.close(self._entries)
        os.close(self._lock)


def read_lines(directory: Path) -> list[bytes]:
    """The whole lines of a log's entries; a torn last line is left out.

    Raises:
        Corrupt: the file is larger than is read, or a line is longer than any entry.
        OSError: it cannot be read.
    """
    path = directory / ENTRIES
    if not path.exists():
        return []
    if path.stat().st_size > READ_LIMIT_BYTES:
        raise Corrupt(f"{ENTRIES} has more than {READ_LIMIT_BYTES} bytes")
    lines = path.read_bytes().split(b"\n")[:-1]
    if any(len(line) > ENTRY_LIMIT_BYTES for line in lines):
        raise Corrupt(f"{ENTRIES} has a line of more than {ENTRY_LIMIT_BYTES} bytes")
    return lines


def read_note(directory: Path) -> bytes | None:
    """The bytes of a log's checkpoint, or None where there is none.

    Raises:
        OSError: it cannot be read.
    """
    path = directory / CHECKPOINT
    return path.read_bytes() if path.exists() else None
