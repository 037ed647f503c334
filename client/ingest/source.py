"""The port that every format of export fulfils: rows of four texts, and an account of the rest.

Nothing but these four texts gets past a source, whatever else the file holds.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from itertools import islice
from pathlib import Path
from typing import Protocol

from fedtrace.client.ingest.mapping import Mapping as ColumnMapping
from fedtrace.client.ingest.report import Rejections

Row = tuple[str, str, str, str]
"""Student, skill, answer, order, as in the file; without an order column the student again."""

_BATCH = 2_000


class Source(Protocol):
    """One open file; iterate once, then read the account."""

    @property
    def kept(self) -> Mapping[str, str]:
        """What is read, by role (student, skill, ...)."""

    @property
    def dropped(self) -> tuple[str, ...]:
        """The names of everything else."""

    @property
    def lines_as_cp1252(self) -> int:
        """Lines that were not UTF-8."""

    def __iter__(self) -> Iterator[tuple[Sequence[int], list[Row]]]:
        """Some rows at a time, with the line of the file at which each ends."""


class Layout(Protocol):
    """One format: how to open a file of it, and what its texts mean."""

    @property
    def rules(self) -> ColumnMapping:
        """The words for right and wrong, and what the order is."""

    def open(
        self, path: Path, rejections: Rejections, skills: Mapping[str, int]
    ) -> AbstractContextManager[Source]:
        """Open a file.

        Args:
            path: of the export.
            rejections: where rows are counted that do not become a `Row`.
            skills: the catalogue's ids by name, to choose among several skills of one answer.

        Raises:
            ValueError: the file as a whole is not of this format; no field of it is in the
                sentence.
            OSError: it cannot be read.
        """


def in_batches(rows: Iterable[tuple[int, Row]]) -> Iterator[tuple[Sequence[int], list[Row]]]:
    """Rows with their lines, some thousand at a time, which costs the reader less a row."""
    rest = iter(rows)
    while batch := list(islice(rest, _BATCH)):
        lines, texts = zip(*batch, strict=True)
        yield lines, list(texts)


def first_known(names: Sequence[str], skills: Mapping[str, int]) -> str:
    """The one skill of an answer to several: first in the catalogue, as for ASSISTments.

    Args:
        names: of the answer's skills.
        skills: the catalogue's ids by name.

    Returns:
        Where the catalogue has none of them the first name, which is then reported; "" for none.
    """
    known = [name for name in names if name in skills]
    if known:
        return min(known, key=skills.__getitem__)
    return next((name for name in names if name), "")
