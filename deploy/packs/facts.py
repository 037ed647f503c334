"""What the logs and plans under a path say, verified: all that evidence is ever taken from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from fedtrace.client.mirror import MIRROR_FOLDER
from fedtrace.deploy.audit import FoundLog, Verdict, verify_path
from fedtrace.governance.canonical import digest
from fedtrace.governance.charter_history import CharterHistory
from fedtrace.governance.errors import Rejected
from fedtrace.governance.log.entries import Entry, LoggedEntry, PlanAccepted, PlanActivated
from fedtrace.governance.log.storage import read_limited
from fedtrace.governance.plan_signing import SignedPlan, open_past_plan
from fedtrace.governance.refusals import Refused
from fedtrace.governance.signing import ENVELOPE_LIMIT_BYTES

PLAN_FILES = "plans/*/plan.dsse.json"
"""Where a school's and the consortium's home keep their plans."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entered:
    """One entry and where it stands, so that anybody can look it up.

    Attributes:
        log: the log's name, its origin.
        index: the entry's place, from 0.
        digest: ``sha256:<hex>`` of its line in ``entries.jsonl``, without the newline.
        time: when it was written, by the clock of the log's owner.
        entry: what it says.
    """

    log: str
    index: int
    digest: str
    time: datetime
    entry: Entry


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What can be believed of what lies under a path.

    Attributes:
        verdict: of the same verification as ``fedtrace audit verify``.
        logs: those that verify; none at all where a check failed.
        plans: the signed plans at hand that these logs know.
        unread: digests of the plans that the logs know and that are not at hand.
    """

    verdict: Verdict
    logs: tuple[FoundLog, ...] = ()
    plans: tuple[SignedPlan, ...] = ()
    unread: tuple[str, ...] = ()
    _places: dict[type[Entry], list[tuple[FoundLog, LoggedEntry]]] = field(
        default_factory=dict, repr=False
    )

    @property
    def has_school(self) -> bool:
        """A school's own log is among them."""
        return any(log.school is not None for log in self.logs)

    @property
    def has_consortium(self) -> bool:
        """The consortium's log, or a school's copy of it, is among them."""
        return any(log.is_consortium for log in self.logs)

    @property
    def schools(self) -> frozenset[str]:
        """The schools whose own log is among them."""
        return frozenset(log.school for log in self.logs if log.school is not None)

    @property
    def is_of_one_school(self) -> bool:
        """It is a school's home: what the others did, its copy of the log knows, is not its."""
        return len(self.schools) == 1 and all(
            log.school is not None or (log.home is not None and log.home.log.name == MIRROR_FOLDER)
            for log in self.logs
        )

    def plan_entries(self) -> list[Entered]:
        """Where the logs name their plans; of a school's home, those that the school accepted."""
        found = self.entries(PlanActivated, PlanAccepted)
        if not self.is_of_one_school:
            return found
        accepted = _plans_of(self.entries(PlanAccepted))
        return [each for each in found if _plans_of([each]) <= accepted]

    def entries(self, *kinds: type[Entry]) -> list[Entered]:
        """Every entry of these types, oldest first."""
        found = [_entered(log, each) for kind in kinds for log, each in self._places.get(kind, [])]
        return sorted(found, key=lambda each: (each.time, each.log, each.index))

    def newest(self) -> tuple[Entered, ...]:
        """The last entry of each log, under which its checkpoint holds all before it."""
        return tuple(_entered(log, log.entries[-1]) for log in self.logs if log.entries)


def read_facts(path: Path, plans: Sequence[Path] = ()) -> Facts:
    """Verify what lies under a path, and read its plans.

    Args:
        path: what ``fedtrace audit verify`` reads.
        plans: signed plans that do not lie there.

    Raises:
        ValueError: a file is not a plan, too few members signed it, or no log here knows it.
        Corrupt, OSError: a file cannot be read.
    """
    verdict = verify_path(path)
    if verdict.exit_code == 2 or verdict.charters is None:
        return Facts(verdict=verdict)
    places: dict[type[Entry], list[tuple[FoundLog, LoggedEntry]]] = {}
    for log in verdict.logs:
        for each in log.entries:
            places.setdefault(each.kind, []).append((log, each))
    facts = Facts(verdict=verdict, logs=verdict.logs, _places=places)
    known = _plans_of(facts.plan_entries())
    read = {plan.digest: plan for plan in _plans(verdict, plans, verdict.charters, known)}
    return Facts(
        verdict=verdict,
        logs=verdict.logs,
        plans=tuple(read[each] for each in sorted(read)),
        unread=tuple(sorted(known - read.keys())),
        _places=places,
    )


def _plans(
    verdict: Verdict, named: Sequence[Path], charters: CharterHistory, known: set[str]
) -> Iterator[SignedPlan]:
    """The plans of the homes that the logs know, and those that were named."""
    for home in sorted({log.home.charter.parent for log in verdict.logs if log.home is not None}):
        for file in sorted(home.glob(PLAN_FILES)):
            signed = _open(file, charters)
            if signed.digest in known:  # a draft that nobody accepted is no evidence
                yield signed
    for file in named:
        signed = _open(file, charters)
        if signed.digest not in known:
            raise ValueError(f"{file} is the plan {signed.digest}, which no log here knows")
        yield signed


def _open(file: Path, charters: CharterHistory) -> SignedPlan:
    envelope = read_limited(file, ENVELOPE_LIMIT_BYTES)
    if envelope is None:
        raise ValueError(f"there is no plan at {file}")
    try:
        return open_past_plan(envelope, charters)
    except Refused as error:
        raise ValueError(
            f"{file} is not signed by {charters.current.threshold} members of the charter that "
            "lies beside the logs"
        ) from error
    except Rejected as error:
        raise ValueError(f"{file} is not a signed plan: {error.sentence}") from error


def _plans_of(found: Iterable[Entered]) -> set[str]:
    """The plans that entries accept or activate."""
    entries = (each.entry for each in found)
    return {e.plan_digest for e in entries if isinstance(e, PlanActivated | PlanAccepted)}


def _entered(log: FoundLog, logged: LoggedEntry) -> Entered:
    return Entered(
        log=logged.origin,
        index=logged.index,
        digest=digest(log.stored[logged.index]),
        time=logged.time,
        entry=logged.entry,
    )
