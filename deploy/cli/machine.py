"""Errors of the operating system in words that name the file and the next step."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Mapping

_FREE_SPACE = ("the disk is full", "free some space and run the command again")
_NO_PERMISSION = ("no permission", "run as the user who owns the file, or have it made readable")
_STEPS: Mapping[int, tuple[str, str]] = {
    errno.ENOSPC: _FREE_SPACE,
    errno.EDQUOT: _FREE_SPACE,
    errno.EFBIG: ("a file may not grow any more", "raise this user's limit (ulimit -f)"),
    errno.ENOENT: ("no such file or folder", "check the path"),
    errno.EISDIR: ("this is a folder", "name a file"),
    errno.ENOTDIR: ("a part of the path is a file", "check the path"),
    errno.EACCES: _NO_PERMISSION,
    errno.EPERM: _NO_PERMISSION,
    errno.EROFS: ("this disk cannot be written", "choose a place on another one"),
    errno.EADDRINUSE: ("a port is in use", "end the program that uses it and try again"),
}
"""Error number -> what is the matter, and what to do."""


def machine_sentence(error: OSError) -> str:
    """What the machine says, with the file and the next step."""
    if isinstance(error, shutil.Error):
        return _copy_sentence(error)
    where = f" ({error.filename})" if error.filename else ""
    if error.errno is not None and error.errno in _STEPS:
        what, step = _STEPS[error.errno]
        return f"{what}{where}: {step}."
    if error.errno == errno.EIO:
        return f"{error.strerror}{where}: look whether the disk is full or failing."
    return f"{error.strerror or error}{where}."


def _copy_sentence(error: shutil.Error) -> str:
    """Copying a folder collects one error a file, as text; the first stands for all."""
    _, target, reason = error.args[0][0]
    for number, (what, step) in _STEPS.items():
        if f"[Errno {number}]" in str(reason):
            return f"{what} ({target}): {step}."
    return f"{target} cannot be written: {reason}."
