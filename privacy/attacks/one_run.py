"""A lower bound on epsilon from one run: canaries that were put in by coins, and guesses at these.

Steinke, Nasr and Jagielski 2023, "Privacy Auditing with One (1) Training Run" (arXiv:2305.08846),
algorithm 1: m canaries each take part by a fair coin; who sees what was released names some that
took part and some that did not, and abstains on the rest. Too many right guesses are not possible
under (epsilon, delta), and how many are too many is a theorem about one run, not about thousands.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fedtrace.privacy.attacks.statistics import CONFIDENCE, binomial_probabilities, largest

GUESSED_SHARES = (0.02, 0.1, 0.4, 1.0)
"""Shares of the canaries that the attacker guesses at; all are tried, and the doubt is divided."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OneRunBound:
    """What one run shows.

    Attributes:
        epsilon: with the confidence asked for, the true epsilon is at least this.
        canaries: how many there were.
        guesses: how many of them the best attacker guessed at.
        right: how many of its guesses were right.
    """

    epsilon: float
    canaries: int
    guesses: int
    right: int


def audit_one_run(
    scores: npt.NDArray[np.floating],
    taking_part: npt.NDArray[np.bool_],
    *,
    delta: float,
    confidence: float = CONFIDENCE,
) -> OneRunBound:
    """The best lower bound over the shares of `GUESSED_SHARES`.

    For each, half of the guesses are "took part", at the highest scores, and half "did not", at the
    lowest. A bound that is the best of k holds with the confidence if each of the k leaves 1/k
    of the doubt (Bonferroni 1936).

    Args:
        scores: float [canaries]; larger for a canary that seems to have taken part.
        taking_part: bool [canaries], how the coins fell.
        delta: of the claim, in [0, 1].
        confidence: that the bound is one.

    Raises:
        ValueError: shapes differ, or fewer than 2 canaries.
    """
    if scores.shape != taking_part.shape or scores.ndim != 1 or len(scores) < 2:
        raise ValueError(
            f"scores {scores.shape} and coins {taking_part.shape} are of 2 canaries at least"
        )
    canaries = len(scores)
    ranked = taking_part[np.argsort(scores, kind="stable")]
    doubt = (1 - confidence) / len(GUESSED_SHARES)
    found = []
    for share in GUESSED_SHARES:
        half = max(1, int(share * canaries / 2))
        right = int(ranked[-half:].sum() + (~ranked[:half]).sum())
        bound = epsilon_lower_bound(
            canaries=canaries, guesses=2 * half, right=right, delta=delta, doubt=doubt
        )
        found.append(OneRunBound(epsilon=bound, canaries=canaries, guesses=2 * half, right=right))
    return max(found, key=lambda each: each.epsilon)


def epsilon_lower_bound(
    *, canaries: int, guesses: int, right: int, delta: float, doubt: float
) -> float:
    """The largest epsilon under which so many right guesses are less likely than ``doubt``.

    Arguments and errors are those of `chance_of_guesses`.
    """

    def refuted(epsilon: float) -> bool:
        chance = chance_of_guesses(
            canaries=canaries, guesses=guesses, right=right, epsilon=epsilon, delta=delta
        )
        return chance < doubt

    if not refuted(0.0):
        return 0.0
    upper = 1.0
    while refuted(upper):
        upper *= 2
    return largest(refuted, upper=upper)


def chance_of_guesses(
    *, canaries: int, guesses: int, right: int, epsilon: float, delta: float
) -> float:
    """The most probable that ``right`` or more right guesses can be under (epsilon, delta).

    Corollary 5.4 and appendix D of the paper: without delta the right guesses are dominated by
    Binomial(r, e^eps / (1 + e^eps)), as if each canary's coin had been told by randomised response;
    delta adds 2 m delta times the largest mean mass, over i, of the i counts just below.

    Args:
        canaries: m.
        guesses: r, at most m.
        right: v, at most r.
        epsilon: at least 0.
        delta: in [0, 1].

    Raises:
        ValueError: counts that are not in order, or a number outside its range.
    """
    if not 0 <= right <= guesses <= canaries:
        raise ValueError(f"{right} right of {guesses} guesses at {canaries} canaries: not in order")
    if not (epsilon >= 0 and 0 <= delta <= 1):
        raise ValueError(f"epsilon {epsilon} is at least 0 and delta {delta} lies in [0, 1]")
    log_right = -math.log1p(math.exp(-epsilon))
    probabilities = binomial_probabilities(guesses, log_right, log_right - epsilon)
    tail = float(probabilities[right:].sum())
    if right == 0 or delta == 0:
        return min(1.0, tail)
    below = np.cumsum(probabilities[:right][::-1]) / np.arange(1, right + 1)
    return min(1.0, tail + 2 * canaries * delta * float(below.max()))
