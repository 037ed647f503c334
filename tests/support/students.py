"""Made-up students for tests of models and privacy: seeded, small, of any length."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from fedtrace.models.interactions import Batch, Interactions, to_batch


def made_up_students(lengths: Sequence[int], *, skills: int, seed: int = 0) -> Interactions:
    """Students of the given lengths with uniform skills and answers."""
    rng = np.random.default_rng(seed)
    return Interactions.from_students(
        (rng.integers(0, skills, length), rng.integers(0, 2, length)) for length in lengths
    )


def double_batch(students: Interactions) -> Batch:
    """A padded batch for a module in float64."""
    batch = to_batch(students)
    return replace(batch, correct=batch.correct.double())
