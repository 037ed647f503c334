"""JSON events one at a time, from JSON lines or from one array, with bounded memory.

Three shapes are read: an object a line; an array of objects; and an object whose member
``statements`` or ``data`` is that array, as learning record stores and event stores write it; also
several of those one after another. A line that is not JSON costs that line; damage within an array
makes the rest unreadable, so that the whole file is refused.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from typing import BinaryIO, cast

from fedtrace.client.ingest.lines import MAX_LINE_BYTES, Lines
from fedtrace.client.ingest.report import Reason, Rejections

Event = dict[str, object]

MAX_EVENT = 1024 * 1024
"""Characters of one event within an array; a longer one refuses the file unread."""

_READ = 256 * 1024
_BATCHES = ("statements", "data")
_SPACE = re.compile(r"[\s,]*")
# An object that begins with plain members and then has the array: what may stand before it is
# bounded by what is read ahead.
_MEMBER = r'\s*"[^"\\]*"\s*:\s*(?:"(?:[^"\\]|\\.)*"|[-+.\w]+)\s*'
_ENVELOPE = re.compile(rf'\{{(?:{_MEMBER},)*\s*"(?:{"|".join(_BATCHES)})"\s*:\s*\[')
_ENVELOPE_END = re.compile(rf"(?:\s*,{_MEMBER})*\s*\}}")
_DECODER = json.JSONDecoder()


class Events:
    """The objects of a file; iterate once.

    Attributes:
        lines_as_cp1252: lines that were not UTF-8; within an array that is refused.

    Raises:
        ValueError: on iteration, when the file is empty, UTF-16, not JSON, or damaged in an array.
    """

    def __init__(self, stream: BinaryIO, rejections: Rejections) -> None:
        self._head = stream.read(_READ)
        self._stream = stream
        self._rejections = rejections
        self._lines: Lines | None = None

    @property
    def lines_as_cp1252(self) -> int:
        """Lines that were not UTF-8."""
        return self._lines.as_cp1252 if self._lines else 0

    def __iter__(self) -> Iterator[tuple[int, Event]]:
        """Each event with the line of the file at which it ends."""
        text = self._head.decode("utf-8-sig", errors="replace")
        if not text.strip():
            raise ValueError("the file is empty: there is no event in it")
        if _is_lines(text):
            yield from self._from_lines()
        else:
            yield from _Array(_Joined(self._head, self._stream))

    def _from_lines(self) -> Iterator[tuple[int, Event]]:
        joined = io.BufferedReader(cast("io.RawIOBase", _Joined(self._head, self._stream)))
        self._lines = Lines(joined, self._rejections, quotes_join_lines=False)
        for block in self._lines:
            for line, record in enumerate(block.records, block.line):
                if not record.strip():
                    continue
                found = _decoded(record)
                if not isinstance(found, dict):
                    self._rejections.add(Reason.NOT_JSON, line)
                    continue
                for event in _unpacked(found):
                    if isinstance(event, dict):
                        yield line, event
                    else:
                        self._rejections.add(Reason.NOT_JSON, line)


def _is_lines(head: str) -> bool:
    """Whether the first line is an object of its own, and no array spans the lines."""
    first, end, _ = head.lstrip().partition("\n")
    if not first.startswith("{"):
        return not first.startswith("[")
    if _ENVELOPE.match(first) and (not end or len(first) > MAX_LINE_BYTES // 4):
        return False  # an envelope may be longer than a line may be
    return isinstance(_decoded(first), dict) or not end


def _decoded(text: str) -> object:
    """The JSON value of a line; None where it is none, or nests without end."""
    try:
        return cast("object", json.loads(text))
    except (ValueError, RecursionError):
        return None


def _unpacked(found: Event) -> list[object]:
    """The events of an envelope on one line, or the object itself."""
    for name in _BATCHES:
        inside = found.get(name)
        if isinstance(inside, list):
            return inside
    return [found]


class _Joined(io.RawIOBase):
    """What was read ahead, and then the rest of the stream."""

    def __init__(self, head: bytes, stream: BinaryIO) -> None:
        self._head = head
        self._stream = stream

    def readable(self) -> bool:
        """Always."""
        return True

    def readinto(self, buffer: object) -> int:
        """Fill a buffer; 0 at the end."""
        view = cast("memoryview", memoryview(cast("bytearray", buffer)))
        data = self._head[: len(view)] if self._head else self._stream.read(len(view))
        self._head = self._head[len(data) :] if self._head else b""
        view[: len(data)] = data
        return len(data)


class _Array:
    """The objects of an array, decoded one by one from a text that is read as it is used up."""

    def __init__(self, stream: io.RawIOBase) -> None:
        self._stream = io.TextIOWrapper(
            cast("BinaryIO", io.BufferedReader(stream)), encoding="utf-8-sig", newline=""
        )
        self._text = ""
        self._place = 0
        self._line = 1
        self._ended = False

    def __iter__(self) -> Iterator[tuple[int, Event]]:
        self._more()
        self._skip(_SPACE)
        while self._place < len(self._text):
            yield from self._one_value()
            self._skip(_SPACE)

    def _one_value(self) -> Iterator[tuple[int, Event]]:
        """The events of an array, of an envelope around one, or one object over several lines."""
        if len(self._text) - self._place < _READ:
            self._more()
        envelope = _ENVELOPE.match(self._text, self._place)
        if envelope:
            self._go(envelope.end())
        elif self._text.startswith("[", self._place):
            self._go(self._place + 1)
        else:
            yield self._line, self._next()
            return
        while not self._closes():
            yield self._line, self._next()
        self._go(self._place + 1)
        if envelope:
            if len(self._text) - self._place < _READ:
                self._more()
            end = _ENVELOPE_END.match(self._text, self._place)
            if end is None:
                raise self._damaged()
            self._go(end.end())

    def _closes(self) -> bool:
        self._skip(_SPACE)
        return self._text.startswith("]", self._place)

    def _next(self) -> Event:
        while True:
            try:
                found, end = _DECODER.raw_decode(self._text, self._place)
            except (ValueError, RecursionError) as error:
                if self._ended or isinstance(error, RecursionError):
                    raise self._damaged() from None
                if len(self._text) - self._place > MAX_EVENT:
                    raise ValueError(
                        f"an event that begins at line {self._line:,} is damaged or has more "
                        f"than {MAX_EVENT:,} characters; nothing was read"
                    ) from None
                self._more()
                continue
            if not isinstance(found, dict):
                raise self._damaged()
            self._go(end)
            return found

    def _skip(self, pattern: re.Pattern[str]) -> None:
        while True:
            found = pattern.match(self._text, self._place)
            self._go(found.end() if found else self._place)
            if self._place < len(self._text) or self._ended:
                return
            self._more()

    def _go(self, place: int) -> None:
        self._line += self._text.count("\n", self._place, place)
        self._place = place

    def _more(self) -> None:
        try:
            read = self._stream.read(_READ)
        except UnicodeDecodeError:
            raise ValueError("the file is not UTF-8, which JSON has to be: save it so") from None
        self._ended = not read
        self._text = self._text[self._place :] + read
        self._place = 0

    def _damaged(self) -> ValueError:
        return ValueError(f"the file is not JSON from line {self._line:,} on: export it again")
