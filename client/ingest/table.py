"""A CSV file as rows of the few mapped columns; nothing else gets past this module."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from operator import itemgetter
from pathlib import Path

from fedtrace.client.ingest.lines import Lines, open_bytes
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
        self._reader = csv.reader(iter(lines), delimiter=mapping.delimiter)
        try:
            header = [name.strip() for name in next(self._reader)]
        except StopIteration:
            raise ValueError("the file is empty: there is no header") from None
        except csv.Error as error:
            raise ValueError("the header is not readable as CSV") from error
        self.kept = mapping.columns.by_role()
        for role, name in self.kept.items():
            _require_column(header, role, name, mapping)
        self.dropped = tuple(name for name in header if name not in self.kept.values())
        self._places = [header.index(name) for name in self.kept.values()]
        self._width = len(header)

    @property
    def line(self) -> int:
        """The line of the file at which the last row ends."""
        return self._lines.number

    @property
    def lines_as_cp1252(self) -> int:
        """Lines that were not UTF-8."""
        return self._lines.as_cp1252

    def __iter__(self) -> Iterator[Row]:
        has_order = "order" in self.kept
        pick = itemgetter(*self._places)
        width = self._width
        while True:
            try:
                for fields in self._reader:
                    if len(fields) == width:
                        yield pick(fields) if has_order else (*pick(fields), "")
                    elif fields:
                        self._rejections.add(Reason.FIELD_COUNT, self.line)
                return
            except csv.Error:
                self._rejections.add(Reason.BROKEN_QUOTES, self.line, rows=self._lines.span)


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
