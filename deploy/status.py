"""How a school's node is, in the words of the person who looks at it at seven in the morning."""

from __future__ import annotations

import math
import shutil
from dataclasses import dataclass
from datetime import datetime

from fedtrace.client.school import School
from fedtrace.governance.ledger import spent, student_year
from fedtrace.privacy.accounting import epsilon

_GIB = 1024**3


@dataclass(frozen=True, slots=True, kw_only=True)
class SchoolStatus:
    """What ``fedtrace school status`` prints.

    Attributes:
        school: its name.
        students: in the vault, by fold.
        past_retention: students whose record should have been erased.
        plans: digests of accepted plans.
        releases: reserved or committed in this student-year.
        epsilon: of these, at ``delta``.
        max_epsilon: what the school's policy allows a student-year.
        delta: the policy's.
        stopped: a person has stopped all training.
        log_entries: in the school's log; None where it cannot be opened.
        free_gib: on the disk of the home.
        problems: what needs a person, each with what to do.
    """

    school: str
    students: dict[str, int]
    past_retention: int
    plans: tuple[str, ...]
    releases: int
    epsilon: float
    max_epsilon: float
    delta: float
    stopped: bool
    log_entries: int | None
    free_gib: float
    problems: tuple[str, ...]

    def as_json(self) -> dict[str, object]:
        """The same facts for programs."""
        return {
            "school": self.school,
            "students": self.students,
            "past_retention": self.past_retention,
            "plans": list(self.plans),
            "releases": self.releases,
            "epsilon": self.epsilon if math.isfinite(self.epsilon) else None,
            "max_epsilon": self.max_epsilon,
            "delta": self.delta,
            "stopped": self.stopped,
            "log_entries": self.log_entries,
            "free_gib": round(self.free_gib, 1),
            "problems": list(self.problems),
        }

    def lines(self) -> list[str]:
        """One fact a line, problems last."""
        folds = ", ".join(f"{count} {fold}" for fold, count in self.students.items())
        spending = (
            f"spent this student-year: epsilon {self.epsilon:.3f} of {self.max_epsilon:g} "
            f"(delta {self.delta:g}, one student, {self.releases} releases)"
        )
        log = "not available" if self.log_entries is None else f"{self.log_entries} entries"
        lines = [
            f"school: {self.school}",
            f"students: {sum(self.students.values())} ({folds})",
            f"plans accepted: {', '.join(self.plans) or 'none'}",
            spending,
            f"training: {'STOPPED by a person' if self.stopped else 'allowed'}",
            f"log: {log}",
            f"disk: {self.free_gib:.1f} GiB free",
        ]
        return lines + [f"! {problem}" for problem in self.problems]


def school_status(school: School, *, now: datetime) -> SchoolStatus:
    """Look at an open home.

    Raises:
        Corrupt: ledger or vault are damaged.
        ValueError: ``now`` has no time zone.
    """
    policy = school.rules.policy
    summary = school.vault.summary(now)
    events = spent(school.store.ledger(), student_year(now, policy.student_year_first_month))
    free = shutil.disk_usage(school.home).free
    plans = tuple(plan.digest for plan in school.store.plans())
    problems = []
    if school.log_problem:
        problems.append(f"the log cannot be opened, so nothing is trained: {school.log_problem}")
    if not summary.students:
        problems.append("no student records: run `fedtrace school import`")
    if not plans:
        problems.append("no plan is accepted: run `fedtrace school accept`")
    if summary.past_retention:
        problems.append(f"{summary.past_retention} records are past their retention date")
    if free < policy.min_free_bytes:
        problems.append(
            f"{free / _GIB:.1f} GiB are free, the policy wants {policy.min_free_bytes / _GIB:.1f}"
        )
    if school.store.kill_switch:
        problems.append("training is stopped: `fedtrace school resume` allows it again")
    return SchoolStatus(
        school=school.name,
        students={str(fold): count for fold, count in summary.by_fold.items()},
        past_retention=summary.past_retention,
        plans=plans,
        releases=sum(event.count for event in events),
        epsilon=epsilon(events, policy.privacy.max_delta) if events else 0.0,
        max_epsilon=policy.privacy.max_epsilon_student_year,
        delta=policy.privacy.max_delta,
        stopped=school.store.kill_switch,
        log_entries=len(school.log) if school.log_problem is None else None,
        free_gib=free / _GIB,
        problems=tuple(problems),
    )
