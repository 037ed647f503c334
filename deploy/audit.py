"""Find the logs under a path and verify them: what ``fedtrace audit verify`` does.

Only public keys are used. They come from the charter, which lies beside every log; where logs of
several homes are verified together, their charters must be one and the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from fedtrace.client.mirror import MIRROR_FOLDER
from fedtrace.deploy.log_homes import (
    PLAN_FILE,
    REVOCATION_FILE,
    LogHome,
    find_homes,
    read_history,
    read_plans,
    read_stored,
)
from fedtrace.deploy.witness_checks import check_forks, check_mirrors, check_witnesses
from fedtrace.governance.charter import Charter
from fedtrace.governance.charter_history import CharterHistory
from fedtrace.governance.errors import Corrupt
from fedtrace.governance.log.charters import CHARTER_KINDS, check_charters, in_force
from fedtrace.governance.log.checkpoint import parse_checkpoint
from fedtrace.governance.log.crosscheck import crosscheck
from fedtrace.governance.log.entries import Entry, LoggedEntry
from fedtrace.governance.log.note import NoteError, parse_note
from fedtrace.governance.log.plans import KINDS, check_plans, named_plans, revoked_plans
from fedtrace.governance.log.storage import CHECKPOINT
from fedtrace.governance.log.verify import Line, LogBytes, exit_code, verify_log
from fedtrace.governance.witnessing import school_origin
from fedtrace.privacy.accounting import epsilon

LOGS_SHOWN = 5
"""More school logs that are whole share a line."""

_NEXT_STEP = "Keep a copy of the folder as it is, and tell the privacy officer."


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundLog:
    """One log after its verification.

    Attributes:
        school: whose, or None for the consortium's or where that is unknown.
        is_consortium: true for the consortium's.
        lines: what its checks found.
        home: where it lies.
        entries: what it says; empty where it cannot be believed.
        stored: the same, as lines.
        entry_bytes: its size.
    """

    school: str | None
    is_consortium: bool
    lines: tuple[Line, ...]
    home: LogHome | None = None
    entries: tuple[LoggedEntry, ...] = ()
    stored: Sequence[bytes] = ()
    entry_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What ``fedtrace audit verify`` prints and returns.

    Attributes:
        lines: the checks, in order.
        exit_code: 0 all hold, 1 a person should look, 2 one does not hold.
        entries: number of entries that were verified, of all logs.
        log_bytes: size of all entries.
        logs: each log and what it says.
        charters: whose keys were used; None where there is none to read.
    """

    lines: tuple[Line, ...]
    exit_code: int
    entries: int
    log_bytes: int
    logs: tuple[FoundLog, ...] = ()
    charters: CharterHistory | None = None


def verify_path(path: Path) -> Verdict:
    """Verify every log under ``path`` and hold them against each other; total.

    Args:
        path: a log's folder, a school's or the consortium's home, or a folder that holds
            ``consortium/`` and ``schools/*/``.
    """
    try:
        homes, together = find_homes(path)
        charters = read_history(homes)
    except (ValueError, Corrupt, OSError) as error:
        lines = [unreadable(error)]
        return Verdict(lines=tuple(lines), exit_code=exit_code(lines), entries=0, log_bytes=0)
    # The consortium's log first: while a round is running, what it knows was sent before.
    found = [verify_home(home, charters) for home in homes]
    charter = charters.current
    lines = [compare_charters(charters, found), *_merge([each.lines for each in found])]
    if together:
        lines += _compare_members(charter, found)
    if exit_code(lines) < 2:
        lines += _compare_witnesses(found, charters)
        consortium = next((each.entries for each in found if each.is_consortium), None)
        schools = {each.school: each.entries for each in found if each.school is not None}
        lines += crosscheck(consortium, schools, charters=charters, epsilon=epsilon)
        lines += compare_plans(found, charters, whole=together)
    else:
        sentence = f"The logs were not compared, because of what is said above. {_NEXT_STEP}"
        lines.append(Line(status="FAIL", check="crosscheck", sentence=sentence))
    return Verdict(
        lines=tuple(lines),
        exit_code=exit_code(lines),
        entries=sum(len(each.entries) for each in found),
        log_bytes=sum(each.entry_bytes for each in found),
        logs=tuple(found),
        charters=charters,
    )


def verify_home(home: LogHome, charters: CharterHistory) -> FoundLog:
    """Read and verify one log; whose it is, it says itself, and its key must prove it."""
    try:
        stored = read_stored(home.log)
        if stored.checkpoint is None:
            raise ValueError(f"The log in {home.log} is gone: there is no {CHECKPOINT}.")
        origin = parse_checkpoint(parse_note(stored.checkpoint)[0]).origin
    except NoteError as error:
        sentence = f"The checkpoint in {home.log} cannot be believed: {error}."
        line = Line(status="FAIL", check=f"checkpoint.{error.check}", sentence=sentence)
        return FoundLog(school=None, is_consortium=False, lines=(line,))
    except (ValueError, Corrupt, OSError) as error:
        return FoundLog(school=None, is_consortium=False, lines=(unreadable(error),))
    school = None
    charter = charters.current
    name, public_key = "the consortium's log", charter.log.public_key
    if origin != charter.log.origin:
        members = charters.ever_members().values()
        member = next((m for m in members if school_origin(charter, m.name) == origin), None)
        if member is None:
            sentence = f"The log in {home.log} is of nobody that the charter names."
            line = Line(status="FAIL", check="checkpoint.origin", sentence=sentence)
            return FoundLog(school=None, is_consortium=False, lines=(line,))
        school = member.name
        name, public_key = f"the log of {school}", member.log_public_key
    verified = verify_log(
        LogBytes(
            name=name,
            kind="school" if school else "consortium",
            origin=origin,
            public_key=public_key,
            lines=stored.lines,
            torn=stored.torn_bytes,
            checkpoint=stored.checkpoint,
        )
    )
    return FoundLog(
        school=school,
        is_consortium=school is None,
        lines=verified.lines,
        home=home,
        entries=verified.entries,
        stored=stored.lines[: len(verified.entries)],
        entry_bytes=stored.entry_bytes,
    )


def compare_charters(charters: CharterHistory, found: Sequence[FoundLog]) -> Line:
    """The versions of the charter that lie here, and what the logs tell of them."""
    consortium = next((each for each in found if each.is_consortium), None)
    return check_charters(
        charters,
        None if consortium is None else _charter_entries(consortium.entries),
        {each.school: _charter_entries(each.entries) for each in found if each.school is not None},
        copied=_is_copy(consortium),
    )


def _charter_entries(entries: Sequence[LoggedEntry]) -> list[Entry]:
    return [each.entry for each in entries if each.kind in CHARTER_KINDS]


def _is_copy(consortium: FoundLog | None) -> bool:
    """Whether the consortium's log is a school's copy of it."""
    home = None if consortium is None else consortium.home
    return home is not None and home.log.name == MIRROR_FOLDER


def compare_plans(
    found: Sequence[FoundLog], charters: CharterHistory, *, whole: bool
) -> Iterator[Line]:
    """The signed plans that lie beside the logs, and the logs held against them."""
    logs = {
        each.school: [logged.entry for logged in each.entries if logged.kind in KINDS]
        for each in found
    }
    homes = [each.home for each in found if each.home is not None]

    def copies(digests: Sequence[str], name: str) -> dict[str, list[bytes]]:
        return {
            digest: list(dict.fromkeys(c for home in homes for c in read_plans(home, digest, name)))
            for digest in digests
        }

    try:
        envelopes = copies(named_plans(list(logs.values())), PLAN_FILE)
        revocations = copies(revoked_plans(logs.get(None, ())), REVOCATION_FILE)
    except (Corrupt, OSError) as error:
        yield unreadable(error)
        return
    consortium = logs.pop(None, None)
    schools = {school: entries for school, entries in logs.items() if school is not None}
    yield from check_plans(
        consortium,
        schools,
        envelopes,
        revocations=revocations,
        charters=charters,
        whole=whole,
        copied=any(_is_copy(each) for each in found if each.is_consortium),
    )


def _compare_witnesses(found: Sequence[FoundLog], charters: CharterHistory) -> Iterator[Line]:
    """What the members saw of the consortium's log agrees with what is here."""
    consortium = next((each for each in found if each.is_consortium), None)
    homes = {
        each.school: each.home.charter.parent
        for each in found
        if each.school is not None and each.home is not None
    }
    if consortium is not None and consortium.home is not None:
        if not _is_copy(consortium):
            yield check_witnesses(
                consortium.home.log,
                consortium.stored,
                lambda size: in_force(charters, _charter_entries(consortium.entries[:size])),
            )
        yield from check_mirrors(homes, consortium.stored)
    yield from check_forks(homes, charters.current)


def _compare_members(charter: Charter, found: Sequence[FoundLog]) -> Iterator[Line]:
    """Every member's log and the consortium's are here once."""
    here = [each.school for each in found if each.school is not None]
    twice = sorted({school for school in here if here.count(school) > 1})
    if twice:
        sentence = f"There are two logs of {twice[0]}: one of them is a copy in the wrong place."
        yield Line(status="FAIL", check="members", sentence=sentence)
    if sum(each.is_consortium for each in found) != 1:
        sentence = "There is not one log of the consortium here that can be believed."
        yield Line(status="FAIL", check="members", sentence=sentence)
    missing = sorted({member.name for member in charter.members} - set(here))
    if missing:
        shown = ", ".join(missing[:LOGS_SHOWN]) + (", ..." if len(missing) > LOGS_SHOWN else "")
        sentence = (
            f"The logs of {len(missing)} of {len(charter.members)} members are not here, so what "
            f"they sent was not compared: {shown}."
        )
        yield Line(status="WARN", check="members", sentence=sentence)


def _merge(logs: Sequence[Sequence[Line]]) -> Iterator[Line]:
    """The lines of all logs; where many are whole, they share a line."""
    whole = [lines[0] for lines in logs if len(lines) == 1 and lines[0].check == "log.whole"]
    merged = whole[LOGS_SHOWN:] if len(whole) > LOGS_SHOWN + 1 else []
    for line in (line for lines in logs for line in lines):
        if line not in merged:
            yield line
    if merged:
        sentence = f"The logs of {len(merged)} more schools are whole in the same way."
        yield Line(status="PASS", check="log.whole", sentence=sentence)


def unreadable(error: Exception) -> Line:
    """What cannot be read, and what to do about it."""
    if isinstance(error, OSError):
        sentence = f"{error.filename or 'A file'} cannot be read: {error.strerror}."
    elif isinstance(error, Corrupt):
        sentence = f"{error}. {_NEXT_STEP}"
    else:
        sentence = str(error)
    return Line(status="FAIL", check="input", sentence=sentence)
