"""Verify one log from its bytes and its public key: no I/O, no clock, no trust in its owner.

Each check has a name that `Line.check` carries; removing any of them makes a test fail.

=========================  =======================================================================
``log.checkpoint``         there is a signed checkpoint
``checkpoint.size`` ...    it is a C2SP checkpoint of this log, signed by the charter's key
``log.size``               no signed entry is missing
``log.tail``               nothing follows the signed entries
``log.root``               every entry, re-hashed, is the one that was signed
``entry.size`` ...         every entry is one that a log can hold, at its own place
``log.kind``               no entry of a school stands in the consortium's log, or the reverse
``log.time``               time does not run backwards
``log.silence``            no day was passed over in silence
``log.whole``              all of them hold, or only warn
=========================  =======================================================================
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from operator import sub
from typing import Literal

from fedtrace.governance.errors import Rejected
from fedtrace.governance.log.checkpoint import LogCheckpoint, open_checkpoint
from fedtrace.governance.log.entries import (
    CONSORTIUM_ENTRIES,
    SCHOOL_ENTRIES,
    LoggedEntry,
    decode_entry,
)
from fedtrace.governance.log.heartbeat import LONGEST_SILENCE
from fedtrace.governance.log.merkle import root_of
from fedtrace.governance.log.note import NoteError
from fedtrace.governance.signing import PublicKey

Status = Literal["PASS", "WARN", "FAIL"]

_NO_TIME = timedelta()


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One check and what it found, for a person.

    Attributes:
        status: it holds, a person should look, or it does not hold.
        check: its short name.
        sentence: what was found, in plain words.
    """

    status: Status
    check: str
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LogBytes:
    """A log as it was found, and whose it should be.

    Attributes:
        name: how people call it, such as "the log of school-1".
        kind: whose entries it may hold.
        origin: the name that its checkpoint must carry.
        public_key: the key that must have signed it.
        lines: its entries, without newlines.
        torn: bytes after the last newline.
        checkpoint: its signed note, or None where there is none.
    """

    name: str
    kind: Literal["school", "consortium"]
    origin: str
    public_key: PublicKey
    lines: Sequence[bytes]
    torn: int
    checkpoint: bytes | None


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedLog:
    """What a verification found.

    Attributes:
        lines: the checks, in order.
        entries: what the log says; empty where it cannot be believed.
    """

    lines: tuple[Line, ...]
    entries: tuple[LoggedEntry, ...]


class _Failed(Exception):  # noqa: N818 - ends a verification, is not an error of this program
    """A check that does not hold; what comes after it would mean nothing."""

    def __init__(self, check: str, sentence: str) -> None:
        super().__init__(sentence)
        self.line = Line(status="FAIL", check=check, sentence=sentence)


def verify_log(log: LogBytes) -> VerifiedLog:
    """Check signature, completeness, every hash, every schema and the order of time; total.

    A log that passes gets one line, so that a person can read the verdict on a hundred logs.
    """
    warnings: list[Line] = []
    try:
        checkpoint = _open_checkpoint(log)
        warnings += _compare_size(log, checkpoint)
        signed = log.lines[: checkpoint.size]
        if root_of(signed) != checkpoint.root:
            sentence = f"Entries of {log.name} are not the ones that were signed: it was changed."
            raise _Failed("log.root", sentence)
        entries = _read_entries(log, signed)
    except _Failed as failed:
        return VerifiedLog(lines=(*warnings, failed.line), entries=())
    warnings += _compare_times(log, entries)
    sentence = (
        f"{_capital(log.name)} is whole: its own key signed it, all {len(entries)} entries are as "
        "they were when signed, and none has room for a student's data or free text."
    )
    whole = Line(status="PASS", check="log.whole", sentence=sentence)
    return VerifiedLog(lines=(whole, *warnings), entries=entries)


def exit_code(lines: Iterable[Line]) -> int:
    """0 where every check passes, 1 where a person should look, 2 where one fails."""
    statuses = {line.status for line in lines}
    return 2 if "FAIL" in statuses else 1 if "WARN" in statuses else 0


def _open_checkpoint(log: LogBytes) -> LogCheckpoint:
    """The checkpoint, signed by the log's own key."""
    if log.checkpoint is None:
        sentence = f"{_capital(log.name)} has no checkpoint, so nothing vouches for its entries."
        raise _Failed("log.checkpoint", sentence)
    try:
        return open_checkpoint(log.checkpoint, origin=log.origin, public_key=log.public_key)
    except NoteError as error:
        sentence = f"The checkpoint of {log.name} is not one that its key signed: {error}."
        raise _Failed(f"checkpoint.{error.check}", sentence) from error


def _compare_size(log: LogBytes, checkpoint: LogCheckpoint) -> Iterator[Line]:
    """At least the signed entries are there; what goes beyond them is told."""
    extra = len(log.lines) - checkpoint.size
    if extra < 0:
        sentence = (
            f"{_capital(log.name)} has been cut short: {-extra} of {checkpoint.size} signed "
            "entries are missing."
        )
        raise _Failed("log.size", sentence)
    if extra or log.torn:
        sentence = (
            f"{_capital(log.name)} has {extra} entries and {log.torn} bytes after the last signed "
            "one. Either a write was cut off or is going on, or its checkpoint is an old one. They "
            "were not verified; verify again, and ask its owner if they are still there."
        )
        yield Line(status="WARN", check="log.tail", sentence=sentence)


def _read_entries(log: LogBytes, signed: Sequence[bytes]) -> tuple[LoggedEntry, ...]:
    """Every line is an entry that this kind of log can hold, at its own place."""
    try:
        entries = tuple(
            [decode_entry(line, index=at, origin=log.origin) for at, line in enumerate(signed)]
        )
    except Rejected as error:
        sentence = f"{_capital(log.name)} holds what no log can hold: {error.sentence}."
        raise _Failed(f"entry.{error.check}", sentence) from error
    allowed = frozenset(SCHOOL_ENTRIES if log.kind == "school" else CONSORTIUM_ENTRIES)
    if not {each.kind for each in entries} <= allowed:
        stranger = next(each for each in entries if each.kind not in allowed)
        sentence = (
            f"{_capital(log.name)} has an entry of another kind of log: entry {stranger.index} is "
            f"{stranger.kind.type}."
        )
        raise _Failed("log.kind", sentence)
    return entries


def _compare_times(log: LogBytes, entries: Sequence[LoggedEntry]) -> Iterator[Line]:
    """No entry is dated before the one above it, and no day passes in silence.

    One line for each of the two, however often it is not so.
    """
    times = [each.time for each in entries]
    gaps = list(map(sub, times[1:], times))
    back = next((at for at, gap in enumerate(gaps) if gap < _NO_TIME), None)
    if back is not None:
        sentence = (
            f"Time runs backwards in {log.name}: entry {back + 1} is dated before entry {back}, so "
            "a clock was wrong or was set back."
        )
        yield Line(status="WARN", check="log.time", sentence=sentence)
    silent = [at for at, gap in enumerate(gaps) if gap > LONGEST_SILENCE]
    if silent:
        longest = max(silent, key=gaps.__getitem__)
        often = "" if len(silent) == 1 else f" {len(silent)} times, the longest"
        sentence = (
            f"{_capital(log.name)} is silent{often} from {times[longest]:%Y-%m-%d %H:%M} to "
            f"{times[longest + 1]:%Y-%m-%d %H:%M} UTC, where it should say something every day: "
            "nobody can tell from it what happened meanwhile. Ask its owner what was switched off, "
            "and why."
        )
        yield Line(status="WARN", check="log.silence", sentence=sentence)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
