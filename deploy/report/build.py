"""From a finished job and its verification to a report: every number is taken, none is typed."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from importlib.metadata import version
from typing import Literal

from fedtrace.client.trainer import Trainer
from fedtrace.deploy.audit import Verdict
from fedtrace.deploy.report.model import (
    Condition,
    ConditionScores,
    LogSize,
    Released,
    Report,
    RoundRecord,
    Scores,
    VerificationLine,
    worst_status,
)
from fedtrace.governance.plan import Plan
from fedtrace.privacy.accounting import GaussianEvent, epsilon, epsilon_sentence
from fedtrace.privacy.randomness import OsRandom
from fedtrace.server.outcome import Disposition, JobOutcome, RoundOutcome

_PACKAGES = ("fedtrace", "flwr", "torch", "dp-accounting", "cryptography")
_ACCOUNTED_ROUNDS = 25
_ANSWERED: tuple[Disposition, ...] = ("accepted", "rejected")
_REFUSED: tuple[Disposition, ...] = ("refused",)
"""Epsilon is computed after that many rounds; a round in between shows the next one's, which is
never smaller than its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What a report says that neither plan nor job know.

    Attributes:
        engine: how the job was run.
        data: what was trained on, in a few words.
        students: number of students of all schools.
        interactions: number of their answers.
        split: how students were divided, in one sentence.
        seed: of split and initial parameters.
    """

    engine: Literal["loopback", "in-process", "ray"]
    data: str
    students: int
    interactions: int
    split: str
    seed: int | None


def build_report(
    setting: Setting,
    *,
    plan: Plan,
    outcome: JobOutcome,
    verdict: Verdict,
    metrics: Mapping[Condition, ConditionScores],
    seconds: Mapping[str, float],
    now: datetime,
) -> Report:
    """Put a report together.

    Args:
        setting: data, engine and split.
        plan: what was agreed.
        outcome: what happened.
        verdict: what the verifier found.
        metrics: exact scores by condition.
        seconds: by phase.
        now: when it is written.
    """
    lines = tuple(
        VerificationLine(status=line.status, check=line.check, sentence=line.sentence)
        for line in verdict.lines
    )
    privacy = plan.privacy
    return Report(
        created=now,
        engine=setting.engine,
        purpose=plan.purpose,
        plan_digest=outcome.plan_digest,
        data=setting.data,
        schools=len(plan.schools.members),
        students=setting.students,
        interactions=setting.interactions,
        skills=plan.data.skills,
        rounds=sum(each.closed for each in outcome.rounds),
        model=plan.model.architecture,
        parameters=plan.model.parameters,
        epsilon=_finite(outcome.epsilon),
        delta=privacy.delta,
        unit=privacy.unit,
        adjacency=privacy.adjacency,
        trust_mode=privacy.trust_mode,
        noise_multiplier=privacy.noise_multiplier,
        clipping_norm=privacy.clipping_norm,
        sampling_rate=privacy.sampling_rate,
        epsilon_by_round=_epsilon_by_round(plan, outcome),
        epsilon_sentence=epsilon_sentence(
            outcome.epsilon, privacy.delta, trust_mode=privacy.trust_mode
        ),
        metrics=dict(metrics),
        evaluation_released=_released_scores(outcome),
        timeline=tuple(_record(each, outcome.started_at) for each in outcome.rounds),
        released=_released(plan, outcome),
        seconds={phase: round(value, 3) for phase, value in seconds.items()},
        log_size=LogSize(entries=verdict.entries, bytes=verdict.log_bytes),
        verification=worst_status(lines),
        verification_lines=lines,
        split=setting.split,
        seed=setting.seed,
        versions={package: version(package) for package in _PACKAGES}
        | {"privacy engine": Trainer(plan, source=OsRandom()).engine},
    )


def _epsilon_by_round(plan: Plan, outcome: JobOutcome) -> tuple[float | None, ...]:
    closed = sum(each.closed for each in outcome.rounds)
    stride = max(1, math.ceil(closed / _ACCOUNTED_ROUNDS))
    exact = {}
    for count in {*range(stride, closed + 1, stride), closed}:
        event = GaussianEvent(
            noise_multiplier=plan.privacy.noise_multiplier,
            sampling_rate=plan.privacy.sampling_rate,
            count=max(1, count),
        )
        exact[count] = _finite(epsilon([event], plan.privacy.delta))
    return tuple(
        exact[min(closed, stride * math.ceil(number / stride))] for number in range(1, closed + 1)
    )


def _record(outcome: RoundOutcome, started_at: datetime) -> RoundRecord:
    return RoundRecord(
        round=outcome.round,
        start=started_at + timedelta(seconds=outcome.start_seconds),
        end=started_at + timedelta(seconds=outcome.end_seconds),
        answered=outcome.answered,
        missing=outcome.missing,
        refused=outcome.refused,
        rejected=outcome.rejected,
    )


def _released(plan: Plan, outcome: JobOutcome) -> tuple[Released, ...]:
    """What left each school: bytes as the aggregator counted them, rounds in which any came."""
    evaluations = (outcome.evaluation.round,) if outcome.evaluation else ()
    kinds = (
        ("protected model update", outcome.rounds, _ANSWERED),
        ("protected score histograms", evaluations, _ANSWERED),
        ("signed refusal", (*outcome.rounds, *evaluations), _REFUSED),
    )
    found = []
    for school in plan.schools.members:
        for what, rounds, dispositions in kinds:
            sizes = [_bytes_from(school, each, dispositions) for each in rounds]
            if any(sizes):
                count = sum(size > 0 for size in sizes)
                found.append(Released(school=school, what=what, bytes=sum(sizes), rounds=count))
    return tuple(found)


def _bytes_from(school: str, outcome: RoundOutcome, dispositions: Collection[Disposition]) -> int:
    return sum(
        receipt.received_bytes
        for receipt in outcome.receipts
        if receipt.school == school and receipt.disposition in dispositions
    )


def _released_scores(outcome: JobOutcome) -> Scores | None:
    """The scores from noised histograms, where the noise left something to compute from."""
    if outcome.evaluation is None:
        return None
    pooled = outcome.evaluation.pooled
    if pooled.acc is None or pooled.logloss is None:
        return None
    return Scores(
        auc=pooled.auc,
        acc=pooled.acc,
        logloss=pooled.logloss,
        calibration_error=pooled.calibration_error,
    )


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
