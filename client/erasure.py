"""The proof that an erasure worked: the files are searched for what should be gone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fedtrace.governance.errors import Corrupt

_PIECE_BYTES = 48
_HEAD_BYTES = 8
_AT_ONCE = 2**22


@dataclass(frozen=True, slots=True, kw_only=True)
class Erasure:
    """Evidence that records are gone: what was searched for their bytes, in vain."""

    files: int
    searched_bytes: int


def pieces(record: bytes) -> list[bytes]:
    """Stretches of a sealed record, short enough that most lie whole within a database page."""
    last = len(record) - _PIECE_BYTES
    return [record[start : start + _PIECE_BYTES] for start in range(0, last + 1, _PIECE_BYTES)]


def require_absent(directory: Path, needles: Sequence[bytes]) -> Erasure:
    """Search every file of a folder, once for all the needles.

    Args:
        directory: the folder; not what lies in folders of it.
        needles: of 8 bytes and more.

    Raises:
        Corrupt: one of the needles is still there.
        ValueError: a needle is too short.
        OSError: a file cannot be read.
    """
    if any(len(needle) < _HEAD_BYTES for needle in needles):
        raise ValueError(f"what is searched for has at least {_HEAD_BYTES} bytes")
    by_head: dict[int, list[bytes]] = {}
    for needle in needles:
        by_head.setdefault(int.from_bytes(needle[:_HEAD_BYTES], "little"), []).append(needle)
    heads = np.array(sorted(by_head), dtype="<u8")
    files = [path for path in sorted(directory.iterdir()) if path.is_file()]
    searched_bytes = 0
    for path in files:
        content = path.read_bytes()
        searched_bytes += len(content)
        if any(
            content.startswith(tuple(by_head[head]), at) for at, head in _heads_in(content, heads)
        ):
            raise Corrupt(f"bytes of an erased record are still in {path.name}")
    return Erasure(files=len(files), searched_bytes=searched_bytes)


def _heads_in(content: bytes, heads: npt.NDArray[np.uint64]) -> Iterator[tuple[int, int]]:
    """Where in some bytes one of these eight bytes begins, and which."""
    if not len(heads):
        return
    for first in range(0, len(content), _AT_ONCE):
        for shift in range(first, first + _HEAD_BYTES):
            count = min(_AT_ONCE, len(content) - shift) // _HEAD_BYTES
            if count <= 0:
                continue
            words = np.frombuffer(content, dtype="<u8", count=count, offset=shift)
            nearest = np.minimum(np.searchsorted(heads, words), len(heads) - 1)
            for hit in np.flatnonzero(heads[nearest] == words):
                yield shift + _HEAD_BYTES * int(hit), int(words[hit])
