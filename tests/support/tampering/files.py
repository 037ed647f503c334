"""Entries changed by somebody who has no key."""

from __future__ import annotations

from pathlib import Path

from support.tampering.tools import Tampering, lines_of, log_of, put_lines

from fedtrace.governance.log.storage import ENTRIES


def one_bit_of_the_consortiums_entry(demo: Path) -> None:
    lines = lines_of(log_of(demo))
    lines[4] = lines[4].replace(b'"round":1', b'"round":2')
    put_lines(log_of(demo), lines)


def one_bit_of_a_schools_entry(demo: Path) -> None:
    lines = lines_of(log_of(demo, "school-2"))
    lines[3] = lines[3].replace(b"20-49", b"50-99")
    put_lines(log_of(demo, "school-2"), lines)


def an_entry_dropped(demo: Path) -> None:
    lines = lines_of(log_of(demo))
    put_lines(log_of(demo), lines[:5] + lines[6:])


def the_last_entry_dropped(demo: Path) -> None:
    put_lines(log_of(demo), lines_of(log_of(demo))[:-1])


def a_schools_last_entry_dropped(demo: Path) -> None:
    put_lines(log_of(demo, "school-1"), lines_of(log_of(demo, "school-1"))[:-1])


def an_entry_doubled(demo: Path) -> None:
    lines = lines_of(log_of(demo))
    put_lines(log_of(demo), [*lines[:6], lines[5], *lines[6:]])


def two_entries_in_the_other_order(demo: Path) -> None:
    lines = lines_of(log_of(demo))
    lines[4], lines[5] = lines[5], lines[4]
    put_lines(log_of(demo), lines)


def all_entries_gone(demo: Path) -> None:
    put_lines(log_of(demo), [])


def an_entry_added_after_the_signature(demo: Path) -> None:
    lines = lines_of(log_of(demo))
    put_lines(log_of(demo), [*lines, lines[-1]])


def a_write_cut_off(demo: Path) -> None:
    with (log_of(demo) / ENTRIES).open("ab") as file:
        file.write(b'{"data":')


def windows_line_ends(demo: Path) -> None:
    put_lines(log_of(demo), [line + b"\r" for line in lines_of(log_of(demo))])


def an_empty_line_between(demo: Path) -> None:
    lines = lines_of(log_of(demo))
    put_lines(log_of(demo), [*lines[:5], b"", *lines[5:]])


TAMPERINGS: tuple[Tampering, ...] = (
    Tampering(act=one_bit_of_the_consortiums_entry, fails=("log.root",)),
    Tampering(act=one_bit_of_a_schools_entry, fails=("log.root",)),
    Tampering(act=an_entry_dropped, fails=("log.size",)),
    Tampering(act=the_last_entry_dropped, fails=("log.size",)),
    Tampering(act=a_schools_last_entry_dropped, fails=("log.size",)),
    Tampering(act=an_entry_doubled, fails=("log.root",), warns=("log.tail",)),
    Tampering(act=two_entries_in_the_other_order, fails=("log.root",)),
    Tampering(act=all_entries_gone, fails=("log.size",)),
    Tampering(act=an_entry_added_after_the_signature, warns=("log.tail",)),
    Tampering(act=a_write_cut_off, warns=("log.tail",)),
    Tampering(act=windows_line_ends, fails=("log.root",)),
    Tampering(act=an_empty_line_between, fails=("log.root",), warns=("log.tail",)),
)
