"""The row-leak attack on updates of single students, protected or not."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial

import numpy as np
from support.students import made_up_students

from fedtrace.models.interactions import to_batch
from fedtrace.models.networks import ModelSpec, build, student_losses
from fedtrace.privacy.engine import ClippedSumEngine
from fedtrace.privacy.noise import SeededRandom, add_gaussian_noise
from fedtrace.privacy.row_leak import chance, recovered_fraction

SKILLS, EMBEDDING, HIDDEN = 124, 16, 16
NO_CLIP = 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class Leak:
    """Means over students.

    Attributes:
        recovered: share of a student's (skill, answer) pairs that the attacker named.
        chance: share that blind guessing would have named.
        error: standard error of ``recovered``.
    """

    recovered: float
    chance: float
    error: float


def leaked_fractions(
    *, students: int, clipping_norm: float | None, noise_multiplier: float, seed: int = 0
) -> Leak:
    """Send one update a student and attack the rows of its input embedding.

    Args:
        students: how many, each alone in the update: the attacker's best case.
        clipping_norm: C, or None for no clip.
        noise_multiplier: z; 0 for no noise.
        seed: of the noise.
    """
    spec = ModelSpec(
        architecture="dkt", skills=SKILLS, hidden_size=HIDDEN, embedding_size=EMBEDDING
    )
    model = build(spec, seed=0)
    engine = ClippedSumEngine(model)
    norm = NO_CLIP if clipping_norm is None else clipping_norm
    lengths = [10 + 2 * (student % 15) for student in range(students)]
    everybody = made_up_students(lengths, skills=SKILLS)
    source = SeededRandom(seed)
    recovered, blind = [], []
    for student in range(students):
        alone = everybody.select([student])
        total = engine.clipped_sum(
            partial(student_losses, model, to_batch(alone)), clipping_norm=norm
        ).total
        update = total
        if noise_multiplier > 0:
            update = add_gaussian_noise(
                total, clipping_norm=norm, noise_multiplier=noise_multiplier, source=source
            )
        rows = update[: 2 * SKILLS * EMBEDDING].reshape(2 * SKILLS, EMBEDDING)
        # The last interaction precedes no prediction, so no loss depends on it.
        pairs = (2 * alone.skills.astype(np.int64) + alone.correct)[:-1]
        recovered.append(recovered_fraction(rows, pairs))
        blind.append(chance(pairs, 2 * SKILLS))
    return Leak(
        recovered=float(np.mean(recovered)),
        chance=float(np.mean(blind)),
        error=float(np.std(recovered) / math.sqrt(students)),
    )
