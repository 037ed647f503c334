"""Tampering with one log: each way is found by the check that is there for it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import pytest
import rfc8785
from support.logs import NOW, charter_of, encode, key_of, note_over, public, tell_story

from fedtrace.governance.log.checkpoint import LogCheckpoint, sign_checkpoint
from fedtrace.governance.log.entries import ENTRY_LIMIT_BYTES, KillSwitchChanged, encode_entry
from fedtrace.governance.log.note import sign_note
from fedtrace.governance.log.verify import Line, LogBytes, exit_code, verify_log

STORY = tell_story()
LOG = STORY.log_bytes()
ORIGIN = "county/log"


def with_lines(lines: list[bytes]) -> LogBytes:
    """Other entries under the old checkpoint: what an outsider can do."""
    return replace(LOG, lines=lines)


def resigned(lines: list[bytes]) -> LogBytes:
    """Other entries under a new checkpoint of the right key: what a dishonest owner can do."""
    return replace(LOG, lines=lines, checkpoint=note_over(lines, ORIGIN))


def altered(index: int, change: Callable[[dict[str, object]], object]) -> list[bytes]:
    """The lines with one entry changed, in its canonical encoding."""
    lines = list(LOG.lines)
    entry = json.loads(lines[index])
    change(entry)
    lines[index] = rfc8785.dumps(entry)
    return lines


def lines_with(index: int, line: bytes) -> list[bytes]:
    return [*LOG.lines[:index], line, *LOG.lines[index + 1 :]]


LINES = list(LOG.lines)
NOTE = LOG.checkpoint or b""
SIZE = len(LINES)
SCHOOLS_LINE = encode_entry(KillSwitchChanged(on=True), index=SIZE, origin=ORIGIN, now=NOW)

TAMPERED = {
    # an outsider changes the entries
    "a bit flipped": (
        with_lines([bytes([LINES[0][0] ^ 1]) + LINES[0][1:], *LINES[1:]]),
        "log.root",
    ),
    "a digit changed": (
        with_lines(altered(3, lambda e: e.update(time="2026-09-01T08:00:04.000000Z"))),
        "log.root",
    ),
    "the first dropped": (with_lines(LINES[1:]), "log.size"),
    "one in the middle dropped": (with_lines([*LINES[:4], *LINES[5:]]), "log.size"),
    "cut short by one": (with_lines(LINES[:-1]), "log.size"),
    "emptied": (with_lines([]), "log.size"),
    "one replaced by another": (with_lines(lines_with(4, LINES[5])), "log.root"),
    "two swapped": (with_lines([LINES[1], LINES[0], *LINES[2:]]), "log.root"),
    "the last two swapped": (with_lines([*LINES[:-2], LINES[-1], LINES[-2]]), "log.root"),
    "reversed": (with_lines(LINES[::-1]), "log.root"),
    "one doubled, the last dropped": (
        with_lines([*LINES[:4], LINES[3], *LINES[4:-1]]),
        "log.root",
    ),
    "one put in": (with_lines([*LINES[:4], LINES[3], *LINES[4:]]), "log.root"),
    "two lines made one": (
        with_lines([LINES[0] + b"\n" + LINES[1], *LINES[2:], LINES[-1]]),
        "log.root",
    ),
    "a space added": (with_lines(lines_with(2, LINES[2] + b" ")), "log.root"),
    "a subtree shown as a leaf": (with_lines([b"\x01" + bytes(64), *LINES[1:]]), "log.root"),
    # an outsider changes the checkpoint
    "no checkpoint": (replace(LOG, checkpoint=None), "log.checkpoint"),
    "another key signed": (
        replace(LOG, checkpoint=note_over(LINES, ORIGIN, key_of("stranger"))),
        "checkpoint.key",
    ),
    "the charter has another key": (
        replace(LOG, public_key=public(key_of("stranger"))),
        "checkpoint.key",
    ),
    "another log's checkpoint": (
        replace(LOG, checkpoint=note_over(LINES, "county/schools/school-1")),
        "checkpoint.origin",
    ),
    "another origin expected": (replace(LOG, origin="state/log"), "checkpoint.origin"),
    "the signature of another checkpoint": (
        replace(
            LOG,
            checkpoint=NOTE.rpartition(b"\n\n")[0]
            + b"\n\n"
            + note_over(LINES[:-1], ORIGIN).rpartition(b"\n\n")[2],
        ),
        "checkpoint.signature",
    ),
    "a smaller size written in": (
        replace(LOG, checkpoint=NOTE.replace(f"\n{SIZE}\n".encode(), f"\n{SIZE - 1}\n".encode())),
        "checkpoint.signature",
    ),
    "no signature": (
        replace(LOG, checkpoint=NOTE.rpartition(b"\n\n")[0] + b"\n\n"),
        "checkpoint.format",
    ),
    "an oversize checkpoint": (replace(LOG, checkpoint=NOTE + b"x" * 2**18), "checkpoint.size"),
    "a checkpoint with carriage returns": (
        replace(LOG, checkpoint=NOTE.replace(b"\n", b"\r\n")),
        "checkpoint.format",
    ),
    # the owner signs what no log can hold
    "signed: a size of zero over entries": (
        replace(LOG, lines=[], checkpoint=sign_checkpoint(
            LogCheckpoint(origin=ORIGIN, size=0, root=bytes(32)), key_of(ORIGIN))),
        "log.root",
    ),
    "signed: no checkpoint at all": (
        replace(LOG, checkpoint=sign_note("hello\n", name=ORIGIN, key=key_of(ORIGIN))),
        "checkpoint.format",
    ),
    "signed: one dropped": (resigned([*LINES[:4], *LINES[5:]]), "entry.index"),
    "signed: two swapped": (resigned([LINES[1], LINES[0], *LINES[2:]]), "entry.index"),
    "signed: one doubled": (resigned([*LINES[:4], LINES[3], *LINES[4:]]), "entry.index"),
    "signed: an entry of another log": (
        resigned(altered(2, lambda e: e.update(source="state/log"))),
        "entry.origin",
    ),
    "signed: a student's name": (
        resigned(altered(2, lambda e: e.update(data={"name": "Maria"}))),
        "entry.schema",
    ),
    "signed: free text in a field": (
        resigned(altered(2, lambda e: e["data"].update(run_id="Maria was here"))),  # type: ignore[attr-defined]
        "entry.schema",
    ),
    "signed: an extension attribute": (
        resigned(altered(2, lambda e: e.update(subject="Maria"))),
        "entry.envelope",
    ),
    "signed: an unknown type": (
        resigned(altered(2, lambda e: e.update(type="student.enrolled"))),
        "entry.type",
    ),
    "signed: a key twice": (
        resigned(lines_with(2, LINES[2].replace(b'"id":"2"', b'"id":"2","id":"2"'))),
        "entry.canonical",
    ),
    "signed: a letter that looks alike": (
        resigned(lines_with(2, LINES[2].replace(b"county", "c\u043eunty".encode()))),
        "entry.canonical",
    ),
    "signed: an empty line": (resigned(lines_with(2, b"")), "entry.json"),
    "signed: an oversize line": (
        resigned(lines_with(2, LINES[2] + b" " * ENTRY_LIMIT_BYTES)),
        "entry.size",
    ),
    "signed: an entry of a school's log": (
        resigned([*LINES, SCHOOLS_LINE]),
        "log.kind",
    ),
}  # fmt: skip


def test_an_honest_log_passes_in_one_line() -> None:
    verified = verify_log(LOG)
    (line,) = verified.lines
    assert (line.status, line.check) == ("PASS", "log.whole")
    assert [each.entry for each in verified.entries] == STORY.consortium


@pytest.mark.parametrize(("log", "check"), TAMPERED.values(), ids=TAMPERED.keys())
def test_every_tampering_is_found_by_its_check(log: LogBytes, check: str) -> None:
    assert log != LOG
    verified = verify_log(log)
    assert [line.check for line in verified.lines if line.status == "FAIL"] == [check]
    assert verified.entries == ()
    assert "Maria" not in verified.lines[-1].sentence


@pytest.mark.parametrize(
    "log",
    [
        replace(LOG, torn=17),
        with_lines([*LINES, LINES[-1]]),
        replace(LOG, checkpoint=note_over(LINES[:-3], ORIGIN)),
    ],
    ids=["a torn line", "an entry nobody signed", "a stale checkpoint"],
)
def test_what_follows_the_signed_entries_warns(log: LogBytes) -> None:
    verified = verify_log(log)
    warned = [line.check for line in verified.lines if line.status == "WARN"]
    assert warned == ["log.tail"]
    assert exit_code(verified.lines) == 1


def test_a_clock_that_was_set_back_warns() -> None:
    lines = encode([KillSwitchChanged(on=True)] * 2, "county/schools/school-1")
    lines[1] = encode_entry(
        KillSwitchChanged(on=True),
        index=1,
        origin="county/schools/school-1",
        now=NOW.replace(year=2025),
    )
    member = charter_of(["school-1", "school-2"]).members[0]
    verified = verify_log(
        LogBytes(
            name="the log of school-1",
            kind="school",
            origin="county/schools/school-1",
            public_key=member.log_public_key,
            lines=lines,
            torn=0,
            checkpoint=note_over(lines, "county/schools/school-1"),
        )
    )
    assert [line.check for line in verified.lines if line.status == "WARN"] == ["log.time"]
    assert len(verified.entries) == 2


def test_the_exit_code_is_the_worst_line() -> None:
    def line(status: str) -> Line:
        return Line(status=status, check="x", sentence="x")  # type: ignore[arg-type]

    assert exit_code([]) == 0
    assert exit_code([line("PASS")]) == 0
    assert exit_code([line("WARN"), line("PASS")]) == 1
    assert exit_code([line("WARN"), line("FAIL"), line("PASS")]) == 2
