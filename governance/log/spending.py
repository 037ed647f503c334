"""Epsilon, recomputed from what the logs say was released; nobody's own sum is taken for it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from fedtrace.governance.log.entries import (
    EvaluationClosed,
    LoggedEntry,
    PlanActivated,
    RoundClosed,
    RoundReserved,
)
from fedtrace.governance.log.verify import Line


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """``count`` equal noised releases as a log tells them; the accountant's event."""

    noise_multiplier: float
    sampling_rate: float
    count: int = 1


Accountant = Callable[[Sequence[Release], float], float]
"""(releases, delta) -> epsilon; the production one is `fedtrace.privacy.accounting.epsilon`."""


def recompute_epsilons(
    consortium: Sequence[LoggedEntry],
    schools: Mapping[str, Sequence[LoggedEntry]],
    *,
    epsilon: Accountant,
) -> Iterator[Line]:
    """Epsilon of every plan by every log, against what the plan promised to a student.

    A school that reserved for a round that never closed has spent more than the consortium's log
    can know, so each log is summed by itself. Logs that come to the same share a line.
    """
    for plan in (each.entry for each in consortium if isinstance(each.entry, PlanActivated)):
        by_releases: dict[tuple[Release, ...], list[str]] = {}
        closed = _counted(_closed(consortium, plan.plan_digest))
        by_releases.setdefault(closed, []).append("the consortium")
        for school, entries in sorted(schools.items()):
            reserved = _counted(_reserved(entries, plan.plan_digest))
            by_releases.setdefault(reserved, []).append(school)
        for releases, owners in by_releases.items():
            yield _line(plan, releases, owners, epsilon)


def _line(
    plan: PlanActivated, releases: Sequence[Release], owners: Sequence[str], epsilon: Accountant
) -> Line:
    spent = epsilon(releases, float(plan.delta)) if releases else 0.0
    logs = f"the log of {owners[0]}" if len(owners) == 1 else f"the logs of {_listed(owners)}"
    sentence = (
        f"By {logs}, {sum(each.count for each in releases)} releases about one student come to "
        f"epsilon {spent:.3f} at delta {plan.delta} (adding or removing one student, trust mode "
        f"{plan.trust_mode}); the plan allows {plan.epsilon_job}."
    )
    # Written so that an epsilon that is not a number fails.
    holds = spent <= float(plan.epsilon_job)
    return Line(status="PASS" if holds else "FAIL", check="epsilon.recomputed", sentence=sentence)


def _closed(entries: Iterable[LoggedEntry], plan_digest: str) -> Iterator[Release]:
    """One release a closed round, however many entries tell of it."""
    seen: set[tuple[str, int]] = set()
    for entry in (each.entry for each in entries):
        if not isinstance(entry, RoundClosed | EvaluationClosed):
            continue
        if entry.plan_digest == plan_digest and (entry.run_id, entry.round) not in seen:
            seen.add((entry.run_id, entry.round))
            # An evaluation asks every held-out student.
            rate = entry.sampling_rate if isinstance(entry, RoundClosed) else "1"
            yield Release(noise_multiplier=float(entry.noise_multiplier), sampling_rate=float(rate))


def _reserved(entries: Iterable[LoggedEntry], plan_digest: str) -> Iterator[Release]:
    """One release a reservation: a round that was paid for twice counts twice."""
    for entry in (each.entry for each in entries):
        if isinstance(entry, RoundReserved) and entry.plan_digest == plan_digest:
            yield Release(
                noise_multiplier=float(entry.noise_multiplier),
                sampling_rate=float(entry.sampling_rate),
            )


def _counted(releases: Iterable[Release]) -> tuple[Release, ...]:
    """Equal releases as one with a count, in an order that equal sums share."""
    counts = Counter((each.noise_multiplier, each.sampling_rate) for each in releases)
    return tuple(
        Release(noise_multiplier=noise, sampling_rate=rate, count=count)
        for (noise, rate), count in sorted(counts.items())
    )


def _listed(names: Sequence[str]) -> str:
    if len(names) > 4:
        return f"{', '.join(names[:3])} and {len(names) - 3} others"
    return f"{', '.join(names[:-1])} and {names[-1]}"
