"""The files of the project, for tests that walk all of them."""

from __future__ import annotations

import ast
import subprocess
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
TOP = ("client", "deploy", "governance", "models", "privacy", "server")
"""The folders whose modules are imported as ``fedtrace.<folder>``."""


@cache
def files() -> tuple[Path, ...]:
    """Every file that is in the project or about to be, relative to its root; no symlinks."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    found = sorted({Path(name) for name in listed.stdout.split("\0") if name})
    return tuple(path for path in found if (ROOT / path).is_file() and not _linked(path))


def python_files(*tops: str) -> tuple[Path, ...]:
    """Every Python file below these top folders."""
    return tuple(path for path in files() if path.suffix == ".py" and path.parts[0] in tops)


@cache
def text(path: Path) -> str:
    """What a file of the project says."""
    return (ROOT / path).read_text(encoding="utf-8")


@cache
def syntax(path: Path) -> ast.Module:
    """A Python file of the project, parsed."""
    return ast.parse(text(path))


@cache
def pyproject() -> dict[str, Any]:
    """The project's settings."""
    return tomllib.loads(text(Path("pyproject.toml")))


@cache
def docs() -> str:
    """All documents for people, one after the other."""
    return "\n".join(text(path) for path in files() if path.suffix == ".md")


def _linked(path: Path) -> bool:
    return any((ROOT / part).is_symlink() for part in (path, *path.parents))
