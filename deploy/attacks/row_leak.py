"""``row-leak``: read one student's answers off an update that holds nobody else."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial

import numpy as np

from fedtrace.deploy.attacks.finding import AttackReport, AttackSettings, claim, control, percent
from fedtrace.deploy.attacks.setting import simulated_students
from fedtrace.deploy.simulation.defaults import DEFAULTS, DELTA
from fedtrace.models.interactions import to_batch
from fedtrace.models.networks import ModelSpec, build, student_losses
from fedtrace.privacy.accounting import attack_bound, calibrate_noise
from fedtrace.privacy.attacks.row_leak import chance, recovered_fraction
from fedtrace.privacy.engine import ClippedSumEngine
from fedtrace.privacy.noise import add_gaussian_noise
from fedtrace.privacy.randomness import RandomSource

SKILLS = 124
STUDENTS, STUDENTS_SHORT = 200, 20
NO_CLIP = 1e6
STANDARD_ERRORS = 4
"""How far above its bound a mean over students may lie by chance: once in 30,000 runs."""


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
    *,
    students: int,
    clipping_norm: float | None,
    noise_multiplier: float,
    source: RandomSource,
    seed: int = 0,
) -> Leak:
    """Send one update a student and attack the rows of its input embedding.

    Args:
        students: how many, each alone in the update: the attacker's best case.
        clipping_norm: C, or None for no clip.
        noise_multiplier: z; 0 for no noise.
        source: the noise.
        seed: of the simulated students.
    """
    defaults = DEFAULTS["dkt"]
    width = defaults.embedding_size
    spec = ModelSpec(
        architecture="dkt",
        skills=SKILLS,
        hidden_size=defaults.hidden_size,
        embedding_size=width,
    )
    model = build(spec, seed=0)
    engine = ClippedSumEngine(model)
    norm = NO_CLIP if clipping_norm is None else clipping_norm
    everybody = simulated_students(students, skills=SKILLS, seed=seed)
    recovered, blind = [], []
    for student in range(students):
        alone = everybody.select([student])
        update = engine.clipped_sum(
            partial(student_losses, model, to_batch(alone)), clipping_norm=norm
        ).total
        if noise_multiplier > 0:  # else the grid of so large a norm would round the update away
            update = add_gaussian_noise(
                update, clipping_norm=norm, noise_multiplier=noise_multiplier, source=source
            )
        rows = update[: 2 * SKILLS * width].reshape(2 * SKILLS, width)
        # The last interaction precedes no prediction, so no loss depends on it.
        pairs = (2 * alone.skills.astype(np.int64) + alone.correct)[:-1]
        recovered.append(recovered_fraction(rows, pairs))
        blind.append(chance(pairs, 2 * SKILLS))
    return Leak(
        recovered=float(np.mean(recovered)),
        chance=float(np.mean(blind)),
        error=float(np.std(recovered) / math.sqrt(students)),
    )


def attack_rows(settings: AttackSettings) -> AttackReport:
    """Attack a job that spends all of its epsilon in one round: the least noise that it can have.

    Without the student the noise names each pair with the chance of blind guessing, so that
    (epsilon, delta) allows e^epsilon times that, and delta more.
    """
    students = STUDENTS_SHORT if settings.short else STUDENTS
    noise_multiplier = calibrate_noise(
        target_epsilon=settings.epsilon, delta=DELTA, sampling_rate=1.0, rounds=1
    )
    source = settings.source()
    protected = leaked_fractions(
        students=students,
        clipping_norm=DEFAULTS["dkt"].clipping_norm,
        noise_multiplier=noise_multiplier,
        source=source,
        seed=settings.students_seed,
    )
    bare = leaked_fractions(
        students=students,
        clipping_norm=None,
        noise_multiplier=0.0,
        source=source,
        seed=settings.students_seed,
    )
    bound = attack_bound(settings.epsilon, DELTA, protected.chance)
    reach = min(1.0, bound + STANDARD_ERRORS * protected.error)
    return AttackReport(
        attack="row-leak",
        tried=(
            f"{students} simulated students each sent one DKT update that holds nobody else. The "
            "attacker, who knows how many (skill, right or wrong) pairs the student has, names the "
            "embedding rows that moved the most."
        ),
        bound=(
            f"Guessing blindly names {percent(protected.chance)} of the pairs; a release of "
            f"epsilon {settings.epsilon:g} and delta {DELTA:g} allows {percent(bound)}."
        ),
        findings=(
            claim(
                f"Clipped and noised (z = {noise_multiplier:.3g}), {percent(protected.recovered)} "
                f"of the pairs were named (standard error {percent(protected.error)}).",
                holds=protected.recovered <= reach,
            ),
            control(
                f"Without clip and noise, {percent(bare.recovered)} of the pairs were named.",
                breaks=bare.recovered > reach,
            ),
        ),
        numbers={
            "noise_multiplier": noise_multiplier,
            "chance": protected.chance,
            "bound": bound,
            "recovered": protected.recovered,
            "recovered_error": protected.error,
            "control_recovered": bare.recovered,
        },
    )
