"""Hold logs from several places against each other: what ``fedtrace audit reconcile`` does.

Every side keeps its own log, and they are handed in separately: a school's export, another
school's, the consortium's. Where two tell different things, at least one of them is not true; what
is found names who has to explain it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from fedtrace.deploy.audit import FoundLog, compare_charters, compare_plans, unreadable, verify_home
from fedtrace.deploy.log_homes import find_homes, is_beginning, read_history
from fedtrace.governance.charter_history import CharterHistory
from fedtrace.governance.errors import Corrupt
from fedtrace.governance.log.crosscheck import crosscheck
from fedtrace.governance.log.entries import (
    Entry,
    LoggedEntry,
    RoundReserved,
    UpdateReceived,
    UpdateSent,
)
from fedtrace.governance.log.verify import Line, exit_code
from fedtrace.privacy.accounting import epsilon

_EXPLAINS: Mapping[str, str] = MappingProxyType(
    {
        "log.histories": "the consortium, whose key signed both",
        "members": "the school, whose key signed both",
        "rounds.plan": "the consortium",
        "rounds.checkpoint": "the consortium",
        "charter": "the consortium: it says which version of the charter is in force",
        "rounds.inputs": "the consortium",
        "rounds.privacy": "the consortium and the school: one of the two logs is not true",
        "updates.sent": "the consortium: it counts what the school does not know",
        "updates.received": "the consortium, or a connection that broke: ask for the newest log",
        "plans.accepted": "the school",
        "plans.signed": "the consortium",
        "plans.terms": "the consortium",
        "updates.reserved": "the school",
        "epsilon.recomputed": "the consortium: more was spent than the plan allows",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One line, and who has to explain it; nobody where it holds."""

    line: Line
    explains: str | None

    @property
    def sentence(self) -> str:
        """What was found, for a person."""
        asked = f" To be explained by {self.explains}." if self.explains else ""
        return self.line.sentence + asked


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciliation:
    """What ``fedtrace audit reconcile`` prints and returns.

    Attributes:
        findings: the checks, in order.
        exit_code: 0 they tell the same, 1 a person should look, 2 they do not.
        logs: those that were held against each other.
        charters: whose keys were used; None where there is none to read.
    """

    findings: tuple[Finding, ...]
    exit_code: int
    logs: tuple[FoundLog, ...] = ()
    charters: CharterHistory | None = None


def reconcile(paths: Sequence[Path]) -> Reconciliation:
    """Verify the logs at some paths and hold them against each other; total.

    Args:
        paths: homes, logs or exports, at least one with the consortium's log or a copy of it, and
            at least one with a school's.
    """
    try:
        homes = [home for path in paths for home in find_homes(path)[0]]
        charters = read_history(homes)
    except (ValueError, Corrupt, OSError) as error:
        return _of([unreadable(error)])
    found = [verify_home(home, charters) for home in homes]
    problems = [line for each in found for line in each.lines if line.status != "PASS"]
    if exit_code(problems) == 2:
        return _of(problems)
    ours, histories = _one_history([each for each in found if each.is_consortium])
    schools, twice = _one_log_a_school(found)
    lines = [*problems, *histories, *twice]
    if ours is None or not schools:
        missing = "a school's log" if ours else "the consortium's log, or a school's copy of it,"
        sentence = f"Name a path with {missing} too: there is nothing here to hold it against."
        lines.append(Line(status="FAIL", check="input", sentence=sentence))
        return _of(lines)
    lines.append(compare_charters(charters, [ours, *schools.values()]))
    lines += _sums(ours.entries, schools)
    theirs = {school: each.entries for school, each in schools.items()}
    lines += crosscheck(ours.entries, theirs, charters=charters, epsilon=epsilon)
    lines += compare_plans([ours, *schools.values()], charters, whole=False)
    return _of(lines, logs=[ours, *schools.values()], charters=charters)


def _one_history(consortiums: Sequence[FoundLog]) -> tuple[FoundLog | None, list[Line]]:
    """The longest log of the consortium; every other one must be a beginning of it."""
    longest = max(consortiums, key=lambda each: len(each.stored), default=None)
    if longest is None or len(consortiums) == 1:
        return longest, []
    for each in consortiums:
        if not is_beginning(each.stored, longest.stored):
            place, other = _place(each), _place(longest)
            sentence = f"The consortium's log at {place} and at {other} are two histories."
            return longest, [Line(status="FAIL", check="log.histories", sentence=sentence)]
    sentence = (
        f"The {len(consortiums)} copies of the consortium's log, of up to {len(longest.stored)} "
        "entries, are one history."
    )
    return longest, [Line(status="PASS", check="log.histories", sentence=sentence)]


def _one_log_a_school(found: Sequence[FoundLog]) -> tuple[dict[str, FoundLog], list[Line]]:
    """The longest log of each school; another one of it must be a beginning of it."""
    schools: dict[str, FoundLog] = {}
    problems = []
    for each in sorted(found, key=lambda log: -len(log.stored)):
        if each.school is None:
            continue
        longest = schools.setdefault(each.school, each)
        if not is_beginning(each.stored, longest.stored):
            sentence = (
                f"The log of {each.school} at {_place(each)} and at {_place(longest)} are two "
                "histories."
            )
            problems.append(Line(status="FAIL", check="members", sentence=sentence))
    return dict(sorted(schools.items())), problems


def _sums(consortium: Sequence[LoggedEntry], schools: Mapping[str, FoundLog]) -> Iterator[Line]:
    """How many of what each side tells; the comparison of each is made elsewhere."""
    received = [each.entry for each in consortium if each.kind is UpdateReceived]
    for school, log in schools.items():
        sent = _count(log.entries, UpdateSent)
        paid = _count(log.entries, RoundReserved)
        here = sum(isinstance(each, UpdateReceived) and each.school == school for each in received)
        sentence = (
            f"{school}: paid for {paid} rounds and sent {sent} updates; the consortium's log tells "
            f"of {here} from it."
        )
        yield Line(status="PASS", check="updates.counted", sentence=sentence)


def _count(entries: Sequence[LoggedEntry], kind: type[Entry]) -> int:
    return sum(each.kind is kind for each in entries)


def _place(log: FoundLog) -> str:
    return str(log.home.log) if log.home else "an unknown place"


def _of(
    lines: Sequence[Line],
    *,
    logs: Sequence[FoundLog] = (),
    charters: CharterHistory | None = None,
) -> Reconciliation:
    findings = tuple(
        Finding(line=line, explains=None if line.status == "PASS" else _EXPLAINS.get(line.check))
        for line in lines
    )
    return Reconciliation(
        findings=findings, exit_code=exit_code(lines), logs=tuple(logs), charters=charters
    )
