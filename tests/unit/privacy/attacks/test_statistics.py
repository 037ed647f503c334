"""Binomial tails and Clopper and Pearson's bounds, against scipy."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from fedtrace.privacy.attacks.statistics import binomial_probabilities, rate_bounds


@pytest.mark.parametrize(("trials", "rate"), [(0, 0.3), (1, 0.5), (20, 0.01), (2000, 0.7)])
def test_probabilities(trials: int, rate: float) -> None:
    found = binomial_probabilities(trials, math.log(rate), math.log1p(-rate))
    expected = stats.binom.pmf(np.arange(trials + 1), trials, rate)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-300)


@pytest.mark.parametrize(("successes", "trials"), [(0, 10), (10, 10), (3, 400), (250, 400)])
def test_bounds_on_a_rate(successes: int, trials: int) -> None:
    lower, upper = rate_bounds(successes, trials)
    expected_lower = stats.beta.ppf(0.05, successes, trials - successes + 1) if successes else 0.0
    failures = trials - successes
    expected_upper = stats.beta.ppf(0.95, successes + 1, failures) if failures else 1.0
    assert lower == pytest.approx(expected_lower, abs=1e-9)
    assert upper == pytest.approx(expected_upper, abs=1e-9)


@pytest.mark.parametrize(("successes", "trials"), [(-1, 3), (4, 3), (0, 0)])
def test_counts_that_are_none(successes: int, trials: int) -> None:
    with pytest.raises(ValueError, match="between 0 and all"):
        rate_bounds(successes, trials)
