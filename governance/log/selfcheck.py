"""What each log says must agree with itself: rounds follow from rounds, sending from reserving.

=====================  ===========================================================================
``rounds.plan``        every round was opened under a plan that enough members had signed
``rounds.checkpoint``  every round started from the checkpoint that the one before it left
``rounds.inputs``      every round summed exactly the updates that it had received, once each, and
                       all of them were members'
``plans.accepted``     every round that a school answered was under a plan that it had accepted
``updates.reserved``   no update left a school before its privacy cost was written down
=====================  ===========================================================================
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from fedtrace.governance.charter_history import CharterHistory
from fedtrace.governance.log.entries import (
    CharterChanged,
    Entry,
    EvaluationClosed,
    ModelReleased,
    PlanAccepted,
    PlanActivated,
    PlanRevoked,
    RoundClosed,
    RoundOpened,
    RoundReserved,
    SchoolMissing,
    UpdateReceived,
    UpdateRejected,
    UpdateSent,
    UpdateUnused,
)
from fedtrace.governance.log.verify import Line

Round = tuple[str, str, int]
"""Plan, run and number."""


def check_consortium(entries: Sequence[Entry], charters: CharterHistory) -> Iterator[Line]:
    """What the consortium's log tells of its rounds."""
    yield line(
        "rounds.plan",
        _unplanned_round(entries, charters),
        "Every round was opened under a plan that enough schools had signed.",
    )
    yield line(
        "rounds.checkpoint",
        _broken_chain(entries),
        "Every round started from the checkpoint that the round before it left.",
    )
    yield line(
        "rounds.inputs",
        _wrong_sum(entries, charters),
        "Every round summed each update that it had received from a member once, and no other.",
    )


def check_schools(schools: Mapping[str, Sequence[Entry]]) -> Iterator[Line]:
    """What the logs of schools tell of their answers."""
    yield line(
        "plans.accepted",
        _unaccepted_plan(schools),
        "Every round that a school answered was of a plan that it had accepted.",
    )
    yield line(
        "updates.reserved",
        _unreserved_update(schools),
        "No update left a school before its privacy cost was written down.",
    )


def line(check: str, problem: str | None, sentence: str) -> Line:
    """The line of a check: the problem that it found, or what holds."""
    return Line(status="FAIL" if problem else "PASS", check=check, sentence=problem or sentence)


def round_of(
    entry: RoundOpened
    | RoundClosed
    | RoundReserved
    | EvaluationClosed
    | SchoolMissing
    | UpdateReceived
    | UpdateUnused
    | UpdateRejected
    | UpdateSent,
) -> Round:
    """Which round an entry is about."""
    return (entry.plan_digest, entry.run_id, entry.round)


def _unplanned_round(consortium: Sequence[Entry], charters: CharterHistory) -> str | None:
    charter = charters.versions[0]
    members = {member.name for member in charter.members}
    active: set[str] = set()
    revoked: set[str] = set()
    for entry in consortium:
        if isinstance(entry, CharterChanged):
            charter = charters.version(entry.charter_digest) or charter
            members = {member.name for member in charter.members}
        elif isinstance(entry, PlanActivated):
            signers = len(members & set(entry.signers))
            if signers < charter.threshold:
                return (
                    f"Plan {entry.plan_digest} was activated with {signers} of the "
                    f"{charter.threshold} signatures that the charter asks for."
                )
            active.add(entry.plan_digest)
        elif isinstance(entry, PlanRevoked):
            signers = len(members & set(entry.signers))
            if signers < charter.threshold:
                return (
                    f"Plan {entry.plan_digest} was revoked with {signers} of the "
                    f"{charter.threshold} signatures that the charter asks for."
                )
            revoked.add(entry.plan_digest)
        elif isinstance(entry, RoundOpened) and entry.plan_digest in revoked:
            return f"Round {entry.round} was opened under a plan that had been revoked."
        elif isinstance(entry, RoundOpened) and entry.plan_digest not in active:
            return f"Round {entry.round} was opened under a plan that nobody had activated."
    return None


def _broken_chain(consortium: Sequence[Entry]) -> str | None:
    opened: set[Round] = set()
    closed: dict[Round, str] = {}
    left: dict[str, str] = {}  # run -> the checkpoint that its last closed round left
    evaluated: dict[str, str] = {}
    for entry in consortium:
        if isinstance(entry, RoundOpened):
            opened.add(round_of(entry))
            if entry.kind == "evaluate":
                evaluated[entry.run_id] = entry.checkpoint_digest
            elif left.get(entry.run_id, entry.checkpoint_digest) != entry.checkpoint_digest:
                return f"Round {entry.round} did not start from what the round before it left."
        elif isinstance(entry, RoundClosed | EvaluationClosed):
            if round_of(entry) not in opened:
                return f"Round {entry.round} was closed and had never been opened."
            if isinstance(entry, RoundClosed):
                left[entry.run_id] = entry.output_digest
                if closed.setdefault(round_of(entry), entry.output_digest) != entry.output_digest:
                    return f"Round {entry.round} was closed twice, with two checkpoints."
        elif (
            isinstance(entry, ModelReleased)
            and evaluated.get(entry.run_id, entry.digest) != entry.digest
        ):
            return f"The model that {entry.run_id} released is not the one that was judged."
    return None


def _wrong_sum(consortium: Sequence[Entry], charters: CharterHistory) -> str | None:
    members = charters.versions[0].member_keys()
    received: dict[Round, set[tuple[str, str]]] = {}
    summed: dict[Round, list[tuple[str, str]]] = {}
    for entry in consortium:
        if isinstance(entry, CharterChanged):
            changed = charters.version(entry.charter_digest)
            members = members if changed is None else changed.member_keys()
        elif isinstance(entry, UpdateReceived):
            if entry.school not in members:
                return (
                    f"Round {entry.round} counts an update of {entry.school}, which the charter "
                    "does not name."
                )
            received.setdefault(round_of(entry), set()).add((entry.school, entry.digest))
        elif isinstance(entry, RoundClosed | EvaluationClosed):  # several where schools are many
            inputs = [(each.school, each.digest) for each in entry.inputs]
            summed.setdefault(round_of(entry), []).extend(inputs)
    for which, inputs in summed.items():
        if len(inputs) != len(set(inputs)):
            return f"Round {which[2]} summed an update twice."
        if set(inputs) != received.get(which, set()):
            return f"Round {which[2]} summed other updates than it had received."
    return None


def _unaccepted_plan(schools: Mapping[str, Sequence[Entry]]) -> str | None:
    for school, entries in schools.items():
        accepted: set[str] = set()
        for entry in entries:
            if isinstance(entry, PlanAccepted):
                accepted.add(entry.plan_digest)
            elif isinstance(entry, RoundReserved) and entry.plan_digest not in accepted:
                return f"{school} answered round {entry.round} of a plan that it never accepted."
    return None


def _unreserved_update(schools: Mapping[str, Sequence[Entry]]) -> str | None:
    for school, entries in schools.items():
        reserved: set[Round] = set()
        for entry in entries:
            if isinstance(entry, RoundReserved):
                reserved.add(round_of(entry))
            elif isinstance(entry, UpdateSent) and round_of(entry) not in reserved:
                return f"{school} sent an update in round {entry.round} without reserving for it."
    return None
