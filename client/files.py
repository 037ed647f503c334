"""Writing small files so that they are whole or not there, and private to their owner."""

from __future__ import annotations

import os
from pathlib import Path

OWNER_ONLY = 0o600


def write_private(path: Path, content: bytes, *, replace: bool = False) -> None:
    """Write a file that only its owner can read; it is on disk when this returns.

    Raises:
        FileExistsError: it is there already and ``replace`` was not asked for.
        OSError: it cannot be written.
    """
    if path.exists() and not replace:
        raise FileExistsError(f"{path.name} is there already")
    staged = path.with_name(f".{path.name}.new")
    staged.unlink(missing_ok=True)
    file = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL, OWNER_ONLY)
    try:
        with os.fdopen(file, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        staged.replace(path)
    except OSError:
        staged.unlink(missing_ok=True)  # a full disk leaves half a file
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def require_private(path: Path) -> None:
    """Refuse a secret that others on this machine can read.

    Raises:
        PermissionError: the file's mode lets a group or everybody in.
        OSError: there is no such file.
    """
    mode = path.stat().st_mode & 0o777
    if mode & 0o077:
        raise PermissionError(
            f"{path.name} has mode {mode:o}; a secret needs {OWNER_ONLY:o}: "
            f"chmod {OWNER_ONLY:o} {path}"
        )
