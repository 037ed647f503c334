"""Hold the logs against each other: what one side says it sent, the other must say it received.

One dishonest log can be perfectly signed. Two logs kept by different people that agree on every
digest are harder to make up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from fedtrace.governance.log.entries import (
    EvaluationClosed,
    LoggedEntry,
    PlanActivated,
    RoundClosed,
    RoundOpened,
    RoundReserved,
    UpdateReceived,
    UpdateSent,
)
from fedtrace.governance.log.verify import Line

Entries = Sequence[LoggedEntry]

_Round = tuple[str, str, int]
"""Plan, run and number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """One noised release as the log tells it; the accountant's event."""

    noise_multiplier: float
    sampling_rate: float
    count: int = 1


Accountant = Callable[[Sequence[Release], float], float]
"""(releases, delta) -> epsilon; the production one is `fedtrace.privacy.accounting.epsilon`."""


def crosscheck(
    consortium: Entries, schools: Mapping[str, Entries], *, epsilon: Accountant
) -> tuple[Line, ...]:
    """Compare the consortium's log with the logs of the schools at hand.

    Args:
        consortium: its entries, verified.
        schools: school -> its entries, verified; any number of the members.
        epsilon: recomputes what was spent.
    """
    return (
        *_plans(consortium),
        *_inputs(consortium),
        *_updates(consortium, schools),
        *_epsilons(consortium, schools, epsilon),
    )


def _plans(consortium: Entries) -> Iterator[Line]:
    """Every round was run under a plan that had been activated before."""
    active: set[str] = set()
    rounds = 0
    for logged in consortium:
        entry = logged.entry
        if isinstance(entry, PlanActivated):
            active.add(entry.plan_digest)
        elif isinstance(entry, RoundOpened):
            rounds += 1
            if entry.plan_digest not in active:
                sentence = f"Round {entry.round} was opened under a plan that nobody had activated."
                yield Line(status="FAIL", check="rounds.plan", sentence=sentence)
                return
    sentence = f"All {rounds} rounds were opened under a plan that enough schools had signed."
    yield Line(status="PASS", check="rounds.plan", sentence=sentence)


def _inputs(consortium: Entries) -> Iterator[Line]:
    """What a round summed is exactly what it had received, in all its attempts."""
    received: dict[_Round, set[tuple[str, str]]] = {}
    summed: dict[_Round, list[tuple[str, str]]] = {}
    for logged in consortium:
        entry = logged.entry
        if isinstance(entry, UpdateReceived):
            received.setdefault(_round(entry), set()).add((entry.school, entry.digest))
        elif isinstance(entry, RoundClosed | EvaluationClosed):  # several where schools are many
            inputs = [(each.school, each.digest) for each in entry.inputs]
            summed.setdefault(_round(entry), []).extend(inputs)
    for which, inputs in summed.items():
        if len(inputs) != len(set(inputs)) or set(inputs) != received.get(which, set()):
            sentence = f"Round {which[2]} summed other updates than it had received."
            yield Line(status="FAIL", check="rounds.inputs", sentence=sentence)
            return
    sentence = "Every round summed each update that it had received once, and no other."
    yield Line(status="PASS", check="rounds.inputs", sentence=sentence)


def _updates(consortium: Entries, schools: Mapping[str, Entries]) -> Iterator[Line]:
    """Every update that arrived was sent; one that was sent and never arrived is printed."""
    received: dict[str, set[str]] = {}
    for logged in consortium:
        if isinstance(logged.entry, UpdateReceived):
            received.setdefault(logged.entry.school, set()).add(logged.entry.digest)
    for school, entries in sorted(schools.items()):
        sent = {each.entry.digest for each in entries if isinstance(each.entry, UpdateSent)}
        arrived = received.get(school, set())
        invented, lost = arrived - sent, sent - arrived
        if invented:
            sentence = (
                f"The consortium counts {len(invented)} updates from {school} that {school} "
                f"never sent; the first is {min(invented)}."
            )
            yield Line(status="FAIL", check="updates.sent", sentence=sentence)
        elif lost:
            sentence = (
                f"{school} sent {len(lost)} updates that the consortium did not sum: late, "
                f"rejected or lost on the way; the first is {min(lost)}."
            )
            yield Line(status="WARN", check="updates.received", sentence=sentence)
        else:
            sentence = f"All {len(sent)} updates that {school} sent were received unchanged."
            yield Line(status="PASS", check="updates.received", sentence=sentence)


def _epsilons(
    consortium: Entries, schools: Mapping[str, Entries], epsilon: Accountant
) -> Iterator[Line]:
    """Epsilon of each plan, recomputed from what each log says was released."""
    for plan in (each.entry for each in consortium if isinstance(each.entry, PlanActivated)):
        limit, delta = float(plan.epsilon_job), float(plan.delta)
        for name, releases in (
            ("the consortium's log", _closed(consortium, plan.plan_digest)),
            *(
                (f"the log of {school}", _reserved(entries, plan.plan_digest))
                for school, entries in sorted(schools.items())
            ),
        ):
            spent = epsilon(releases, delta) if releases else 0.0
            sentence = (
                f"By {name}, {len(releases)} releases about one student come to epsilon "
                f"{spent:.3f} (delta {delta:g}, add-or-remove-one student, trust mode "
                f"{plan.trust_mode}); the plan allows {limit:g}."
            )
            yield Line(
                status="PASS" if spent <= limit else "FAIL",
                check="epsilon.recomputed",
                sentence=sentence,
            )


def _closed(entries: Entries, plan_digest: str) -> list[Release]:
    """One release a closed round, however many entries tell of it."""
    releases = {
        _round(each.entry): Release(
            noise_multiplier=float(each.entry.noise_multiplier),
            sampling_rate=(
                float(each.entry.sampling_rate) if isinstance(each.entry, RoundClosed) else 1.0
            ),
        )
        for each in entries
        if isinstance(each.entry, RoundClosed | EvaluationClosed)
        and each.entry.plan_digest == plan_digest
    }
    return list(releases.values())


def _reserved(entries: Entries, plan_digest: str) -> list[Release]:
    """One release a reservation: a round that was paid for twice counts twice."""
    return [
        Release(
            noise_multiplier=float(each.entry.noise_multiplier),
            sampling_rate=float(each.entry.sampling_rate),
        )
        for each in entries
        if isinstance(each.entry, RoundReserved) and each.entry.plan_digest == plan_digest
    ]


def _round(entry: UpdateReceived | RoundClosed | EvaluationClosed) -> _Round:
    return (entry.plan_digest, entry.run_id, entry.round)
