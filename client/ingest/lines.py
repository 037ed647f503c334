"""From bytes to the text of one record at a time, whatever the file does.

Plain, gzip and xz files are read as streams. No line is ever held beyond its limit: a file of one
gigabyte without a line end is read past in small pieces and counted as one rejected row.
"""

from __future__ import annotations

import gzip
import io
import lzma
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from fedtrace.client.ingest.report import Reason, Rejections

MAX_LINE_BYTES = 64 * 1024
"""A longer line, or quoted text over several lines, is rejected unread."""

_READ_BYTES = 1 << 18
_UTF8_MARK = b"\xef\xbb\xbf"
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")


@contextmanager
def open_bytes(path: Path) -> Iterator[BinaryIO]:
    """The decompressed bytes of a file; ``.gz`` and ``.xz`` are told by the name.

    Raises:
        ValueError: the compressed data is damaged or cut short, also while reading.
        OSError: the file cannot be read.
    """
    try:
        with _decompressed(path) as stream, io.BufferedReader(stream, _READ_BYTES) as buffered:
            yield buffered
    except (lzma.LZMAError, gzip.BadGzipFile, EOFError) as error:
        raise ValueError("the compressed file is damaged or cut short") from error


class Lines:
    """Iterates the records of a file as text; a quoted field may span lines.

    A line that is not UTF-8 is read as CP1252, which spreadsheets still write. A quote that does
    not close within the limit costs its own line only: reading goes on at the next one.

    Attributes:
        number: the line at which the record just given ends; the first line is 1.
        span: how many lines that record has.
        as_cp1252: lines that were not UTF-8.

    Raises:
        ValueError: on iteration, when the file is UTF-16.
    """

    def __init__(self, stream: BinaryIO, rejections: Rejections) -> None:
        self.number = 0
        self.span = 1
        self.as_cp1252 = 0
        self._rejections = rejections
        self._physical = self._read(stream)
        self._again: deque[tuple[int, str]] = deque()

    def __iter__(self) -> Iterator[str]:
        for text in self._texts():
            if text.count('"') % 2 == 0:
                self.span = 1
                yield text
            else:
                joined = self._close_quote(text)
                if joined is not None:
                    yield joined

    def _texts(self) -> Iterator[str]:
        """Lines put back after a quote that never closed, then the file's."""
        physical = self._physical
        while True:
            while self._again:
                self.number, text = self._again.popleft()
                yield text
            for text in physical:
                yield text
                if self._again:
                    break
            else:
                if not self._again:
                    return

    def _close_quote(self, first: str) -> str | None:
        """Join lines until the quotes are even; None when that takes too much text."""
        start = self.number
        parts, size = [first], len(first)
        numbers = [start]
        for text in self._texts():
            parts.append(text)
            numbers.append(self.number)
            size += len(text)
            if text.count('"') % 2:
                self.span = len(parts)
                return "".join(parts)
            if size > MAX_LINE_BYTES:
                break
        self._rejections.add(Reason.QUOTE_NEVER_CLOSED, start)
        self._again.extendleft(reversed(list(zip(numbers[1:], parts[1:], strict=True))))
        return None

    def _read(self, stream: BinaryIO) -> Iterator[str]:
        limit = MAX_LINE_BYTES + 1
        readline = stream.readline
        number = 0
        while line := readline(limit):
            number += 1
            if number == 1:
                if line.startswith(_UTF16_MARKS):
                    raise ValueError("the file is UTF-16: save it as CSV in UTF-8")
                line = line.removeprefix(_UTF8_MARK)
            if len(line) == limit:
                while line and not line.endswith(b"\n"):
                    line = readline(limit)
                self._rejections.add(Reason.LINE_TOO_LONG, number)
                continue
            if b"\0" in line:
                self._rejections.add(Reason.NUL_BYTE, number)
                continue
            try:
                text = line.decode()
            except UnicodeDecodeError:
                try:
                    text = line.decode("cp1252")
                except UnicodeDecodeError:
                    self._rejections.add(Reason.UNDECODABLE, number)
                    continue
                self.as_cp1252 += 1
            self.number = number
            yield text


def _decompressed(path: Path) -> io.RawIOBase:
    """The stream to buffer; gzip and xz readers buffer inside and act as raw streams."""
    if path.suffix == ".xz":
        return cast("io.RawIOBase", lzma.open(path, "rb"))
    if path.suffix == ".gz":
        return cast("io.RawIOBase", gzip.open(path, "rb"))
    return path.open("rb", buffering=0)
