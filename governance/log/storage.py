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

import errno
import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from fedtrace.governance.errors import Corrupt
from fedtrace.governance.locks import take_lock
from fedtrace.governance.log.note import NOTE_LIMIT_BYTES

ENTRIES, CHECKPOINT = "entries.jsonl", "checkpoint"
COSIGNED = "cosigned"
"""Beside the consortium's log: its last checkpoint that witnesses cosigned."""

LOCK = "lock"
"""Held by the one process that writes."""

_STAGED = "checkpoint.tmp"

LOG_LIMIT_BYTES = 1024**3
"""A larger log is not read into memory: more than two million entries."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredLog:
    """A log's bytes as they lie on disk; nothing about them is believed yet.

    Attributes:
        lines: whole lines, without their newline.
        torn_bytes: how many bytes follow the last newline.
        checkpoint: the signed note; None before the first.
    """

    lines: list[bytes]
    torn_bytes: int
    checkpoint: bytes | None

    @property
    def entry_bytes(self) -> int:
        """The size of the entries' file."""
        return sum(len(line) + 1 for line in self.lines) + self.torn_bytes


class LogFiles(Protocol):
    """Where a log keeps its bytes."""

    def read(self) -> StoredLog:
        """Everything that is stored."""
        ...

    def truncate(self, size_bytes: int) -> None:
        """Drop what follows in the entries' file; it is gone when this returns."""
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
        if not directory.exists():
            directory.mkdir(mode=0o700, parents=True)
            _sync_folder(directory.parent)
        self._directory = directory
        try:
            self._lock = take_lock(directory / LOCK)
        except BlockingIOError as error:
            sentence = "another process has this log open; stop it first"
            raise OSError(error.errno, sentence, str(directory)) from error
        try:
            flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW
            self._entries = os.open(directory / ENTRIES, flags, 0o600)
        except BaseException:
            os.close(self._lock)
            raise

    def read(self) -> StoredLog:
        """See `LogFiles`."""
        return read_log(self._directory)

    def truncate(self, size_bytes: int) -> None:
        """See `LogFiles`."""
        os.ftruncate(self._entries, size_bytes)
        os.fsync(self._entries)

    def append(self, lines: Sequence[bytes]) -> None:
        """See `LogFiles`; a write that stops half-way raises and leaves a tail to drop."""
        _write(self._entries, b"".join(line + b"\n" for line in lines))
        os.fdatasync(self._entries)

    def publish(self, checkpoint: bytes) -> None:
        """See `LogFiles`."""
        staged = self._directory / _STAGED
        file = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        try:
            _write(file, checkpoint)
            os.fsync(file)
        finally:
            os.close(file)
        os.replace(staged, self._directory / CHECKPOINT)  # noqa: PTH105 - the tests' disk fails here
        _sync_folder(self._directory)

    def close(self) -> None:
        """See `LogFiles`."""
        os.close(self._entries)
        os.close(self._lock)


def read_log(directory: Path) -> StoredLog:
    """Read a log without opening it for writing; another process may be appending to it.

    Raises:
        Corrupt: a file is too large, a link, or no file.
        OSError: it cannot be read.
    """
    # The checkpoint first: a log that grows meanwhile must not look as if it had been cut short.
    checkpoint = read_limited(directory / CHECKPOINT, NOTE_LIMIT_BYTES)
    *lines, torn = (read_limited(directory / ENTRIES, LOG_LIMIT_BYTES) or b"").split(b"\n")
    return StoredLog(lines=lines, torn_bytes=len(torn), checkpoint=checkpoint)


def read_limited(path: Path, limit_bytes: int) -> bytes | None:
    """The bytes of a plain file that somebody else may have prepared; None where there is none.

    What is checked is the file that was opened, whatever the path names a moment later.

    Raises:
        Corrupt: a link, a pipe, a folder or a device, or more bytes than the limit.
        OSError: it cannot be read.
    """
    try:
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise Corrupt(f"{path} is a link, not a file of its own") from error
        raise
    try:
        if not stat.S_ISREG(os.fstat(file).st_mode):
            raise Corrupt(f"{path} is not a plain file")
        with os.fdopen(file, "rb", closefd=False) as opened:
            data = opened.read(limit_bytes + 1)
    finally:
        os.close(file)
    if len(data) > limit_bytes:
        raise Corrupt(f"{path} has more than the {limit_bytes} bytes that are read")
    return data


def _write(file: int, data: bytes) -> None:
    """Write all of it, however little the system takes at a time."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(file, rest) :]


def _sync_folder(directory: Path) -> None:
    """Force a folder's names to disk."""
    folder = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
