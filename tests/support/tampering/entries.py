"""Entries that no log can hold, signed by the log's own key."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from support.logs import (
    PLAN,
    RUN,
    encode,
    tell_story,
    write_lines,
)
from support.tampering.tools import ORIGIN, OTHER, Tampering, lines_of, log_of, sign_anew

from fedtrace.governance.log.entries import (
    UpdateSent,
)


def _odd_entry(demo: Path, change: Callable[[bytes], bytes], at: int = 4) -> None:
    lines = lines_of(log_of(demo))
    lines[at] = change(lines[at])
    sign_anew(demo, lines)


def an_entry_of_no_type(demo: Path) -> None:
    _odd_entry(demo, lambda line: line.replace(b"update.received", b"update.imagined"))


def an_entry_with_one_key_more(demo: Path) -> None:
    _odd_entry(demo, lambda line: line.replace(b'"kind":"train"', b'"kind":"train","note":"x"'))


def an_entry_with_a_key_twice(demo: Path) -> None:
    _odd_entry(demo, lambda line: line.replace(b'"round":1', b'"round":1,"round":2'))


def an_entry_with_spaces(demo: Path) -> None:
    _odd_entry(demo, lambda line: line.replace(b'"round":1', b'"round": 1'))


def an_entry_with_an_escaped_letter(demo: Path) -> None:
    _odd_entry(demo, lambda line: line.replace(b"school-1", b"\\u0073chool-1"))


def a_school_that_looks_like_another(demo: Path) -> None:
    _odd_entry(demo, lambda line: line.replace(b"school-1", "sch\u043eol-1".encode()))


def an_entry_that_says_it_is_another(demo: Path) -> None:
    _odd_entry(demo, lambda line: line.replace(b'"id":"4"', b'"id":"5"'))


def an_entry_of_another_log(demo: Path) -> None:
    foreign = encode(tell_story().consortium, "valley/log")[4]
    _odd_entry(demo, lambda _line: foreign)


def an_entry_over_its_limit(demo: Path) -> None:
    _odd_entry(demo, lambda line: line.replace(b"school-1", b"s" * 33_000))


def a_valid_entry_over_its_limit(demo: Path) -> None:
    _odd_entry(demo, lambda line: line.replace(b'["', b'["school-1","' + b'school-1","' * 3_000), 3)


def an_entry_with_a_sentence(demo: Path) -> None:
    """Free text is where a student's name would stand."""
    _odd_entry(demo, lambda line: line.replace(b'"round":1', b'"round":"Ada L. failed"'))


def an_entry_on_no_day(demo: Path) -> None:
    _odd_entry(demo, lambda line: line.replace(b"2026-09-01T", b"2026-09-31T"))


def an_entry_that_is_no_json(demo: Path) -> None:
    _odd_entry(demo, lambda _line: b"round 1 went well")


def a_schools_entry_in_the_consortiums_log(demo: Path) -> None:
    sent = UpdateSent(plan_digest=PLAN, run_id=RUN, round=1, kind="train", digest=OTHER)
    story = tell_story()
    sign_anew(demo, encode([*story.consortium, sent], ORIGIN))


def an_entry_dated_back(demo: Path) -> None:
    _odd_entry(demo, lambda line: line.replace(b"T08:00:04", b"T07:00:04"), at=4)


def days_left_out(demo: Path) -> None:
    """Two days and the sign of life in them are cut out before the last two entries."""
    lines = encode(tell_story().consortium, ORIGIN)
    late = [line.replace(b"2026-09-01T", b"2026-09-03T") for line in lines[-2:]]
    sign_anew(demo, [*lines[:-2], *late])


def a_school_that_says_nothing_for_a_day_and_more(demo: Path) -> None:
    log = log_of(demo, "school-2")
    *lines, last = lines_of(log)
    write_lines(
        log, [*lines, last.replace(b"2026-09-01T08", b"2026-09-02T10")], "county/schools/school-2"
    )


TAMPERINGS: tuple[Tampering, ...] = (
    Tampering(act=an_entry_of_no_type, fails=("entry.type",)),
    Tampering(act=an_entry_with_one_key_more, fails=("entry.schema",)),
    Tampering(act=an_entry_with_a_key_twice, fails=("entry.canonical",)),
    Tampering(act=an_entry_with_spaces, fails=("entry.canonical",)),
    Tampering(act=an_entry_with_an_escaped_letter, fails=("entry.canonical",)),
    Tampering(act=a_school_that_looks_like_another, fails=("entry.schema",)),
    Tampering(act=an_entry_that_says_it_is_another, fails=("entry.index",)),
    Tampering(act=an_entry_of_another_log, fails=("entry.origin",)),
    Tampering(act=an_entry_over_its_limit, fails=("entry.size",)),
    Tampering(act=a_valid_entry_over_its_limit, fails=("entry.size",)),
    Tampering(act=an_entry_with_a_sentence, fails=("entry.schema",)),
    Tampering(act=an_entry_on_no_day, fails=("entry.envelope",)),
    Tampering(act=an_entry_that_is_no_json, fails=("entry.json",)),
    Tampering(act=a_schools_entry_in_the_consortiums_log, fails=("log.kind",)),
    Tampering(act=an_entry_dated_back, warns=("log.time",)),
    Tampering(act=days_left_out, warns=("log.silence",)),
    Tampering(act=a_school_that_says_nothing_for_a_day_and_more, warns=("log.silence",)),
)
