"""How well private models predict on real schools, beside the model that a school trains alone.

Uses the schools' own `Trainer` (clipping, noise from the operating system), the server's own
optimiser, denominator and averaging under a plan from `draft_plan`, and the schools' own
`personalise`. Homes, signatures, masks and logs are left out because they change no number.

Trust mode `distributed` at full attendance is one clipped sum over everybody's students with the
noise added once: a trainer that holds all of them computes exactly that. Where the plan's quorum
is a share a of the schools, the total at full attendance carries 1 / a times that variance.

``FEDTRACE_ACCURACY`` picks the data: ``assist2009`` (default) or ``timss``.
``FEDTRACE_ACCURACY_MODE`` picks how much: ``proposed`` (default, minutes) is what a plan proposes;
``all`` adds trust mode `local`, every architecture and the comparisons without privacy (hours).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import mean

import numpy as np
import torch
from safetensors.numpy import load
from support.measurement import Measurement

from fedtrace.client.ingest.catalogue import Catalogue
from fedtrace.client.trainer import Trainer, model_spec
from fedtrace.deploy.planning import Job, draft_plan
from fedtrace.deploy.report.model import ConditionScores
from fedtrace.deploy.simulation.answers import Answers, Columns, read_answers
from fedtrace.deploy.simulation.baselines import compare
from fedtrace.deploy.simulation.personalised import personalised
from fedtrace.deploy.simulation.split import MAX_SEQUENCE, SchoolSplit, split_schools
from fedtrace.governance.plan import Plan, TrustMode
from fedtrace.models.interactions import Interactions
from fedtrace.models.metrics import evaluate, predict
from fedtrace.models.networks import ARCHITECTURES, Architecture, build
from fedtrace.models.parameters import Vector, from_vector
from fedtrace.privacy.randomness import OsRandom
from fedtrace.server.aggregation import (
    OptimiserState,
    RunningSum,
    ServerOptimiser,
    averaged,
    public_denominator,
)

SEEDS = (0, 1, 2)
EPSILONS = (8.0, 4.0, 2.0, 1.0)
PERSONALISED_EPSILONS = (8.0, 2.0)
PROPOSED: Architecture = "shared-logistic-2"
SMALL_SCHOOL = 40
"""Students; smaller schools are reported apart."""
DATA = Path(os.environ.get("FEDTRACE_DATA", "../shared/data"))
TABLES: Mapping[str, tuple[str, Columns, int]] = {
    "assist2009": ("assist2009.csv.xz", Columns(), 10),
    "timss": ("timss2011_aut.csv.xz", Columns(skill="item"), 15),
}
Splits = Mapping[str, SchoolSplit]
Found = Iterator[tuple[str, float]]


def run() -> list[Measurement]:
    """One line a model and condition: mean pooled test AUC over the seeds, largest deviation."""
    torch.set_num_threads(1)
    name = os.environ.get("FEDTRACE_ACCURACY", "assist2009")
    everything = os.environ.get("FEDTRACE_ACCURACY_MODE", "proposed") == "all"
    file, columns, min_students = TABLES[name]
    answers = read_answers(DATA / file, columns)
    found: dict[str, list[float]] = {}
    for seed in SEEDS:
        splits = split_schools(answers, seed=seed, min_students=min_students)
        for key, value in _proposed(answers, splits, seed):
            found.setdefault(key, []).append(value)
        for key, value in _others(answers, splits, seed) if everything else ():
            found.setdefault(key, []).append(value)
    return [
        Measurement(
            name=f"accuracy.{name}.{key}",
            value=mean(values),
            unit="test AUC",
            spread=max(values) - min(values),
            baseline=None,
            ratio=None,
        )
        for key, values in sorted(found.items())
    ]


def _proposed(answers: Answers, splits: Splits, seed: int) -> Found:
    """The proposed model under distributed noise, what schools make of it, and schools alone."""
    alone = personalised(splits, None, len(answers.skills), seed=seed)
    yield from _school_means("local_only", alone, alone, splits)
    for epsilon in EPSILONS:
        released, auc = _private(answers, splits, PROPOSED, epsilon, "distributed", seed)
        yield f"{PROPOSED}.distributed.epsilon_{epsilon:g}", auc
        if epsilon in PERSONALISED_EPSILONS:
            own = personalised(splits, released, len(answers.skills), seed=seed)
            yield from _school_means(f"personalised.epsilon_{epsilon:g}", own, alone, splits)


def _others(answers: Answers, splits: Splits, seed: int) -> Found:
    """Every architecture in both trust modes, and without privacy."""
    for architecture in ARCHITECTURES:
        for epsilon in EPSILONS:
            modes: tuple[TrustMode, ...] = (
                ("local",) if architecture == PROPOSED else ("local", "distributed")
            )
            for trust in modes:
                _, auc = _private(answers, splits, architecture, epsilon, trust, seed)
                yield f"{architecture}.{trust}.epsilon_{epsilon:g}", auc
        plan, _ = _plan(answers, splits, architecture, 8.0, seed)
        for condition, scores in compare(splits, model_spec(plan), seed=seed).items():
            if condition != "local_only":
                yield f"{architecture}.{condition}", scores.pooled.auc or 0.0


def _school_means(key: str, own: ConditionScores, alone: ConditionScores, splits: Splits) -> Found:
    """Pooled AUC, and the mean gain of a school over staying alone, by size."""
    yield key, own.pooled.auc or 0.0
    if own is alone:
        return
    gains: dict[str, list[float]] = {"small": [], "large": []}
    for school, split in splits.items():
        joined, single = own.per_school.get(school), alone.per_school.get(school)
        if joined and single and joined.auc is not None and single.auc is not None:
            students = len(split.train) + len(split.validation) + len(split.test)
            size = "small" if students < SMALL_SCHOOL else "large"
            gains[size].append(joined.auc - single.auc)
    for size, values in gains.items():
        if values:
            yield f"{key}.gain_of_{size}_schools", mean(values)


def _plan(
    answers: Answers,
    splits: Splits,
    architecture: Architecture,
    epsilon: float,
    seed: int,
) -> tuple[Plan, bytes]:
    now = datetime.now(UTC)
    return draft_plan(
        Job(
            name="accuracy",
            schools=tuple(f"school-{number}" for number in range(len(splits))),
            minimum_per_round=1,
            catalogue=Catalogue(skills=list(answers.skills)),
            planned_students=sum(len(split.train) for split in splits.values()),
            architecture=architecture,
            epsilon=epsilon,
            trust_mode="local",
            rounds=None,
            deadline_seconds=60,
            seed=seed,
        ),
        valid_from=now,
        valid_until=now + timedelta(days=1),
    )


def _private(
    answers: Answers,
    splits: Splits,
    architecture: Architecture,
    epsilon: float,
    trust: TrustMode,
    seed: int,
) -> tuple[Vector, float]:
    """The released parameters and their pooled test AUC."""
    holders = splits
    if trust == "distributed":
        pooled = Interactions.concatenate([split.train for split in splits.values()])
        nobody = pooled.select([])
        holders = {"everybody": SchoolSplit(train=pooled, validation=nobody, test=nobody)}
    plan, initial = _plan(answers, holders, architecture, epsilon, seed)
    released = _train(plan, initial, holders)
    model = build(model_spec(plan), seed=0)
    from_vector(model, released)
    parts = [predict(model, split.test, MAX_SEQUENCE)[:2] for split in splits.values()]
    logits, correct = (np.concatenate(column) for column in zip(*parts, strict=True))
    return released, evaluate(logits, correct).auc or 0.0


def _train(plan: Plan, initial: bytes, holders: Splits) -> Vector:
    """All rounds of a plan, every holder of students adding the plan's noise to its sum."""
    trainer = Trainer(plan, source=OsRandom())
    checkpoint = load(initial)["parameters"]
    state = OptimiserState.fresh(checkpoint.size)
    rules, privacy = plan.aggregation, plan.privacy
    optimiser = ServerOptimiser.of(rules)
    denominator = public_denominator(
        sampling_rate=privacy.sampling_rate,
        planned_students=privacy.planned_students,
        answered=len(holders),
        members=len(holders),
    )
    kept = []
    for _ in range(plan.rounds.count):
        total = RunningSum(checkpoint.size)
        for split in holders.values():
            total.add(trainer.private_update(checkpoint, split.train))
        checkpoint, state = optimiser.step(checkpoint, total.total / denominator, state)
        kept.append(checkpoint)
    return averaged(kept[-rules.average_last :])
