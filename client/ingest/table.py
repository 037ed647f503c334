"""A CSV file as rows of the few mapped columns; nothing else gets past this module."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from itertools import chain
from operator import itemgetter
from pathlib import Path

from fedtrace.client.ingest.lines import Block, Lines, open_bytes
from fedtrace.client.ingest.mapping import Mapping, Role
from fedtrace.client.ingest.report import Reason, Rejections

_DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}

Row = tuple[str, str, str, str]
"""Student, skill, answer, order, as in the file. Without an order column the last is empty."""


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
        rows = self._parse(first.records[:1])
        if rows is None:
            raise ValueError("the header is not readable as CSV")
        header = [name.strip() for name in rows[0]]
        self._rest = Block(first.line + 1, first.records[1:])
        self.kept = mapping.columns.by_role()
        for role, name in self.kept.items():
            _require_column(header, role, name, mapping)
        self.dropped = tuple(name for name in header if name not in self.kept.values())
        self._places = [header.index(name) for name in self.kept.values()]
        self._width = len(header)

    @property
    def lines_as_cp1252(self) -> int:
        """Lines that were not UTF-8."""
        return self._lines.as_cp1252

    def __iter__(self) -> Iterator[tuple[Sequence[int], list[Row]]]:
        """Some rows at a time, with the line of the file at which each ends."""
        pick = itemgetter(*self._places)
        has_order = "order" in self.kept
        for block in chain([self._rest], self._blocks):
            lines, rows = self._good_rows(block)
            picked: list[Row] = [
                pick(fields) if has_order else (*pick(fields), "") for fields in rows
            ]
            if picked:
                yield lines, picked

    def _good_rows(self, block: Block) -> tuple[Sequence[int], list[list[str]]]:
        """The rows of a block that have as many fields as the header; each other one is rejected.

        A record that is not CSV takes no other with it: the rows are then parsed one by one.
        """
        rows = self._parse(block.records)
        if rows is not None and set(map(len, rows)) == {self._width}:
            return range(block.line, block.line + len(rows)), rows
        lines, good = [], []
        for line, record in enumerate(block.records, block.line):
            alone = self._parse([record])
            if alone is None:
                self._rejections.add(Reason.NOT_CSV, line, rows=block.span)
            elif len(alone[0]) == self._width:
                lines.append(line)
                good.append(alone[0])
            elif alone[0]:
                self._rejections.add(Reason.FIELD_COUNT, line)
        return lines, good

    def _parse(self, records: list[str]) -> list[list[str]] | None:
        """One list of fields a record, or None when one of them is not CSV."""
        try:
            rows = list(csv.reader(records, delimiter=self._delimiter))
        except csv.Error:
            return None
        return rows if len(rows) == len(records) else None


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
