"""Find the logs under a path and verify them: what ``fedtrace audit verify`` does.

Only public keys are used. They come from the charter, which lies in every home; where logs of
several homes are verified together, their charters must be one and the same.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fedtrace.client.school import log_origin
from fedtrace.governance.charter import Charter
from fedtrace.governance.errors import Corrupt, Rejected
from fedtrace.governance.log.crosscheck import crosscheck
from fedtrace.governance.log.entries import LoggedEntry
from fedtrace.governance.log.storage import CHECKPOINT, ENTRIES, read_log
from fedtrace.governance.log.verify import Line, LogBytes, exit_code, verify_log
from fedtrace.privacy.accounting import epsilon

_NEXT_STEP = "Keep a copy of the folder as it is and tell the privacy officer."


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What ``fedtrace audit verify`` prints and returns."""

    lines: tuple[Line, ...]
    exit_code: int
    entries: int
    log_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """A log's folder, its home, and whose log it is."""

    directory: Path
    home: Path
    kind: Literal["school", "consortium"]
    name: str


def verify_path(path: Path) -> Verdict:
    """Verify every log under ``path`` and hold them against each other; total.

    Args:
        path: a log's folder, a school's or the consortium's home, or a folder that holds
            ``consortium/`` and ``schools/*/``.
    """
    try:
        found = _discover(path)
        charter = _charter(found)
        return _verify(found, charter)
    except (ValueError, Corrupt, Rejected) as error:
        return _verdict([_fail("input", f"{error} {_NEXT_STEP}")])
    except OSError as error:
        where = error.filename or path
        return _verdict([_fail("input", f"{where} cannot be read: {error.strerror}.")])


def _verify(found: list[_Found], charter: Charter) -> Verdict:
    lines: list[Line] = []
    consortium: tuple[LoggedEntry, ...] = ()
    schools: dict[str, tuple[LoggedEntry, ...]] = {}
    whole = True
    size = 0
    for each in found:
        log = _read(each, charter)
        size += sum(len(line) + 1 for line in log.lines)
        verified = verify_log(log)
        lines += verified.lines
        whole = whole and exit_code(verified.lines) < 2
        if each.kind == "consortium":
            consortium = verified.entries
        else:
            schools[each.name] = verified.entries
    if consortium and whole:
        lines += crosscheck(consortium, schools, epsilon=epsilon)
    elif not whole:
        sentence = "The logs were not compared with each other, because one cannot be believed."
        lines.append(_fail("crosscheck", f"{sentence} {_NEXT_STEP}"))
    entries = len(consortium) + sum(len(each) for each in schools.values())
    return _verdict(lines, entries=entries, log_bytes=size)


def _discover(path: Path) -> list[_Found]:
    """Every log under a path, the consortium's first.

    Raises:
        ValueError: there is none.
    """
    if not path.exists():
        raise ValueError(f"There is nothing at {path}; check the path.")
    homes = [path, path.parent, path / "consortium", *sorted((path / "schools").glob("*"))]
    found = list(_logs(homes[2:])) or list(_logs(homes[:1])) or list(_logs(homes[1:2]))
    if not found:
        raise ValueError(
            f"There is no log at {path}: name a school's or the consortium's home, or a folder "
            "with consortium/ and schools/."
        )
    return sorted(found, key=lambda each: (each.kind != "consortium", each.name))


def _logs(homes: list[Path]) -> Iterator[_Found]:
    for home in homes:
        directory = home / "log"
        if not (home / "charter.json").exists():
            continue
        if not ((directory / ENTRIES).exists() or (directory / CHECKPOINT).exists()):
            raise ValueError(f"The log of {home} is gone: there is no {ENTRIES} in {directory}.")
        policy = home / "policy.json"
        if policy.exists():
            name = str(json.loads(policy.read_bytes()).get("school", ""))
            yield _Found(directory=directory, home=home, kind="school", name=name)
        else:
            yield _Found(directory=directory, home=home, kind="consortium", name="consortium")


def _charter(found: list[_Found]) -> Charter:
    """The one charter of all homes.

    Raises:
        ValueError: homes have different charters.
        Rejected: it is not a charter.
    """
    charters = {(each.home / "charter.json").read_bytes() for each in found}
    if len(charters) > 1:
        raise ValueError("The homes have different charters, so their keys cannot be compared.")
    return Charter.from_bytes(charters.pop())


def _read(found: _Found, charter: Charter) -> LogBytes:
    """A log's bytes and whose they should be, by the charter.

    Raises:
        ValueError: the school is not a member.
        Corrupt: a file is larger than any log.
    """
    if found.kind == "consortium":
        name, origin, key = "the consortium's log", charter.log.origin, charter.log.public_key
    else:
        member = next((m for m in charter.members if m.name == found.name), None)
        if member is None:
            raise ValueError(f"{found.name or 'A school'} is not a member in the charter.")
        name, key = f"the log of {found.name}", member.log_public_key
        origin = log_origin(charter, found.name)
    stored = read_log(found.directory)
    return LogBytes(
        name=name,
        kind=found.kind,
        origin=origin,
        public_key=key,
        lines=stored.lines,
        torn=stored.torn_bytes,
        checkpoint=stored.checkpoint,
    )


def _fail(check: str, sentence: str) -> Line:
    return Line(status="FAIL", check=check, sentence=sentence)


def _verdict(lines: list[Line], *, entries: int = 0, log_bytes: int = 0) -> Verdict:
    return Verdict(
        lines=tuple(lines), exit_code=exit_code(lines), entries=entries, log_bytes=log_bytes
    )
