"""A CSV file as rows of the few mapped columns; nothing else gets past this module."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from itertools import chain
from operator import itemgetter
from pathlib import Path

from fedtrace.client.ingest.lines import Block, Lines, open_bytes
from fedtrace.client.ingest.mapping import Mapping, Role
from fedtrace.client.ingest.report import Reason, Rejections
from fedtrace.client.ingest.source import Row

_DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}


class Table:
    """The rows of one open file; iterate once.

    Attributes:
        kept: the columns that are read, by role.
        dropped: the names of all others, in the order of the file.

    Raises:
        ValueError: the file is empty or UTF-16, another delimiter separates its fields, or a
            mapped column is missing or there twice. No field of the file is in the sentence,
            except names of columns that resemble the missing one.
    """

    def __init__(self, lines: Lines, mapping: Mapping, rejections: Rejections) -> None:
        self._lines = lines
        self._rejections = rejections
        self._delimiter = mapping.delimiter
        self._blocks = iter(lines)
        first = next(self._blocks, None)
        if first is None:
            raise ValueError("the file is empty: there is no header")
        try:
            names = next(csv.reader(first.records[:1], delimiter=mapping.delimiter))
        except csv.Error as error:
            raise ValueError("the header is not readable as CSV") from error
        header = [name.strip() for name in names]
        self._rest = Block(first.line + 1, first.records[1:])
        for role, name in mapping.columns.by_role().items():
            _require_column(header, role, name, mapping)
        self.kept = mapping.columns.by_name()
        self.dropped = tuple(name for name in header if name not in self.kept.values())
        places = [header.index(name) for name in self.kept.values()]
        if "order" not in self.kept:
            places.append(places[0])
        self._picker: Callable[[list[str]], Row] = itemgetter(*places)
        self._width = len(header)

    @property
    def lines_as_cp1252(self) -> int:
        """Lines that were not UTF-8."""
        return self._lines.as_cp1252

    def __iter__(self) -> Iterator[tuple[Sequence[int], list[Row]]]:
        """Some rows at a time, with the line of the file at which each ends."""
        for block in chain([self._rest], self._blocks):
            rows = self._pick(block.records)
            if rows and len(rows) == len(block.records):
                yield range(block.line, block.line + len(rows)), rows
            else:
                yield from self._one_by_one(block)

    def _one_by_one(self, block: Block) -> Iterator[tuple[Sequence[int], list[Row]]]:
        """A block in which something is wrong: a bad record takes no other with it."""
        for line, record in enumerate(block.records, block.line):
            rows = self._pick([record])
            if rows is None:
                self._rejections.add(Reason.NOT_CSV, line, rows=block.span)
            elif rows:
                yield (line,), rows
            elif record.strip():
                self._rejections.add(Reason.FIELD_COUNT, line)

    def _pick(self, records: list[str]) -> list[Row] | None:
        """The mapped columns of the rows as wide as the header; None where one is not CSV.

        Everything else of a row is let go at once: that is minimal, and twice as fast.
        """
        pick, width = self._picker, self._width
        try:
            reader = csv.reader(records, delimiter=self._delimiter)
            return [pick(fields) for fields in reader if len(fields) == width]
        except csv.Error:
            return None


@contextmanager
def open_table(path: Path, mapping: Mapping, rejections: Rejections) -> Iterator[Table]:
    """Open a CSV file, plain or compressed as ``.gz`` or ``.xz``.

    Raises:
        ValueError: as ``Table``; also compressed data that is damaged.
        OSError: the file cannot be read.
    """
    with open_bytes(path) as stream:
        yield Table(Lines(stream, rejections), mapping, rejections)


def _require_column(header: list[str], role: Role, name: str, mapping: Mapping) -> None:
    if header.count(name) > 1:
        raise ValueError(f"the column {name!r} is there {header.count(name)} times")
    if name in header:
        return
    joined = mapping.delimiter.join(header)
    for delimiter, word in _DELIMITERS.items():
        if delimiter != mapping.delimiter and name in map(str.strip, joined.split(delimiter)):
            raise ValueError(f"fields are separated by a {word}: set delimiter = {delimiter!r}")
    similar = get_close_matches(name, header, n=3)
    hint = f"; there is {' and '.join(map(repr, similar))}" if similar else ""
    raise ValueError(
        f"there is no column {name!r} for the {role} among the {len(header)} columns{hint}"
    )
