"""A lock that is a file: one process at a time, and let go by the system when a process dies."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_OWNER_ONLY = 0o600


def take_lock(path: Path, *, wait: bool = False) -> int:
    """Lock a file, made where it is missing, until its descriptor is closed.

    Args:
        path: the lock's; what it holds says nothing.
        wait: for whoever has it, however long that takes.

    Returns:
        The descriptor; closing it lets go.

    Raises:
        BlockingIOError: somebody else has it, and nobody waits.
        OSError: the file cannot be opened.
    """
    lock = os.open(path, os.O_RDWR | os.O_CREAT, _OWNER_ONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BaseException:
        os.close(lock)
        raise
    return lock


@contextmanager
def locked(path: Path, *, wait: bool = False) -> Iterator[None]:
    """The lock of `take_lock` for the length of a block.

    Raises:
        BlockingIOError, OSError: as `take_lock`.
    """
    lock = take_lock(path, wait=wait)
    try:
        yield
    finally:
        os.close(lock)
