"""How sure one may be of a count: binomial tails and the bounds on a rate that follow from them."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

CONFIDENCE = 0.95
"""With this probability a lower bound that was measured lies below the truth."""

_HALVINGS = 50


def binomial_probabilities(trials: int, log_success: float, log_failure: float) -> FloatArray:
    """float64 [trials + 1]: probability of every number of successes.

    Args:
        trials: n, at least 0.
        log_success: logarithm of one trial's probability of success.
        log_failure: of its probability of failure; given apart, it keeps its digits near 0.
    """
    factorials = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, trials + 1)))])
    successes = np.arange(trials + 1)
    ways = factorials[-1] - factorials - factorials[::-1]
    probabilities: FloatArray = np.exp(
        ways + successes * log_success + successes[::-1] * log_failure
    )
    return probabilities


def rate_bounds(
    successes: int, trials: int, *, confidence: float = CONFIDENCE
) -> tuple[float, float]:
    """A lower and an upper bound on the rate behind a count, each right with the confidence.

    Clopper and Pearson 1934 ("The Use of Confidence or Fiducial Limits Illustrated in the Case of
    the Binomial"), one-sided on either side.

    Raises:
        ValueError: more successes than trials, or no trial.
    """
    if not (0 <= successes <= trials and trials > 0):
        raise ValueError(f"{successes} successes in {trials} trials: between 0 and all of some")

    def tail(rate: float, counts: slice) -> float:
        probabilities = binomial_probabilities(trials, math.log(rate), math.log1p(-rate))
        return float(probabilities[counts].sum())

    doubt = 1 - confidence
    lower, upper = 0.0, 1.0
    if successes:
        lower = largest(lambda rate: tail(rate, slice(successes, None)) < doubt, upper=1.0)
    if successes < trials:
        upper = largest(lambda rate: tail(rate, slice(successes + 1)) >= doubt, upper=1.0)
    return lower, upper


def largest(holds: Callable[[float], bool], *, upper: float) -> float:
    """By bisection of (0, upper), up to where ``holds`` holds; errs downwards."""
    low, high = 0.0, upper
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low
