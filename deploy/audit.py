"""Find the logs under a path and verify them: what ``fedtrace audit verify`` does.

Only public keys are used. They come from the charter, which lies beside every log; where logs of
several homes are verified together, their charters must be one and the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from fedtrace.client.log_view import log_origin
from fedtrace.governance.charter import Charter
from fedtrace.governance.errors import Corrupt, Rejected
from fedtrace.governance.log.checkpoint import parse_checkpoint
from fedtrace.governance.log.crosscheck import crosscheck
from fedtrace.governance.log.entries import CharterAdopted, LoggedEntry, SchoolInitialised
from fedtrace.governance.log.note import NoteError, parse_note
from fedtrace.governance.log.storage import CHECKPOINT, ENTRIES, read_limited, read_log
from fedtrace.governance.log.verify import Line, LogBytes, exit_code, verify_log
from fedtrace.privacy.accounting import epsilon

CHARTER = "charter.json"
LOGS_SHOWN = 5
"""More school logs that are whole share a line."""

_WHERE_TO_LOOK = (
    "name a school's or the consortium's home, its log folder, or a folder with consortium/ and "
    "schools/"
)
_NEXT_STEP = "Keep a copy of the folder as it is, and tell the privacy officer."


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What ``fedtrace audit verify`` prints and returns.

    Attributes:
        lines: the checks, in order.
        exit_code: 0 all hold, 1 a person should look, 2 one does not hold.
        entries: number of entries that were verified, of all logs.
        log_bytes: size of all entries.
    """

    lines: tuple[Line, ...]
    exit_code: int
    entries: int
    log_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Home:
    """A folder with a charter and a log.

    Attributes:
        charter: the charter's file.
        log: the log's folder.
    """

    charter: Path
    log: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """One log after its verification.

    Attributes:
        school: whose, or None for the consortium's or where that is unknown.
        is_consortium: true for the consortium's.
        lines: what its checks found.
        entries: what it says; empty where it cannot be believed.
        entry_bytes: its size.
    """

    school: str | None
    is_consortium: bool
    lines: tuple[Line, ...]
    entries: tuple[LoggedEntry, ...] = ()
    entry_bytes: int = 0


def verify_path(path: Path) -> Verdict:
    """Verify every log under ``path`` and hold them against each other; total.

    Args:
        path: a log's folder, a school's or the consortium's home, or a folder that holds
            ``consortium/`` and ``schools/*/``.
    """
    try:
        homes, together = _find_homes(path)
        charter = _read_charter(homes)
    except (ValueError, Rejected, Corrupt, OSError) as error:
        return _verdict([_unreadable(error)])
    # The consortium's log first: while a round is running, what it knows was sent before.
    found = [_verify_home(home, charter) for home in homes]
    lines = [_compare_charter(charter, found), *_merge([each.lines for each in found])]
    if together:
        lines += _compare_members(charter, found)
    if exit_code(lines) < 2:
        consortium = next((each.entries for each in found if each.is_consortium), None)
        schools = {each.school: each.entries for each in found if each.school is not None}
        lines += crosscheck(consortium, schools, charter=charter, epsilon=epsilon)
    else:
        sentence = f"The logs were not compared, because of what is said above. {_NEXT_STEP}"
        lines.append(Line(status="FAIL", check="crosscheck", sentence=sentence))
    return _verdict(
        lines,
        entries=sum(len(each.entries) for each in found),
        log_bytes=sum(each.entry_bytes for each in found),
    )


def _find_homes(path: Path) -> tuple[list[_Home], bool]:
    """Every home under a path, the consortium's first; true where it should be all of them.

    Raises:
        ValueError: there is none.
        OSError: a folder cannot be read.
    """
    if not path.exists():
        raise ValueError(f"There is nothing at {path}: check the path, or {_WHERE_TO_LOOK}.")
    if not path.is_dir():
        raise ValueError(f"{path} is a file: {_WHERE_TO_LOOK}.")
    if (path / "consortium").is_dir() or (path / "schools").is_dir():
        schools = path / "schools"
        folders = [path / "consortium"]
        if schools.is_dir():
            folders += sorted(each for each in schools.iterdir() if each.is_dir())
        return [_Home(charter=each / CHARTER, log=each / "log") for each in folders], True
    if (path / CHARTER).exists() or (path / "log").is_dir():
        return [_Home(charter=path / CHARTER, log=path / "log")], False
    if (path / ENTRIES).exists() or (path / CHECKPOINT).exists():
        return [_Home(charter=path.absolute().parent / CHARTER, log=path)], False
    raise ValueError(f"There is no log at {path}: {_WHERE_TO_LOOK}.")


def _read_charter(homes: Sequence[_Home]) -> Charter:
    """The one charter of all homes.

    Raises:
        ValueError: one is missing, or they differ.
        Rejected: it is not a charter.
        Corrupt, OSError: it cannot be read.
    """
    charters = set()
    for home in homes:
        charter = read_limited(home.charter, Charter.limit_bytes)
        if charter is None:
            raise ValueError(
                f"{home.charter} is missing: without a charter nobody knows whose keys count. "
                "Ask whoever gave you this folder for it."
            )
        charters.add(charter)
    if len(charters) > 1:
        raise ValueError(
            "The homes have different charters, so their logs cannot be compared. Ask which one "
            "the schools signed."
        )
    return Charter.from_bytes(charters.pop())


def _verify_home(home: _Home, charter: Charter) -> _Found:
    """Read and verify one log; whose it is, it says itself, and its key must prove it."""
    try:
        stored = read_log(home.log)
        if stored.checkpoint is None:
            raise ValueError(f"The log in {home.log} is gone: there is no {CHECKPOINT}.")
        origin = parse_checkpoint(parse_note(stored.checkpoint)[0]).origin
    except NoteError as error:
        sentence = f"The checkpoint in {home.log} cannot be believed: {error}."
        line = Line(status="FAIL", check=f"checkpoint.{error.check}", sentence=sentence)
        return _Found(school=None, is_consortium=False, lines=(line,))
    except (ValueError, Corrupt, OSError) as error:
        return _Found(school=None, is_consortium=False, lines=(_unreadable(error),))
    school = None
    name, public_key = "the consortium's log", charter.log.public_key
    if origin != charter.log.origin:
        member = next((m for m in charter.members if log_origin(charter, m.name) == origin), None)
        if member is None:
            sentence = f"The log in {home.log} is of nobody that the charter names."
            line = Line(status="FAIL", check="checkpoint.origin", sentence=sentence)
            return _Found(school=None, is_consortium=False, lines=(line,))
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
    return _Found(
        school=school,
        is_consortium=school is None,
        lines=verified.lines,
        entries=verified.entries,
        entry_bytes=stored.entry_bytes,
    )


def _compare_charter(charter: Charter, found: Sequence[_Found]) -> Line:
    """Every log was started under the charter whose keys were used here."""
    digest = charter.digest()
    for each in found:
        for logged in each.entries:
            entry = logged.entry
            if isinstance(entry, CharterAdopted | SchoolInitialised):
                if entry.charter_digest == digest:
                    continue
                sentence = (
                    f"The log of {each.school or 'the consortium'} was started under another "
                    f"charter than the one that lies here, {digest}. {_NEXT_STEP}"
                )
                return Line(status="FAIL", check="charter", sentence=sentence)
    sentence = (
        f"The keys are those of charter {digest} of {charter.consortium}, with "
        f"{len(charter.members)} members. Compare it with the one that your school has."
    )
    return Line(status="PASS", check="charter", sentence=sentence)


def _compare_members(charter: Charter, found: Sequence[_Found]) -> Iterator[Line]:
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


def _unreadable(error: Exception) -> Line:
    """What cannot be read, and what to do about it."""
    if isinstance(error, OSError):
        sentence = f"{error.filename or 'A file'} cannot be read: {error.strerror}."
    elif isinstance(error, Rejected):
        sentence = f"{CHARTER} is not a charter: {error.sentence}. {_NEXT_STEP}"
    elif isinstance(error, Corrupt):
        sentence = f"{error}. {_NEXT_STEP}"
    else:
        sentence = str(error)
    return Line(status="FAIL", check="input", sentence=sentence)


def _verdict(lines: Sequence[Line], *, entries: int = 0, log_bytes: int = 0) -> Verdict:
    return Verdict(
        lines=tuple(lines), exit_code=exit_code(lines), entries=entries, log_bytes=log_bytes
    )
