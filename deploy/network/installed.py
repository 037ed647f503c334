"""One digest over the code that is installed here, so that two machines can be compared by eye.

A plan's ``app.fab_digest`` names a version; this digest changes with every byte of ``fedtrace``.
It is for people: a changed installation can print what it likes, so nothing is decided by it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path

PACKAGES = ("client", "deploy", "governance", "models", "privacy", "server")


def code_digest() -> str:
    """SHA-256 over names and SHA-256 of all Python files of ``fedtrace``, as ``sha256:<hex>``.

    It is the same for a wheel and for an installation from the source of the same version. The
    compiled engine is left out: its bytes differ with the compiler.

    Raises:
        FileNotFoundError: a part of the installation is missing.
        OSError: a file of the installation cannot be read.
    """
    return digest_of_folders({name: _folder(name) for name in PACKAGES})


def digest_of_folders(folders: Mapping[str, Path]) -> str:
    """The same for packages that lie somewhere else, as in a wheel that was unpacked.

    Args:
        folders: the name of each package below ``fedtrace``, and where it is.
    """
    found = (entry for name in sorted(folders) for entry in _entries(name, folders[name]))
    return f"sha256:{hashlib.sha256(''.join(found).encode()).hexdigest()}"


def _folder(name: str) -> Path:
    spec = find_spec(f"fedtrace.{name}")
    if spec is None or spec.origin is None:
        raise FileNotFoundError(f"fedtrace.{name} is not installed: install fedtrace again")
    return Path(spec.origin).parent


def _entries(name: str, folder: Path) -> Iterator[str]:
    """A line a file, in the order of names as bytes: the same on every system."""
    paths = {f"{name}/{path.relative_to(folder).as_posix()}": path for path in folder.rglob("*.py")}
    for shown in sorted(paths):
        yield f"{shown} {hashlib.sha256(paths[shown].read_bytes()).hexdigest()}\n"
