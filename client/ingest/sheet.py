"""A delimited file whose columns are found by a format's own names, row by row."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import chain
from operator import itemgetter
from typing import Literal

from fedtrace.client.ingest.lines import Block, Lines
from fedtrace.client.ingest.report import Reason, Rejections


class Sheet:
    """The header of an open file, and the fields of its rows at chosen places.

    Attributes:
        header: the names of the columns, without spaces around them.

    Raises:
        ValueError: the file is empty, UTF-16, or its header is not readable.
    """

    def __init__(
        self, lines: Lines, rejections: Rejections, *, delimiter: str, quoted: bool
    ) -> None:
        self._lines = lines
        self._rejections = rejections
        self._delimiter = delimiter
        self._quoting: Literal[0, 3] = csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE
        self._blocks = iter(lines)
        first = next(self._blocks, None)
        if first is None:
            raise ValueError("the file is empty: there is no header")
        names = self._fields(first.records[0])
        if names is None:
            raise ValueError("the header is not readable as CSV")
        self.header = [name.strip().strip('"') for name in names]
        self._rest = Block(first.line + 1, first.records[1:])

    @property
    def lines_as_cp1252(self) -> int:
        """Lines that were not UTF-8."""
        return self._lines.as_cp1252

    def place(self, name: str) -> int:
        """Where a column stands.

        Raises:
            ValueError: it is missing, or there more than once.
        """
        if self.header.count(name) != 1:
            raise ValueError(
                f"the column {name!r} is there {self.header.count(name)} times among the "
                f"{len(self.header)} columns; it must be there once"
            )
        return self.header.index(name)

    def rows(self, places: Sequence[int]) -> Iterator[tuple[int, tuple[str, ...]]]:
        """The fields at two or more places of each good row, with its line.

        A row of another width than the header, or that is not CSV, is rejected.
        """
        pick = itemgetter(*places)
        width = len(self.header)
        for block in chain([self._rest], self._blocks):
            rows = self._all_fields(block.records)
            for line, (record, fields) in enumerate(rows, block.line):
                if fields is None:
                    self._rejections.add(Reason.NOT_CSV, line, rows=block.span)
                elif len(fields) == width:
                    yield line, pick(fields)
                elif record.strip():
                    self._rejections.add(Reason.FIELD_COUNT, line)

    def _all_fields(self, records: list[str]) -> list[tuple[str, list[str] | None]]:
        """The records with their fields, at once where nothing is wrong, else one by one."""
        reader = csv.reader(records, delimiter=self._delimiter, quoting=self._quoting)
        with suppress(csv.Error):
            rows = list(reader)
            if len(rows) == len(records):
                return list(zip(records, rows, strict=True))
        return [(record, self._fields(record)) for record in records]

    def _fields(self, record: str) -> list[str] | None:
        reader = csv.reader([record], delimiter=self._delimiter, quoting=self._quoting)
        try:
            return next(reader, [])
        except csv.Error:
            return None
