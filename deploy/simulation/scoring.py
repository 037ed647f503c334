"""Exact scores of a released model on every school's held-out students.

Only whoever holds all homes can compute these: a demonstration or a simulation. In a deployment
schools release noised histograms and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load_file

from fedtrace.client.home import open_school
from fedtrace.client.trainer import model_spec
from fedtrace.client.vault import Fold
from fedtrace.deploy.report.model import ConditionScores, Scores
from fedtrace.deploy.workspace import Workspace
from fedtrace.governance.plan import Plan
from fedtrace.models.interactions import Interactions
from fedtrace.models.metrics import Metrics, evaluate, predict
from fedtrace.models.networks import build
from fedtrace.models.parameters import from_vector


def score_release(
    model_path: Path, plan: Plan, tests: Mapping[str, Interactions]
) -> ConditionScores:
    """Judge a released model.

    Args:
        model_path: the registry's safetensors file.
        plan: names the architecture.
        tests: school -> its test students.

    Raises:
        ValueError: the file does not fit the plan's model, or there is nothing to judge.
        OSError: it cannot be read.
    """
    model = build(model_spec(plan), seed=0)
    from_vector(model, load_file(model_path)["parameters"])
    predictions = {
        school: predict(model, students, max_sequence=plan.data.max_sequence)[:2]
        for school, students in tests.items()
    }
    return condition_scores(
        predictions, students={school: len(each) for school, each in tests.items()}
    )


def held_out_students(
    workspace: Workspace, plan: Plan, *, now: datetime
) -> dict[str, Interactions]:
    """The test students of every school, read from its vault with its own key.

    Raises:
        OSError: a home cannot be read.
        Corrupt: a vault is damaged.
    """
    found = {}
    for name, home in workspace.school_homes.items():
        with open_school(home) as school:
            cohort = school.freeze_cohort(plan, fold=Fold.TEST, now=now)
            found[name] = Interactions.from_students(school.vault.read(cohort.tokens))
    return found


def condition_scores(
    predictions: Mapping[str, tuple[npt.NDArray[np.floating], npt.NDArray[np.integer]]],
    *,
    students: Mapping[str, int],
) -> ConditionScores:
    """Judge one condition, pooled and school by school.

    Args:
        predictions: school -> logits and answers, each [predictions].
        students: school -> how many test students they come from.

    Raises:
        ValueError: there is nothing to judge.
    """
    pooled = evaluate(
        np.concatenate([logits for logits, _ in predictions.values()]),
        np.concatenate([correct for _, correct in predictions.values()]),
    )
    return ConditionScores(
        pooled=scores(pooled, students=sum(students.values())),
        per_school={
            school: scores(evaluate(*prediction), students=students[school])
            for school, prediction in predictions.items()
            if len(prediction[0])
        },
    )


def scores(metrics: Metrics, *, students: int) -> Scores:
    """Metrics as a report holds them."""
    return Scores(
        auc=metrics.auc,
        acc=metrics.acc,
        logloss=metrics.logloss,
        calibration_error=metrics.calibration_error,
        students=students,
        interactions=metrics.interactions,
    )
