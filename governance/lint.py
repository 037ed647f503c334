"""What is wrong with a plan before anybody signs it: contradictions, missing protection, dates.

The strict types already refuse what no plan may say. Here is what only shows when clauses are
read together, all of it at once, each as one sentence with the value and the bound.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Literal

from fedtrace.governance.charter import Charter
from fedtrace.governance.durations import days
from fedtrace.governance.ledger import Accountant, job_events
from fedtrace.governance.plan import Plan
from fedtrace.governance.witnessing import tolerated_liars, witness_quorum

WEAK_EPSILON = 4.0
"""Above it, an attacker with 1 % false alarms may catch more than every second student."""

LONGEST_VALIDITY_DAYS = 730
"""A plan that is valid longer outlives the agreements it rests on."""

FIELD_TRANSFORMS: Mapping[str, str] = MappingProxyType(
    {
        "student": "random_token",
        "skill": "catalogue_id",
        "item": "catalogue_id",
        "correct": "zero_or_one",
        "order": "rank",
        "elapsed": "bucket",
    }
)
"""Field of the canonical record -> the only transform that the importers apply to it."""

REQUIRED_FIELDS = ("student", "skill", "correct", "order")
"""Without these there is no sequence of answers to train on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that a person should change or know.

    Attributes:
        level: an ``error`` must go before the plan can be signed.
        clause: the path of the clause.
        sentence: the value and the bound.
    """

    level: Literal["error", "warning"]
    clause: str
    sentence: str

    def __str__(self) -> str:
        return f"{self.level}: {self.clause}: {self.sentence}"


def lint(
    plan: Plan, *, epsilon: Accountant, now: datetime, charter: Charter | None = None
) -> list[Finding]:
    """Every finding, errors first, in the order of the plan's sections.

    Args:
        plan: as loaded or opened.
        epsilon: the accountant that recomputes what the plan promises.
        now: with a time zone.
        charter: the consortium's, where it is at hand.
    """
    findings = [
        *_dates(plan, now),
        *_schools(plan, charter),
        *_agreement(charter),
        *_witnesses(plan, charter),
        *_data(plan),
        *_rounds(plan),
        *_privacy(plan, epsilon),
        *_afterwards(plan),
    ]
    return sorted(findings, key=lambda finding: finding.level != "error")


def _error(clause: str, sentence: str) -> Finding:
    return Finding(level="error", clause=clause, sentence=sentence)


def _warning(clause: str, sentence: str) -> Finding:
    return Finding(level="warning", clause=clause, sentence=sentence)


def _dates(plan: Plan, now: datetime) -> Iterator[Finding]:
    start, end = plan.valid_from, plan.valid_until
    if end <= start:
        yield _error("valid_until", f"{end.date()} is not after valid_from, {start.date()}")
        return
    if now >= end:
        yield _error("valid_until", f"the plan expired on {end.date()}; today is {now.date()}")
    if (end - start).days > LONGEST_VALIDITY_DAYS:
        yield _warning(
            "valid_until",
            f"valid for {(end - start).days} days; more than {LONGEST_VALIDITY_DAYS} is unusual",
        )
    longest = timedelta(seconds=plan.rounds.count * plan.rounds.deadline_seconds)
    if longest > end - start:
        yield _warning(
            "rounds.deadline_seconds",
            f"if every round waits until its deadline, the job takes {longest.days} days and "
            f"outlives the plan's {(end - start).days}",
        )


def _schools(plan: Plan, charter: Charter | None) -> Iterator[Finding]:
    members, minimum = plan.schools.members, plan.schools.minimum_per_round
    if minimum > len(members):
        yield _error(
            "schools.minimum_per_round", f"{minimum} of {len(members)} members can never answer"
        )
    if minimum == 1:
        yield _warning(
            "schools.minimum_per_round",
            "a round may close with 1 school, whose protected update is then seen alone",
        )
    strangers = sorted(set(members) - set(charter.member_keys())) if charter else []
    if strangers:
        yield _error("schools.members", f"not in the charter: {', '.join(strangers)}")
    if plan.data.min_students * minimum > plan.privacy.planned_students:
        yield _warning(
            "privacy.planned_students",
            f"{plan.privacy.planned_students} planned students are fewer than {minimum} schools "
            f"of at least {plan.data.min_students} have",
        )


def _agreement(charter: Charter | None) -> Iterator[Finding]:
    """Nobody puts a plan into force alone."""
    if charter is not None and charter.threshold * charter.people_per_member == 1:
        yield _warning(
            "charter.threshold",
            "one person alone can put this plan into force: the charter asks for 1 member and 1 of "
            "its people",
        )


def _witnesses(plan: Plan, charter: Charter | None) -> Iterator[Finding]:
    """The quorum of witnesses can be reached, and two histories cannot both reach it."""
    if charter is None:
        return
    quorum, members = witness_quorum(charter), len(charter.members)
    if tolerated_liars(charter) < 0:
        yield _error(
            "charter.witness_quorum",
            f"{quorum} of {members} witnesses: two histories of the log could each get a quorum; "
            f"{members // 2 + 1} or more are needed",
        )
    if quorum > len(plan.schools.members):
        yield _warning(
            "charter.witness_quorum",
            f"{quorum} members must cosign the log before a round, and the plan has "
            f"{len(plan.schools.members)}: others must be connected too",
        )


def _data(plan: Plan) -> Iterator[Finding]:
    names = [field.name for field in plan.data.fields]
    for name in REQUIRED_FIELDS:
        if name not in names:
            yield _error("data.fields", f"{name} is missing; training needs it")
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield _error("data.fields", f"{name} is there {names.count(name)} times")
    for field in plan.data.fields:
        if field.transform != FIELD_TRANSFORMS[field.name]:
            yield _error(
                "data.fields",
                f"{field.name} says {field.transform}; what is done to it is "
                f"{FIELD_TRANSFORMS[field.name]}",
            )


def _rounds(plan: Plan) -> Iterator[Finding]:
    count = plan.rounds.count
    if plan.aggregation.average_last > count:
        yield _error(
            "aggregation.average_last",
            f"the last {plan.aggregation.average_last} of {count} rounds cannot be averaged",
        )
    if plan.release.minimum_rounds > count:
        yield _error(
            "release.minimum_rounds",
            f"{plan.release.minimum_rounds} of {count} rounds: the model would never be released",
        )


def _privacy(plan: Plan, epsilon: Accountant) -> Iterator[Finding]:
    privacy = plan.privacy
    if privacy.delta >= 1 / privacy.planned_students:
        yield _error(
            "privacy.delta",
            f"{privacy.delta:g} is not below 1 / planned_students, "
            f"{1 / privacy.planned_students:.2g}: whole students could be given away",
        )
    if privacy.epsilon_job > privacy.epsilon_student_year:
        yield _error(
            "privacy.epsilon_student_year",
            f"{privacy.epsilon_student_year:g} for a whole year is less than epsilon_job, "
            f"{privacy.epsilon_job:g}",
        )
    if privacy.epsilon_job > WEAK_EPSILON:
        yield _warning(
            "privacy.epsilon_job",
            f"{privacy.epsilon_job:g} promises little; {WEAK_EPSILON:g} is already weak",
        )
    yield from _noise(plan, epsilon)


def _noise(plan: Plan, epsilon: Accountant) -> Iterator[Finding]:
    """What the noise really gives, recomputed, against what the plan promises."""
    if plan.privacy.noise_multiplier == 0:
        yield _error("privacy.noise_multiplier", "0 is no noise and no protection")
    if plan.evaluation.noise_multiplier == 0:
        yield _error("evaluation.noise_multiplier", "0 is no noise and no protection")
    spends = job_epsilon(plan, epsilon)
    if not math.isfinite(spends):
        return
    if spends > plan.privacy.epsilon_job:
        yield _error(
            "privacy.epsilon_job",
            f"{plan.rounds.count} rounds and the evaluation spend epsilon {spends:.3f}, more than "
            f"the {plan.privacy.epsilon_job:g} of the plan; raise the noise multipliers",
        )
    if spends > plan.privacy.epsilon_student_year:
        yield _error(
            "privacy.epsilon_student_year",
            f"this job alone spends epsilon {spends:.3f} of the "
            f"{plan.privacy.epsilon_student_year:g} of a whole year",
        )
    if spends < plan.privacy.epsilon_job / 2:
        yield _warning(
            "privacy.epsilon_job",
            f"the job spends epsilon {spends:.3f}, less than half of {plan.privacy.epsilon_job:g}; "
            "promise what is kept, or use less noise",
        )


def _afterwards(plan: Plan) -> Iterator[Finding]:
    if "school" not in plan.oversight.may_stop:
        yield _error("oversight.may_stop", "a school can always stop; school is missing")
    if days(plan.retention.log) < days(plan.retention.model):
        yield _error(
            "retention.log",
            f"{plan.retention.log} is shorter than the model's {plan.retention.model}: nobody "
            "could check any more how the model was made",
        )
    if plan.release.to == "public" and plan.schools.minimum_per_round < 2:
        yield _error("release.to", "a public model needs at least 2 schools in every round")


def job_epsilon(plan: Plan, epsilon: Accountant) -> float:
    """Epsilon of the whole job for one student: every round, and the evaluation."""
    events = job_events(
        plan, plan_digest=plan.digest(), run_id="plan", first_round=1, year="0000/01"
    )
    return epsilon(events, plan.privacy.delta)
