"""Verify one log from its bytes and its public key: no I/O, no clock, no trust in its owner.

Each check has a name that `Line.check` carries; removing any of them makes a test fail.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from fedtrace.governance.errors import Rejected
from fedtrace.governance.log.checkpoint import open_checkpoint
from fedtrace.governance.log.entries import (
    CONSORTIUM_ENTRIES,
    SCHOOL_ENTRIES,
    Entry,
    LoggedEntry,
    decode_entry,
)
from fedtrace.governance.log.merkle import MerkleTree, leaf_hash
from fedtrace.governance.log.note import NoteError
from fedtrace.governance.signing import PublicKey

Status = Literal["PASS", "WARN", "FAIL"]


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


def verify_log(log: LogBytes) -> VerifiedLog:
    """Check signature, completeness, every hash, every schema and the order of time."""
    if log.checkpoint is None:
        sentence = f"{_capital(log.name)} has no checkpoint, so nothing vouches for its entries."
        return _end([_fail("log.checkpoint", sentence)])
    try:
        checkpoint = open_checkpoint(log.checkpoint, origin=log.origin, public_key=log.public_key)
    except NoteError as error:
        sentence = f"The checkpoint of {log.name} is not signed by the key in the charter: {error}."
        return _end([_fail("log.signature", sentence)])
    found = [_pass("log.signature", f"The checkpoint of {log.name} is signed by its own key.")]

    missing = checkpoint.size - len(log.lines)
    if missing > 0:
        sentence = (
            f"{_capital(log.name)} has been cut short: {missing} of {checkpoint.size} signed "
            "entries are gone."
        )
        return _end([*found, _fail("log.size", sentence)])
    if missing < 0 or log.torn:
        sentence = (
            f"{_capital(log.name)} has {-missing} entries and {log.torn} bytes after the last "
            "signed one: a write was cut off, or the log is in use. They count for nothing."
        )
        found.append(Line(status="WARN", check="log.tail", sentence=sentence))

    signed = list(log.lines[: checkpoint.size])
    if MerkleTree(leaf_hash(line) for line in signed).root() != checkpoint.root:
        sentence = f"The entries of {log.name} are not the ones that were signed: it was changed."
        return _end([*found, _fail("log.root", sentence)])
    sentence = f"All {checkpoint.size} entries of {log.name} are unchanged since they were signed."
    found.append(_pass("log.root", sentence))

    try:
        entries = tuple(
            decode_entry(line, index=index, origin=log.origin) for index, line in enumerate(signed)
        )
    except Rejected as error:
        sentence = f"{_capital(log.name)} holds what no entry can be: {error.sentence}."
        return _end([*found, _fail("log.schema", sentence)])
    allowed: tuple[type[Entry], ...] = (
        SCHOOL_ENTRIES if log.kind == "school" else CONSORTIUM_ENTRIES
    )
    strangers = sorted({e.entry.type for e in entries if not isinstance(e.entry, allowed)})
    if strangers:
        sentence = f"{_capital(log.name)} has entries of another kind of log: {strangers[0]}."
        return _end([*found, _fail("log.schema", sentence)])
    found.append(
        _pass("log.schema", f"No entry of {log.name} has room for a student's data or free text.")
    )
    if any(later.time < earlier.time for earlier, later in pairwise(entries)):
        sentence = f"Time runs backwards in {log.name}: a clock was set back."
        found.append(Line(status="WARN", check="log.time", sentence=sentence))
    return VerifiedLog(lines=tuple(found), entries=entries)


def exit_code(lines: Iterable[Line]) -> int:
    """0 where every check passes, 1 where a person should look, 2 where one fails."""
    statuses = {line.status for line in lines}
    return 2 if "FAIL" in statuses else 1 if "WARN" in statuses else 0


def _end(lines: list[Line]) -> VerifiedLog:
    return VerifiedLog(lines=tuple(lines), entries=())


def _pass(check: str, sentence: str) -> Line:
    return Line(status="PASS", check=check, sentence=sentence)


def _fail(check: str, sentence: str) -> Line:
    return Line(status="FAIL", check=check, sentence=sentence)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
