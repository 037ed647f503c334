"""The one-run audit: the paper's own example, bounds that hold, and what it cannot show."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from fedtrace.privacy.accounting import GaussianEvent, epsilon
from fedtrace.privacy.attacks.one_run import (
    audit_one_run,
    chance_of_guesses,
    epsilon_lower_bound,
)


def test_the_example_of_the_paper() -> None:
    """Appendix D: 75 of 100 guesses at 1,000 canaries, delta 1e-4, 95 %, give epsilon 0.673."""
    found = epsilon_lower_bound(canaries=1000, guesses=100, right=75, delta=1e-4, doubt=0.05)
    assert found == pytest.approx(0.673, abs=1e-3)


def test_without_delta_the_guesses_are_randomised_response() -> None:
    chance = chance_of_guesses(canaries=200, guesses=100, right=70, epsilon=0.5, delta=0.0)
    assert chance == pytest.approx(stats.binom.sf(69, 100, 1 / (1 + math.exp(-0.5))))
    assert chance_of_guesses(canaries=9, guesses=9, right=0, epsilon=0.0, delta=0.1) == 1.0
    with_delta = chance_of_guesses(canaries=200, guesses=100, right=70, epsilon=0.5, delta=1e-4)
    assert chance < with_delta < chance + 2 * 200 * 1e-4


def test_guesses_no_better_than_coins_show_nothing() -> None:
    assert epsilon_lower_bound(canaries=99, guesses=50, right=25, delta=0.0, doubt=0.05) == 0.0


@pytest.mark.parametrize("noise_multiplier", [0.5, 1.0, 4.0])
def test_a_gaussian_mechanism_stays_below_its_epsilon(noise_multiplier: float) -> None:
    rng = np.random.default_rng(7)
    coins = rng.random(2000) < 0.5
    scores = coins + noise_multiplier * rng.normal(size=2000)
    event = GaussianEvent(noise_multiplier=noise_multiplier, sampling_rate=1.0, count=1)
    claimed = epsilon([event], 1e-5)
    found = audit_one_run(scores, coins, delta=1e-5)
    assert found.epsilon < claimed
    if noise_multiplier <= 1:
        assert found.epsilon > claimed / 8  # the audit has some power


def test_noise_that_got_lost_is_noticed() -> None:
    """The control: a mechanism that claims z = 4 and adds a tenth of it."""
    rng = np.random.default_rng(7)
    coins = rng.random(500) < 0.5
    event = GaussianEvent(noise_multiplier=4.0, sampling_rate=1.0, count=1)
    found = audit_one_run(coins + 0.4 * rng.normal(size=500), coins, delta=1e-5)
    assert found.epsilon > epsilon([event], 1e-5)


def test_the_audit_refuses() -> None:
    coins = np.array([True, False, True])
    with pytest.raises(ValueError, match="2 canaries at least"):
        audit_one_run(np.zeros(2), coins, delta=1e-5)
    with pytest.raises(ValueError, match="2 canaries at least"):
        audit_one_run(np.zeros(1), coins[:1], delta=1e-5)
    with pytest.raises(ValueError, match="not in order"):
        chance_of_guesses(canaries=3, guesses=4, right=1, epsilon=0.0, delta=0.0)
    with pytest.raises(ValueError, match="at least 0"):
        chance_of_guesses(canaries=3, guesses=2, right=1, epsilon=-1.0, delta=0.0)
