"""Is the noise what the accounting believes it is? Its scale, its shape and its independence.

Every epsilon rests on noise that is Gaussian, wide enough, and new for each school, round and
number. A generator that repeats itself or a noise multiplier that got lost on the way would leave
every epsilon in the ledger as it was, and protect nobody.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import torch

FloatArray = npt.NDArray[np.float64]

FALSE_ALARM_RATE = 1e-6
"""Right noise fails any of the tests with about this probability, by chance."""


def noise_p_values(noise: FloatArray) -> Mapping[str, float]:
    """How likely right noise is to look at least as wrong as this, by test.

    | test | statistic |
    | --- | --- |
    | scale | sum of squares: chi-square, of as many degrees of freedom as there are numbers |
    | scale of the sum | the same of the sums over schools, each divided by sqrt(schools) |
    | shape | Kolmogorov and Smirnov's largest distance from the Gaussian distribution |
    | independence of schools | largest correlation between two schools' noise |
    | independence of rounds | largest correlation between two rounds' noise |
    | independence of numbers | correlation between neighbours in one vector |

    Args:
        noise: float64 [schools, rounds, numbers], divided by the standard deviation that it should
            have.

    Returns:
        test -> p-value, two-sided; compare the smallest with `FALSE_ALARM_RATE` over their number.

    Raises:
        ValueError: noise that is not of 2 schools, 2 rounds and 2 numbers at least.
    """
    if noise.ndim != 3 or min(noise.shape) < 2:
        raise ValueError(f"noise is [schools, rounds, numbers], at least 2 of each: {noise.shape}")
    schools, rounds, _ = noise.shape
    together = noise.sum(axis=0) / math.sqrt(schools)
    return {
        "scale": _scale(noise),
        "scale of the sum": _scale(together),
        "shape": _shape(noise),
        "independence of schools": _largest_correlation(noise.reshape(schools, -1)),
        "independence of rounds": _largest_correlation(noise.swapaxes(0, 1).reshape(rounds, -1)),
        "independence of numbers": _correlation(noise[..., :-1].ravel(), noise[..., 1:].ravel()),
    }


def suspicious(p_values: Mapping[str, float]) -> list[str]:
    """The tests that right noise passes and this did not."""
    return [test for test, p in p_values.items() if p < FALSE_ALARM_RATE / len(p_values)]


def _two_sided(deviations: float) -> float:
    """Probability that a standard Gaussian number lies at least so far from 0."""
    return math.erfc(abs(deviations) / math.sqrt(2))


def _scale(noise: FloatArray) -> float:
    """Wilson and Hilferty 1931: the cube root of chi-square over n is almost Gaussian."""
    mean_square = float(np.mean(noise**2))
    variance = 2 / (9 * noise.size)
    return _two_sided((mean_square ** (1 / 3) - (1 - variance)) / math.sqrt(variance))


def _shape(noise: FloatArray) -> float:
    """Kolmogorov 1933: the limit distribution of sqrt(n) times the largest distance."""
    ordered = np.sort(noise, axis=None)
    expected = torch.special.ndtr(torch.from_numpy(ordered)).numpy()
    steps = np.arange(noise.size + 1) / noise.size
    distance = max(float((steps[1:] - expected).max()), float((expected - steps[:-1]).max()))
    reach = math.sqrt(noise.size) * distance
    if reach < 0.5:
        return 1.0  # the true value is above 0.96; the series below converges slowly there
    terms = (-((-1) ** k) * math.exp(-2 * (k * reach) ** 2) for k in range(1, 20))
    return min(1.0, 2 * math.fsum(terms))


def _largest_correlation(rows: FloatArray) -> float:
    """The least p-value of all pairs of rows, times the number of pairs (Bonferroni 1936)."""
    places = [(a, b) for a in range(len(rows)) for b in range(a)]
    return min(1.0, len(places) * min(_correlation(rows[a], rows[b]) for a, b in places))


def _correlation(left: FloatArray, right: FloatArray) -> float:
    """Products of independent standard numbers have mean 0 and variance 1."""
    return _two_sided(float(left @ right) / math.sqrt(left.size))
