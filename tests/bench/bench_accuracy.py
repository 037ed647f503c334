"""How well a private model predicts on real schools, in trust mode local, beside its opponents.

Uses the school's own `Trainer` (clipping, noise from the operating system) and the server's own
optimiser, denominator and averaging under a plan from `draft_plan`. Homes, signatures and logs are
left out because they change no number; `fedtrace simulate` runs with them and agrees.

``FEDTRACE_ACCURACY`` picks what is run: ``assist2009`` (default) or ``timss``.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
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
from fedtrace.deploy.simulation.answers import Answers, Columns, read_answers
from fedtrace.deploy.simulation.baselines import compare
from fedtrace.deploy.simulation.split import MAX_SEQUENCE, SchoolSplit, split_schools
from fedtrace.governance.plan import Plan
from fedtrace.models.metrics import evaluate, predict
from fedtrace.models.networks import ARCHITECTURES, Architecture, build
from fedtrace.models.parameters import from_vector
from fedtrace.privacy.noise import OsRandom
from fedtrace.server.aggregation import (
    OptimiserState,
    RunningSum,
    ServerOptimiser,
    averaged,
    public_denominator,
)

SEEDS = (0, 1, 2)
EPSILONS = (8.0, 2.0)
DATA = Path(os.environ.get("FEDTRACE_DATA", "../shared/data"))
TABLES: Mapping[str, tuple[str, Columns, int]] = {
    "assist2009": ("assist2009.csv.xz", Columns(), 10),
    "timss": ("timss2011_aut.csv.xz", Columns(skill="item"), 15),
}


def run() -> list[Measurement]:
    """One line a model and condition: mean pooled test AUC over the seeds, largest deviation."""
    torch.set_num_threads(1)
    name = os.environ.get("FEDTRACE_ACCURACY", "assist2009")
    file, columns, min_students = TABLES[name]
    answers = read_answers(DATA / file, columns)
    found: dict[str, list[float]] = {}
    for seed in SEEDS:
        splits = split_schools(answers, seed=seed, min_students=min_students)
        for architecture in ARCHITECTURES:
            plan = None
            for epsilon in EPSILONS:
                plan, initial = _plan(answers, splits, architecture, epsilon, seed)
                auc = _private_auc(plan, initial, splits)
                found.setdefault(f"{architecture}.private.epsilon_{epsilon:g}", []).append(auc)
            if plan is not None:
                for condition, scores in compare(splits, model_spec(plan), seed=seed).items():
                    key = f"{architecture}.{condition}"
                    found.setdefault(key, []).append(scores.pooled.auc or 0.0)
    return [
        Measurement(
            name=f"accuracy.{name}.{key}",
            value=mean(values),
            unit="pooled test AUC",
            spread=max(values) - min(values),
            baseline=None,
            ratio=None,
        )
        for key, values in sorted(found.items())
    ]


def _plan(
    answers: Answers,
    splits: Mapping[str, SchoolSplit],
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


def _private_auc(plan: Plan, initial: bytes, splits: Mapping[str, SchoolSplit]) -> float:
    """Train under the plan, every school adding all of its own noise; judge the released model."""
    trainer = Trainer(plan, source=OsRandom())
    checkpoint = load(initial)["parameters"]
    state = OptimiserState.fresh(checkpoint.size)
    rules, privacy = plan.aggregation, plan.privacy
    optimiser = ServerOptimiser(
        rule=rules.optimiser,
        learning_rate=rules.learning_rate,
        momentum=rules.momentum,
        second_momentum=rules.second_momentum,
        stability=rules.stability,
    )
    denominator = public_denominator(
        sampling_rate=privacy.sampling_rate,
        planned_students=privacy.planned_students,
        answered=len(splits),
        members=len(splits),
    )
    kept = []
    for _ in range(plan.rounds.count):
        total = RunningSum(checkpoint.size)
        for split in splits.values():
            total.add(trainer.private_update(checkpoint, split.train))
        checkpoint, state = optimiser.step(checkpoint, total.total / denominator, state)
        kept.append(checkpoint)
    model = build(model_spec(plan), seed=0)
    from_vector(model, averaged(kept[-rules.average_last :]))
    parts = [predict(model, split.test, MAX_SEQUENCE)[:2] for split in splits.values()]
    logits, correct = (np.concatenate(column) for column in zip(*parts, strict=True))
    return evaluate(logits, correct).auc or 0.0
