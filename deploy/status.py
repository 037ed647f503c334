"""How a school's node is, in the words of the person who looks at it at seven in the morning."""

from __future__ import annotations

import math
import shutil
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

from fedtrace.client.mirror import evidence_files
from fedtrace.client.school import School
from fedtrace.client.vault import VaultSummary
from fedtrace.governance.errors import Corrupt, Rejected
from fedtrace.governance.ledger import spent, student_year
from fedtrace.governance.log.entries import decode_entry
from fedtrace.governance.log.school_entries import OrderRefused, UpdateSent
from fedtrace.governance.log.storage import read_log
from fedtrace.governance.plan import Plan
from fedtrace.governance.refusals import REFUSALS, Refused
from fedtrace.governance.witnessing import school_origin
from fedtrace.privacy.accounting import epsilon

_GIB = 1024**3
_LATELY = timedelta(days=7)
_ANSWERS = tuple(f'"type":"{each.type}"}}'.encode() for each in (OrderRefused, UpdateSent))
"""How the lines of a log end that tell what became of an order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanStatus:
    """One accepted plan whose file is as it was.

    Attributes:
        digest: its name everywhere.
        name: what the consortium calls it.
        valid_until: the last day, ISO 8601.
    """

    digest: str
    name: str
    valid_until: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SchoolStatus:
    """What ``fedtrace school status`` prints.

    Attributes:
        school: its name.
        students: in the vault, by fold.
        past_retention: students whose record should have been erased.
        plans: accepted plans whose file is as it was.
        releases: reserved or committed in this student-year.
        epsilon: of these, at ``delta``.
        max_epsilon: what the school's policy allows a student-year.
        delta: the policy's.
        stopped: a person has stopped all training.
        log_entries: in the school's log; None where it cannot be believed.
        log_in_use: another process has it open, as the gate does while it runs.
        free_gib: on the disk of the home.
        problems: what needs a person, each with what to do.
    """

    school: str
    students: dict[str, int]
    past_retention: int
    plans: tuple[PlanStatus, ...]
    releases: int
    epsilon: float
    max_epsilon: float
    delta: float
    stopped: bool
    log_entries: int | None
    log_in_use: bool
    free_gib: float
    problems: tuple[str, ...]

    def as_json(self) -> dict[str, object]:
        """The same facts for programs."""
        return {
            "school": self.school,
            "students": self.students,
            "past_retention": self.past_retention,
            "plans": [asdict(plan) for plan in self.plans],
            "releases": self.releases,
            "epsilon": self.epsilon if math.isfinite(self.epsilon) else None,
            "max_epsilon": self.max_epsilon,
            "delta": self.delta,
            "stopped": self.stopped,
            "log_entries": self.log_entries,
            "log_in_use": self.log_in_use,
            "free_gib": round(self.free_gib, 1),
            "problems": list(self.problems),
        }

    def lines(self) -> list[str]:
        """One fact a line, problems last."""
        folds = ", ".join(f"{count} {fold}" for fold, count in self.students.items())
        spending = (
            f"spent this student-year: epsilon {self.epsilon:.3f} of {self.max_epsilon:g} "
            f"for one student\n  ({self.releases} releases, delta {self.delta:g})"
        )
        log = "not available" if self.log_entries is None else f"{self.log_entries} entries"
        if self.log_in_use:
            log += ", open in another process, as the gate keeps it"
        lines = [
            f"school: {self.school}",
            f"students: {sum(self.students.values())} ({folds})",
            f"plans accepted: {len(self.plans) or 'none'}",
            *(
                f"  {each.name}, valid until {each.valid_until}\n  {each.digest}"
                for each in self.plans
            ),
            spending,
            f"training: {self._training()}",
            f"log: {log}",
            f"disk: {self.free_gib:.1f} GiB free",
        ]
        return lines + [f"! {problem}" for problem in self.problems]

    def _training(self) -> str:
        if self.stopped:
            return "STOPPED by a person"
        return "not possible, see below" if self.log_entries is None else "allowed"


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
    plans, plan_problems = _plans(school, now)
    log_entries, log_problems = _log(school)
    refused = [] if log_problems else _newest_refusal(school, now)
    problems = [
        *_forks(school),
        *log_problems,
        *_records(school, summary),
        *plan_problems,
        *refused,
    ]
    if free < policy.min_free_bytes:
        problems.append(
            f"{free / _GIB:.1f} GiB are free, the policy wants {policy.min_free_bytes / _GIB:.1f}: "
            "free some space"
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
        log_entries=log_entries,
        log_in_use=school.log_in_use,
        free_gib=free / _GIB,
        problems=tuple(problems),
    )


def _plans(school: School, now: datetime) -> tuple[tuple[PlanStatus, ...], list[str]]:
    """The plans whose file is intact, and what is wrong with any of them."""
    found, problems, running = [], [], False
    for accepted in school.store.plans():
        try:
            plan = school.plans.read(accepted.digest).plan
        except (Corrupt, Rejected, Refused, OSError) as error:
            problems.append(f"{error}: accept the plan again")
            continue
        found.append(
            PlanStatus(
                digest=accepted.digest,
                name=plan.name,
                valid_until=plan.valid_until.date().isoformat(),
            )
        )
        if now < plan.valid_until:
            running = True
            problems += _too_few(school, plan, now)
    if not running and not problems:
        expired = "every accepted plan has expired" if found else "no plan is accepted"
        problems.append(f"{expired}: run `fedtrace school accept`")
    return tuple(found), problems


def _too_few(school: School, plan: Plan, now: datetime) -> list[str]:
    """That nobody will be trained with, before an order comes and is refused."""
    try:
        count = school.eligible_students(plan, now=now)
    except Refused as refused:
        return [f"{plan.name}: {refused} {REFUSALS[refused.code].what_to_do}"]
    needed = max(plan.data.min_students, school.rules.policy.min_students)
    if count >= needed:
        return []
    numbers = f"{plan.name}: {count} students may take part, at least {needed} are needed"
    where = "`fedtrace school consent list`, `hold list` and `retention due`"
    return [f"{numbers}, so every order is refused (R13). See {where} for why"]


def _log(school: School) -> tuple[int | None, list[str]]:
    """How many entries the log has, and why it cannot be believed."""
    if school.log_in_use:
        return len(read_log(school.home / "log").lines), []
    if school.log_problem is not None:
        problem = f"nothing is trained, the log cannot be opened: {school.log_problem}"
        return None, [f"{problem}. See docs/runbook.md"]
    if school.paid.forgotten(school.log, school.store.ledger()):
        problem = (
            "nothing is trained, the log tells of rounds that the ledger lacks: school.db was set "
            "back. Bring back the newest, or `fedtrace school budget --import`"
        )
        return len(school.log), [problem]
    return len(school.log), []


def _newest_refusal(school: School, now: datetime) -> list[str]:
    """That the last order was refused, where that was lately: a person may not know of it yet."""
    origin = school_origin(school.rules.charter, school.name)
    lines = read_log(school.home / "log").lines
    newest = next((at for at in reversed(range(len(lines))) if lines[at].endswith(_ANSWERS)), None)
    if newest is None:
        return []
    logged = decode_entry(lines[newest], index=newest, origin=origin)
    if not isinstance(entry := logged.entry, OrderRefused) or now - logged.time > _LATELY:
        return []
    refused = Refused(entry.code, entry.clause)
    when = f"the newest order was refused on {logged.time:%Y-%m-%d %H:%M} UTC"
    return [f"{when}, {refused} {REFUSALS[entry.code].what_to_do}"]


def _forks(school: School) -> list[str]:
    """Proofs that the consortium's log has two histories."""
    return [
        f"the consortium's log shows two histories, and nothing is trained: keep {path}, and see "
        "docs/runbook.md"
        for path in evidence_files(school.home)
    ]


def _records(school: School, summary: VaultSummary) -> list[str]:
    """What is wrong with the students' records."""
    if not summary.students:
        return ["no student records: run `fedtrace school import`"]
    problems = []
    try:
        school.vault.require_key()
    except Corrupt:
        problems.append(
            "keys/vault.key does not open the records: put the key back that they were imported "
            "with, from your backup"
        )
    if summary.past_retention:
        problems.append(
            f"{summary.past_retention} records are past their retention date and are not trained "
            "on: `fedtrace school retention apply --yes` destroys them"
        )
    return problems
