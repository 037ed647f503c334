"""A disk that dies: the system calls of ``fedtrace.governance.log.storage`` on a real folder.

Every call that changes the disk is counted. At a chosen one the machine dies (`PowerCut`) or the
disk answers with an error. After a death, `settle` leaves on the real folder what a disk that lost
power may have kept: everything that was forced, and of the rest as much as the test chooses.
"""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

CHANGING = ("write", "fdatasync", "fsync", "replace", "ftruncate")


class PowerCut(BaseException):
    """The machine is gone; nothing after this line runs."""


@dataclass(kw_only=True)
class FailingDisk:
    """Stands where the storage module expects ``os``.

    Attributes:
        fail_at: the number of the changing call that fails, from 1; 0: none.
        error: the errno that it fails with; None: the power fails.
        bytes_before: how many bytes of a failing write still reach the file.
        most_bytes: of one write that succeeds; the system may always take less.
        calls: names of the changing calls so far.
    """

    fail_at: int = 0
    error: int | None = None
    bytes_before: int = 0
    most_bytes: int = 2**30
    calls: list[str] = field(default_factory=list)
    _paths: dict[int, Path] = field(default_factory=dict)
    _forced: dict[Path, int] = field(default_factory=dict)  # how many bytes are safe
    _renamed: tuple[Path, bytes | None] | None = None  # not forced yet: target, what it was

    def __getattr__(self, name: str) -> Any:
        """Everything else is the real one: constants, fstat, close."""
        return getattr(os, name)

    def open(self, path: Path, flags: int, mode: int = 0o777) -> int:
        """As os.open."""
        if Path(path).is_file():  # what an earlier process left is on disk
            self._forced.setdefault(Path(path), Path(path).stat().st_size)
        file = os.open(path, flags, mode)
        self._paths[file] = Path(path)
        return file

    def write(self, file: int, data: memoryview) -> int:
        """As os.write, perhaps fewer bytes."""
        if self._next("write"):
            os.write(file, data[: self.bytes_before])
            self._fail()
        return os.write(file, data[: self.most_bytes])

    def fdatasync(self, file: int) -> None:
        """As os.fdatasync."""
        self._force("fdatasync", file)

    def fsync(self, file: int) -> None:
        """As os.fsync; of a folder, it makes a rename safe."""
        self._force("fsync", file)

    def ftruncate(self, file: int, size: int) -> None:
        """As os.ftruncate."""
        if self._next("ftruncate"):
            self._fail()
        os.ftruncate(file, size)

    def replace(self, source: Path, target: Path) -> None:
        """As os.replace."""
        if self._next("replace"):
            self._fail()
        self._renamed = (target, target.read_bytes() if target.exists() else None)
        source.replace(target)

    def settle(self, directory: Path, *, kept_share: float, keep_rename: bool) -> None:
        """Leave on disk what a loss of power may have left.

        Args:
            directory: the log's folder.
            kept_share: of the bytes that were written and not forced, from the front.
            keep_rename: true if a rename that was not forced survived.
        """
        entries = directory / "entries.jsonl"
        if entries.exists():
            safe = self._forced.get(entries, 0)
            loose = entries.stat().st_size - safe
            if loose > 0:
                os.truncate(entries, safe + int(loose * kept_share))
        if self._renamed and not keep_rename:
            target, before = self._renamed
            if before is None:
                target.unlink()
            else:
                target.write_bytes(before)

    def _force(self, name: str, file: int) -> None:
        if self._next(name):
            self._fail()
        path = self._paths[file]
        if path.is_dir():
            self._renamed = None
        else:
            self._forced[path] = path.stat().st_size

    def _next(self, name: str) -> bool:
        self.calls.append(name)
        return len(self.calls) == self.fail_at

    def _fail(self) -> None:
        if self.error is None:
            raise PowerCut
        raise OSError(self.error, os.strerror(self.error))


FULL, BROKEN = errno.ENOSPC, errno.EIO
