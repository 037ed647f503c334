"""The privacy ledger: what has been released about students, as events, never as epsilons.

An entry is reserved before training starts and committed when its answer is stored. Whatever
becomes of it, it stays spent: a school that crashed cannot know what had already left it. So
``abandoned`` is a word for people who read the ledger, not money back.

Epsilon is computed from events by an accountant that the caller passes in
(`fedtrace.privacy.accounting.epsilon`); nothing here knows how.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal, Protocol

from fedtrace.governance.plan import Plan, RoundKind, TrustMode

State = Literal["reserved", "committed", "abandoned"]
"""Of an entry; only reserved -> committed and reserved -> abandoned happen."""

_STUDENT_YEAR = re.compile(r"[0-9]{4}/[0-9]{2}")


@dataclass(frozen=True, slots=True, kw_only=True)
class PrivacyEvent:
    """``count`` equal releases about the students of one school.

    Attributes:
        plan_digest: the plan that allowed it.
        run_id: the run and
        round: the round it belongs to; the first of them where ``count`` is more than 1.
        kind: from training students or from held-out ones.
        noise_multiplier: z.
        sampling_rate: q.
        count: how many releases.
        trust_mode: who added the noise.
        student_year: "2026/27".

    Raises:
        ValueError: a number outside its range.
    """

    plan_digest: str
    run_id: str
    round: int
    kind: RoundKind
    noise_multiplier: float
    sampling_rate: float
    count: int
    trust_mode: TrustMode
    student_year: str

    def __post_init__(self) -> None:
        """Refuse what would be accounted wrongly."""
        if not 0 <= self.noise_multiplier < math.inf:
            raise ValueError(f"a noise multiplier is finite and >= 0, not {self.noise_multiplier}")
        if not 0 < self.sampling_rate <= 1:
            raise ValueError(f"a sampling rate lies in (0, 1], not {self.sampling_rate}")
        if self.count < 1 or self.round < 1:
            raise ValueError(f"count and round are at least 1, not {self.count} and {self.round}")
        if self.kind not in ("train", "evaluate") or self.trust_mode not in (
            "local",
            "distributed",
        ):
            raise ValueError(f"unknown kind {self.kind} or trust mode {self.trust_mode}")
        if not _STUDENT_YEAR.fullmatch(self.student_year):
            raise ValueError(f"a student-year is written 2026/27, not {self.student_year}")


Accountant = Callable[[Sequence[PrivacyEvent], float], float]
"""(events, delta) -> epsilon of all of them together."""


class Exceeds(Protocol):
    """`would_exceed` with the accountant already in it (``functools.partial``, or a cache)."""

    def __call__(
        self,
        already: Sequence[PrivacyEvent],
        new_events: Sequence[PrivacyEvent],
        *,
        budget_epsilon: float,
        delta: float,
    ) -> bool:
        """True if both together pass the budget."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerEntry:
    """One line of the ledger; it never goes away.

    Raises:
        ValueError: an unknown state.
    """

    event: PrivacyEvent
    state: State = "reserved"

    def __post_init__(self) -> None:
        """Refuse a state that nobody defined."""
        if self.state not in ("reserved", "committed", "abandoned"):
            raise ValueError(f"an entry is reserved, committed or abandoned, not {self.state}")

    def committed(self) -> LedgerEntry:
        """The entry once its answer is stored.

        Raises:
            ValueError: it is not open.
        """
        return self._closed("committed")

    def abandoned(self) -> LedgerEntry:
        """The entry once it is known that no answer will come; it stays spent.

        Raises:
            ValueError: it is not open.
        """
        return self._closed("abandoned")

    def _closed(self, state: State) -> LedgerEntry:
        if self.state != "reserved":
            raise ValueError(f"the entry is {self.state}, only a reserved one can be {state}")
        return replace(self, state=state)


def student_year(moment: datetime, first_month: int) -> str:
    """The school year that a moment belongs to: "2026/27".

    Args:
        moment: with a time zone, in the school's own.
        first_month: the month in which the school's year starts, 1 to 12.

    Raises:
        ValueError: no time zone, or not a month.
    """
    if moment.tzinfo is None:
        raise ValueError("a moment needs a time zone")
    if not 1 <= first_month <= 12:
        raise ValueError(f"a month is 1 to 12, not {first_month}")
    start = moment.year if moment.month >= first_month else moment.year - 1
    return f"{start:04d}/{(start + 1) % 100:02d}"


def round_event(
    plan: Plan, *, plan_digest: str, run_id: str, round_number: int, kind: RoundKind, year: str
) -> PrivacyEvent:
    """What answering one round of a plan costs."""
    privacy = plan.round_privacy(kind)
    return PrivacyEvent(
        plan_digest=plan_digest,
        run_id=run_id,
        round=round_number,
        kind=kind,
        noise_multiplier=privacy.noise_multiplier,
        sampling_rate=privacy.sampling_rate,
        count=1,
        trust_mode=plan.privacy.trust_mode,
        student_year=year,
    )


def job_events(
    plan: Plan, *, plan_digest: str, run_id: str, first_round: int, year: str
) -> tuple[PrivacyEvent, ...]:
    """What the rest of a job costs: every training round from one on, and the evaluation."""
    evaluation = round_event(
        plan,
        plan_digest=plan_digest,
        run_id=run_id,
        round_number=plan.rounds.count + 1,
        kind="evaluate",
        year=year,
    )
    left = plan.rounds.count - first_round + 1
    if left < 1:
        return (evaluation,)
    training = round_event(
        plan,
        plan_digest=plan_digest,
        run_id=run_id,
        round_number=first_round,
        kind="train",
        year=year,
    )
    return (replace(training, count=left), evaluation)


def spent(entries: Iterable[LedgerEntry], year: str) -> tuple[PrivacyEvent, ...]:
    """Everything that counts against one student-year, whatever its state."""
    return tuple(entry.event for entry in entries if entry.event.student_year == year)


def may_move_the_year(
    entries: Iterable[LedgerEntry], now: datetime, *, before: int | None, after: int
) -> bool:
    """Whether student-years may start in another month without giving a budget a second time.

    Entries keep the year that was theirs when they were reserved. Where the year that runs by the
    old month has entries, they would not count in a year that is named anew.

    Args:
        entries: the ledger.
        now: with a time zone.
        before: the month until now; None where it cannot be known.
        after: the month from now on.
    """
    years = {entry.event.student_year for entry in entries}
    if before == after or not years:
        return True
    if before is not None and student_year(now, before) in years:
        return False
    return student_year(now, after) >= max(years)


def spent_by_plan(entries: Iterable[LedgerEntry], plan_digest: str) -> tuple[PrivacyEvent, ...]:
    """Everything that counts against one plan's job, whatever its state and year."""
    return tuple(entry.event for entry in entries if entry.event.plan_digest == plan_digest)


def would_exceed(
    already: Sequence[PrivacyEvent],
    new_events: Sequence[PrivacyEvent],
    *,
    budget_epsilon: float,
    delta: float,
    epsilon: Accountant,
) -> bool:
    """True if what is spent and what is asked for together pass the budget.

    Fails closed: an epsilon that is infinite or not a number exceeds every budget.

    Args:
        already: from `spent` or `spent_by_plan`.
        new_events: about to be reserved.
        budget_epsilon: may be reached, not passed.
        delta: at which epsilon is computed.
        epsilon: the accountant.
    """
    return not epsilon([*already, *new_events], delta) <= budget_epsilon
