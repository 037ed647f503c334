"""The proof that an erasure worked: the files are searched for what should be gone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fedtrace.governance.errors import Corrupt

_PIECE_BYTES = 48


@dataclass(frozen=True, slots=True, kw_only=True)
class Erasure:
    """Evidence that a student's record is gone: what was searched for its bytes, in vain."""

    files: int
    searched_bytes: int


def pieces(record: bytes) -> list[bytes]:
    """Stretches of a sealed record, short enough that most lie whole within a database page."""
    last = len(record) - _PIECE_BYTES
    return [record[start : start + _PIECE_BYTES] for start in range(0, last + 1, _PIECE_BYTES)]


def require_absent(directory: Path, needles: Sequence[bytes]) -> Erasure:
    """Search every file of a folder.

    Raises:
        Corrupt: one of the needles is still there.
        OSError: a file cannot be read.
    """
    files = [path for path in sorted(directory.iterdir()) if path.is_file()]
    searched_bytes = 0
    for path in files:
        content = path.read_bytes()
        searched_bytes += len(content)
        if any(needle in content for needle in needles):
            raise Corrupt(f"bytes of an erased record are still in {path.name}")
    return Erasure(files=len(files), searched_bytes=searched_bytes)
