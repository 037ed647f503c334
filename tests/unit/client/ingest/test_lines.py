"""From bytes to records: whatever a file does, bounded memory and no line lost in silence."""

from __future__ import annotations

import gzip
import io
import lzma
from pathlib import Path

import pytest

from fedtrace.client.ingest.lines import MAX_LINE_BYTES, Lines, open_bytes
from fedtrace.client.ingest.report import Reason, Rejections


def read(content: bytes) -> tuple[list[tuple[int, str]], dict[Reason, int], Lines]:
    rejections = Rejections()
    lines = Lines(io.BytesIO(content), rejections)
    found = [
        (line, record) for block in lines for line, record in enumerate(block.records, block.line)
    ]
    return found, dict(rejections.counts), lines


def test_plain_lines_with_and_without_a_last_line_end() -> None:
    assert read(b"a\nb\n")[0] == read(b"a\nb")[0] == [(1, "a"), (2, "b")]
    assert read(b"")[0] == []
    assert read(b"a\r\nb\r\n")[0] == [(1, "a\r"), (2, "b\r")]
    assert read(b"a\n\nb")[0] == [(1, "a"), (2, ""), (3, "b")]


def test_many_blocks_keep_their_line_numbers() -> None:
    content = "".join(f"line {number},é\n" for number in range(1, 30_001))
    found, rejected, lines = read(content.encode())
    assert found == [(number, f"line {number},é") for number in range(1, 30_001)]
    assert (rejected, lines.as_cp1252) == ({}, 0)


def test_a_byte_order_mark_goes() -> None:
    assert read(b"\xef\xbb\xbfname\n")[0] == [(1, "name")]


@pytest.mark.parametrize("mark", [b"\xff\xfe", b"\xfe\xff"])
def test_utf_16_is_named(mark: bytes) -> None:
    with pytest.raises(ValueError, match="UTF-16"):
        read(mark + b"n\0a\0")


def test_cp1252_lines_beside_utf_8_lines() -> None:
    found, rejected, lines = read("é\n".encode() + "é€\n".encode("cp1252") + b"\x81\nz\n")
    assert found == [(1, "é"), (2, "é€"), (4, "z")]
    assert rejected == {Reason.UNDECODABLE: 1}
    assert lines.as_cp1252 == 1


def test_nul_bytes_cost_their_line_only() -> None:
    found, rejected, _ = read(b"a\nb\0b\nc\n")
    assert found == [(1, "a"), (3, "c")]
    assert rejected == {Reason.NUL_BYTE: 1}


@pytest.mark.parametrize("length", [MAX_LINE_BYTES, MAX_LINE_BYTES + 1, 5 * MAX_LINE_BYTES + 17])
@pytest.mark.parametrize("before", [b"", b"a\n", b"a\n" * 40_000])
def test_a_giant_line_costs_itself_only(length: int, before: bytes) -> None:
    found, rejected, _ = read(before + b"x" * length + b"\nlast\n")
    assert [record for _, record in found] == ["a"] * before.count(b"\n") + ["last"]
    assert found[-1][0] == before.count(b"\n") + 2
    assert rejected == {Reason.LINE_TOO_LONG: 1}


def test_the_longest_allowed_line_is_read() -> None:
    longest = "x" * (MAX_LINE_BYTES - 1)
    assert read(f"a\n{longest}\nb\n".encode())[0] == [(1, "a"), (2, longest), (3, "b")]


def test_a_giant_line_does_not_fill_the_memory() -> None:
    class Endless(io.RawIOBase):
        """A quarter of a gigabyte without a line end, made while it is read."""

        left = 1 << 28
        largest = 0

        def readable(self) -> bool:
            return True

        def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
            size = min(len(buffer), self.left)
            self.largest = max(self.largest, size)
            self.left -= size
            buffer[:size] = bytes(size)
            return size

    endless = Endless()
    rejections = Rejections()
    assert list(Lines(io.BufferedReader(endless, 1 << 18), rejections)) == []
    assert endless.left == 0
    assert endless.largest <= 1 << 18
    assert rejections.counts == {Reason.LINE_TOO_LONG: 1}


def test_quotes_may_span_lines() -> None:
    found, rejected, _ = read(b'a\n1,"two\nlines ""so"" to\nspeak",3\nb\n')
    assert found == [(1, "a"), (4, '1,"two\nlines ""so"" to\nspeak",3'), (5, "b")]
    assert rejected == {}


def test_quotes_may_span_blocks() -> None:
    long = b'"' + b"word\n" * 10_000 + b'",1\n'
    found, rejected, _ = read(b"a\n" * 20_000 + long + b"b\n")
    assert len(found) == 20_002
    assert found[-1] == (30_002, "b")
    assert rejected == {}


@pytest.mark.parametrize("after", [3, 40_000])
def test_a_quote_that_never_closes_costs_its_own_line(after: int) -> None:
    found, rejected, _ = read(b'a\n"open\n' + b"b\n" * after)
    assert found == [(1, "a"), *((number, "b") for number in range(3, after + 3))]
    assert rejected == {Reason.QUOTE_NEVER_CLOSED: 1}


def test_compressed_files(tmp_path: Path) -> None:
    (tmp_path / "a.csv.xz").write_bytes(lzma.compress(b"a\nb\n"))
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(b"a\nb\n"))
    (tmp_path / "a.csv").write_bytes(b"a\nb\n")
    for name in ("a.csv.xz", "a.csv.gz", "a.csv"):
        with open_bytes(tmp_path / name) as stream:
            assert stream.read() == b"a\nb\n"


@pytest.mark.parametrize("name", ["a.csv.xz", "a.csv.gz"])
def test_damaged_compression_is_named(tmp_path: Path, name: str) -> None:
    whole = (lzma if name.endswith("xz") else gzip).compress(bytes(range(256)) * 1000)
    for content in (whole[: len(whole) // 2], b"no such format"):
        (tmp_path / name).write_bytes(content)
        with (
            pytest.raises(ValueError, match="damaged or cut short"),
            open_bytes(tmp_path / name) as stream,
        ):
            stream.read()
