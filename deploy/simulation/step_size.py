"""How far a private logistic model may travel: a step size from public numbers only.

Gradient descent that stops early is ridge regression in disguise (Ali, Kolter and Tibshirani 2019,
"A Continuous-Time View of Early Stopping for Least Squares Regression"). Along a direction of
curvature h, a total travel A (rounds times step) learns the share 1 - exp(-A h) of what there is
to learn, and as much of the noise. The best share weighs the two variances (Wiener):

    share = t^2 / (t^2 + (s / (n h))^2)

with t the typical size of what is learnt, s the standard deviation of the noise of a single
release in units of the clip, and n students. More rounds divide the same budget of noise, so that
A and not the number of rounds decides. The direction to do this for is the easiness of one skill:
the shared weights have much more curvature and need no care.
"""

from __future__ import annotations

import math
from typing import Final

EASINESS_SPREAD: Final = 0.7
"""Logits between the skills of a catalogue once a student's history is known; t above."""

SHARE_OF_A_SKILL: Final = 0.5
"""Curvature of one skill's easiness, times the number of skills. A cross-entropy has a quarter of
a skill's share of the answers; clipped gradients of about half the length double it."""

LONGEST_STEP: Final = 16.0
"""Of one round, in units of the clip. Longer ones, which short jobs would need, were not tried."""


def learning_rate(
    *,
    students: int,
    skills: int,
    noise: float,
    rounds: int,
    clipping_norm: float,
    momentum: float,
) -> float:
    """The step size of the server's descent with momentum.

    Args:
        students: public number of training students of the whole consortium.
        skills: size of the catalogue.
        noise: standard deviation of the total's noise, in units of the clip, if all the budget
            went into a single round.
        rounds: of the job.
        clipping_norm: C.
        momentum: mu of the heavy ball, which multiplies the travel by 1 / (1 - mu).

    Raises:
        ValueError: a count below 1 or a noise or clip that is not positive.
    """
    if min(students, skills, rounds) < 1 or min(noise, clipping_norm) <= 0:
        raise ValueError("students, skills and rounds are at least 1; noise and clip are positive")
    curvature = SHARE_OF_A_SKILL / skills
    error = noise / (students * curvature)
    # -log(1 - share), written so that it keeps its digits where the share is near 1 or 0.
    travel = math.log1p((EASINESS_SPREAD / error) ** 2) / curvature
    return min(travel / rounds, LONGEST_STEP) * (1 - momentum) / clipping_norm
