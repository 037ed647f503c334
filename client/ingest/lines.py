"""From bytes to the text of one record at a time, whatever the file does.

Plain, gzip and xz files are read as streams. No line is ever held beyond its limit: a file of one
gigabyte without a line end is read past in small pieces and counted as one rejected row.
"""

from __future__ import annotations

import gzip
import io
import lzma
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True)
class Block:
    """Consecutive records of a file; none holds a line end outside quotes.

    Attributes:
        line: where the first record ends, the first line of the file being 1; each further record
            is one line.
        records: texts without their line ends.
        span: how many lines the record has; more than 1 only where it is alone.
    """

    line: int
    records: list[str]
    span: int = 1


class Lines:
    """The records of a file, in blocks, so that the common case costs little a line.

    A line that is not UTF-8 is read as CP1252, which spreadsheets still write. A quoted field may
    span lines; a quote that does not close within the limit costs its own line only. With
    ``quotes_join_lines=False`` a quote is a character like others, as in JSON lines.

    Attributes:
        as_cp1252: lines that were not UTF-8.

    Raises:
        ValueError: on iteration, when the file is UTF-16.
    """

    def __init__(
        self, stream: BinaryIO, rejections: Rejections, *, quotes_join_lines: bool = True
    ) -> None:
        self.as_cp1252 = 0
        self._quotes_join_lines = quotes_join_lines
        self._stream = stream
        self._rejections = rejections
        self._open: list[tuple[int, str]] = []  # lines of a quote that has not closed yet
        self._open_length = 0

    def __iter__(self) -> Iterator[Block]:
        for line, texts in self._texts():
            if not self._quotes_join_lines:
                yield Block(line, texts)
                continue
            odd_quotes = [text.count('"') & 1 for text in texts]
            if not self._open and 1 not in odd_quotes:
                yield Block(line, texts)
                continue
            for number, (text, odd) in enumerate(zip(texts, odd_quotes, strict=True), line):
                if self._open or odd:
                    yield from self._follow_quote(number, text, closes=bool(self._open and odd))
                else:
                    yield Block(number, [text])
        if self._open:
            yield from self._give_up()

    def _follow_quote(self, number: int, text: str, *, closes: bool) -> Iterator[Block]:
        self._open.append((number, text))
        self._open_length += len(text) + 1
        if closes:
            joined = "\n".join(text for _, text in self._open)
            yield Block(number, [joined], span=len(self._open))
            self._open, self._open_length = [], 0
        elif self._open_length > MAX_LINE_BYTES:
            yield from self._give_up()

    def _give_up(self) -> Iterator[Block]:
        """Reject the line that opened a quote; those after it have even quotes, so they stand."""
        (first, _), *rest = self._open
        self._rejections.add(Reason.QUOTE_NEVER_CLOSED, first)
        self._open, self._open_length = [], 0
        for number, text in rest:
            yield Block(number, [text])

    def _texts(self) -> Iterator[tuple[int, list[str]]]:
        """Decoded lines without their ends, as (line of the first, lines)."""
        line = 1
        for block in _blocks(self._stream):
            if block is None:
                self._rejections.add(Reason.LINE_TOO_LONG, line)
                line += 1
                continue
            if line == 1 and block.startswith(_UTF16_MARKS):
                raise ValueError("the file is UTF-16: save it as CSV in UTF-8")
            raw = block.removeprefix(_UTF8_MARK) if line == 1 else block
            lines = raw.removesuffix(b"\n").split(b"\n")
            try:
                if b"\0" in raw:
                    yield from self._one_by_one(line, lines)
                else:
                    yield line, raw.decode().removesuffix("\n").split("\n")
            except UnicodeDecodeError:
                yield from self._one_by_one(line, lines)
            line += len(lines)

    def _one_by_one(self, first: int, lines: Sequence[bytes]) -> Iterator[tuple[int, list[str]]]:
        """The lines of a block in which not all are clean UTF-8."""
        for number, raw in enumerate(lines, first):
            text = None if b"\0" in raw else self._decoded(raw)
            if text is not None:
                yield number, [text]
            else:
                reason = Reason.NUL_BYTE if b"\0" in raw else Reason.UNDECODABLE
                self._rejections.add(reason, number)

    def _decoded(self, raw: bytes) -> str | None:
        try:
            return raw.decode()
        except UnicodeDecodeError:
            pass
        try:
            text = raw.decode("cp1252")
        except UnicodeDecodeError:
            return None
        self.as_cp1252 += 1
        return text


def _blocks(stream: BinaryIO) -> Iterator[bytes | None]:
    """Whole lines, about 64 KiB at a time; None stands for one line beyond the limit."""
    while block := stream.read(MAX_LINE_BYTES):
        if not block.endswith(b"\n"):
            block += stream.readline(MAX_LINE_BYTES)
        whole, _, last = block.removesuffix(b"\n").rpartition(b"\n")
        if len(last) < MAX_LINE_BYTES:
            yield block
            continue
        if whole:
            yield whole
        while block and not block.endswith(b"\n"):
            block = stream.readline(MAX_LINE_BYTES)
        yield None


def _decompressed(path: Path) -> io.RawIOBase:
    """The stream to buffer; gzip and xz readers buffer inside and act as raw streams."""
    if path.suffix == ".xz":
        return cast("io.RawIOBase", lzma.open(path, "rb"))
    if path.suffix == ".gz":
        return cast("io.RawIOBase", gzip.open(path, "rb"))
    return path.open("rb", buffering=0)
