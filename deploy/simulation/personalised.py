"""What every school uses in the end: its own model, on top of a released one or alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from fedtrace.deploy.report.model import ConditionScores
from fedtrace.deploy.simulation.scoring import condition_scores
from fedtrace.deploy.simulation.split import MAX_SEQUENCE, SchoolSplit
from fedtrace.models.parameters import Vector
from fedtrace.models.personal import personalise


def personalised(
    splits: Mapping[str, SchoolSplit],
    released: Vector | None,
    skills: int,
    *,
    seed: int,
    tick: Callable[[], None] = lambda: None,
) -> ConditionScores:
    """Train every school's own model on its training students and judge it on its test students.

    Args:
        splits: school -> its students by fold.
        released: float32 [parameters] of a ``shared-logistic-2``; None for each school alone.
        skills: catalogue size.
        seed: of the schools' networks.
        tick: told after every school.

    Raises:
        ValueError: ``released`` does not fit a ``shared-logistic-2`` over these skills.
    """
    predictions = {}
    for school, split in splits.items():
        model = personalise(released, skills, split.train, seed=seed, max_sequence=MAX_SEQUENCE)
        logits, correct, _ = model.predict(split.test)
        predictions[school] = (logits, correct)
        tick()
    return condition_scores(
        predictions, students={school: len(split.test) for school, split in splits.items()}
    )
