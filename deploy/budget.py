"""``fedtrace school budget``: what has been spent on a student, what is left, in plain words.

The ledger holds events, not epsilons, so everything here is computed anew by the accountant that is
installed, also for years that were run with another one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime

from fedtrace.client.school import School
from fedtrace.governance.errors import Corrupt, Rejected
from fedtrace.governance.ledger import (
    LedgerEntry,
    PrivacyEvent,
    round_event,
    spent,
    spent_by_plan,
    student_year,
)
from fedtrace.governance.plan import Plan, RoundKind
from fedtrace.governance.refusals import Refused
from fedtrace.privacy.accounting import attack_bound, epsilon

_FALSE_ALARMS = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """One limit and where it stands.

    Attributes:
        of: ``student-year 2026/27``, or ``plan NAME``.
        releases: reserved or committed.
        spent: epsilon of these; infinite where one had no noise.
        limit: the smaller of the plan's and the policy's.
        delta: of both.
    """

    of: str
    releases: int
    spent: float
    limit: float
    delta: float

    @property
    def left(self) -> float:
        """The limit less what is spent; epsilons do not simply add up, so this is a floor."""
        return max(0.0, self.limit - self.spent)

    def sentence(self) -> str:
        """The same for a person."""
        caught = attack_bound(self.spent, self.delta, _FALSE_ALARMS)
        return (
            f"{self.of}: {self.releases} releases, epsilon {self.spent:.3f} of {self.limit:g} "
            f"spent (one student, delta {self.delta:g}); at 1 % wrong accusations an attacker "
            f"finds a student who took part at most {caught:.1%} of the time."
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class NextRounds:
    """How far a running plan still gets within every limit.

    Attributes:
        plan: its name.
        planned: training rounds in the plan.
        answered: rounds that this school has paid for.
        possible: further rounds of this kind that fit, at most as many as the plan has left.
    """

    plan: str
    planned: int
    answered: int
    possible: int

    def sentence(self) -> str:
        """The same for a person."""
        left = max(0, self.planned - self.answered)
        if not left:
            return f"plan {self.plan}: all {self.planned} rounds are paid for."
        enough = "all of them fit" if self.possible >= left else f"{self.possible} of them fit"
        early = "" if self.possible >= left else "; the job will end early"
        return (
            f"plan {self.plan}: {self.answered} of {self.planned} rounds are paid for, {left} are "
            f"left, {enough}{early}."
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SchoolBudget:
    """What ``fedtrace school budget`` prints.

    Attributes:
        school: its name.
        budgets: the student-year's first, then each accepted plan's.
        next_rounds: of every plan that is still valid.
    """

    school: str
    budgets: tuple[Budget, ...]
    next_rounds: tuple[NextRounds, ...]

    @property
    def is_spent(self) -> bool:
        """Whether something that is still meant to run no longer fits."""
        return any(each.possible < each.planned - each.answered for each in self.next_rounds)

    def lines(self) -> list[str]:
        """One sentence a line."""
        return [
            *(each.sentence() for each in self.budgets),
            *(each.sentence() for each in self.next_rounds),
        ]

    def as_json(self) -> dict[str, object]:
        """The same facts for programs; an epsilon without noise is null."""
        budgets = [
            asdict(each)
            | {
                "spent": each.spent if math.isfinite(each.spent) else None,
                "left": each.left,
            }
            for each in self.budgets
        ]
        rounds = [asdict(each) for each in self.next_rounds]
        return {"school": self.school, "budgets": budgets, "next_rounds": rounds}


def school_budget(school: School, *, now: datetime) -> SchoolBudget:
    """Compute every budget of a school.

    Args:
        school: its home, opened.
        now: decides which student-year this is, and which plans are still valid.

    Raises:
        Corrupt: the ledger is damaged.
        ValueError: ``now`` has no time zone.
    """
    policy, ledger = school.rules.policy, school.store.ledger()
    year = student_year(now, policy.student_year_first_month)
    bounds = policy.privacy
    this_year = _budget(
        f"student-year {year}",
        spent(ledger, year),
        limit=bounds.max_epsilon_student_year,
        delta=bounds.max_delta,
    )
    budgets, rounds = [this_year], []
    for accepted in school.store.plans():
        try:
            plan = school.plans.read_past(accepted.digest).plan
        except (Corrupt, Rejected, Refused, OSError):
            continue  # `fedtrace school status` says what to do about it
        already = spent_by_plan(ledger, accepted.digest)
        limit = min(plan.privacy.epsilon_job, bounds.max_epsilon_job)
        budgets.append(_budget(f"plan {plan.name}", already, limit=limit, delta=plan.privacy.delta))
        if plan.valid_from <= now < plan.valid_until:
            rounds.append(_next_rounds(school, plan, accepted.digest, ledger, year))
    return SchoolBudget(school=school.name, budgets=tuple(budgets), next_rounds=tuple(rounds))


def _budget(of: str, events: Sequence[PrivacyEvent], *, limit: float, delta: float) -> Budget:
    return Budget(
        of=of,
        releases=sum(event.count for event in events),
        spent=epsilon(events, delta) if events else 0.0,
        limit=limit,
        delta=delta,
    )


def _next_rounds(
    school: School, plan: Plan, plan_digest: str, ledger: Sequence[LedgerEntry], year: str
) -> NextRounds:
    """How many more rounds fit, the evaluation at the end included; by bisection."""
    bounds = school.rules.policy.privacy
    already = spent_by_plan(ledger, plan_digest)
    answered = len({event.round for event in already if event.kind == "train"})
    left = max(0, plan.rounds.count - answered)
    limits = (
        (already, min(plan.privacy.epsilon_job, bounds.max_epsilon_job)),
        (
            spent(ledger, year),
            min(plan.privacy.epsilon_student_year, bounds.max_epsilon_student_year),
        ),
    )

    def fits(rounds: int) -> bool:
        new = [
            *_events(plan, plan_digest, "train", rounds, year),
            *_events(plan, plan_digest, "evaluate", 1, year),
        ]
        return all(
            epsilon([*events, *new], plan.privacy.delta) <= limit for events, limit in limits
        )

    least, most = 0, left
    while least < most:
        middle = (least + most + 1) // 2
        least, most = (middle, most) if fits(middle) else (least, middle - 1)
    return NextRounds(plan=plan.name, planned=plan.rounds.count, answered=answered, possible=least)


def _events(
    plan: Plan, plan_digest: str, kind: RoundKind, count: int, year: str
) -> list[PrivacyEvent]:
    if not count:
        return []
    event = round_event(
        plan, plan_digest=plan_digest, run_id="next", round_number=1, kind=kind, year=year
    )
    return [replace(event, count=count)]
