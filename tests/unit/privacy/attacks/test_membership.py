"""The likelihood ratio attack: finds members where models remember, nobody where they do not."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from fedtrace.privacy.attacks.membership import (
    MembershipRate,
    fit_scores,
    likelihood_ratios,
    membership_rate,
)


def models_that_remember(strength: float) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """Fits of 32 models to 80 students, who differ, better by ``strength`` for members."""
    rng = np.random.default_rng(3)
    members = rng.random((32, 80)) < 0.5
    fits = rng.normal(scale=3, size=80) + strength * members + rng.normal(size=(32, 80))
    return fits, members


def test_models_that_remember_tell() -> None:
    fits, members = models_that_remember(4.0)
    found = membership_rate(likelihood_ratios(fits, members), members, false_alarm_rate=0.01)
    assert found.false_alarm_rate <= 0.01
    assert found.found_rate > 0.8
    assert found.breaks(2.0, 1e-5)
    assert not found.breaks(5.0, 1e-5)


def test_models_that_remember_nothing_tell_nothing() -> None:
    fits, members = models_that_remember(0.0)
    ratios = likelihood_ratios(fits, members)
    found = membership_rate(ratios, members, false_alarm_rate=0.01)
    assert found.found_rate < 0.03
    assert not found.breaks(0.5, 1e-5)
    # Who was in which of the other models must not tell either.
    assert abs(ratios[members].mean() - ratios[~members].mean()) < 0.15


def test_nobody_is_accused_beyond_the_rate() -> None:
    ratios = np.array([[3.0, 2.0, 2.0, 1.0, 0.0]])
    members = np.array([[True, False, True, False, False]])
    strict = membership_rate(ratios, members, false_alarm_rate=0.0)
    assert (strict.found, strict.false_alarms) == (1, 0)  # a tie with an outsider is not accused
    third = membership_rate(ratios, members, false_alarm_rate=0.34)
    assert (third.found, third.false_alarms) == (2, 1)
    everybody = membership_rate(ratios, members, false_alarm_rate=1.0)
    assert (everybody.found, everybody.false_alarms) == (2, 3)


def test_few_finds_do_not_break_a_bound() -> None:
    lucky = MembershipRate(false_alarms=0, outsiders=20, found=3, members=20)
    assert not lucky.breaks(0.5, 1e-5)


def test_a_fit_is_the_logit_of_what_happened() -> None:
    probability = np.array([0.1, 0.5, 0.9])
    expected = np.log(probability / (1 - probability))
    np.testing.assert_allclose(fit_scores(-np.log(probability)), expected, atol=1e-12)
    assert np.isfinite(fit_scores(np.array([0.0]))).all()


def test_the_attack_refuses() -> None:
    with pytest.raises(ValueError, match="in 2 models and out of as many"):
        likelihood_ratios(np.zeros((4, 1)), np.array([[True], [False], [False], [False]]))
    with pytest.raises(ValueError, match=r"\[models, students\]"):
        likelihood_ratios(np.zeros((4, 1)), np.zeros((4, 2), dtype=bool))
    with pytest.raises(ValueError, match="members and outsiders"):
        membership_rate(np.zeros((1, 2)), np.ones((1, 2), dtype=bool), false_alarm_rate=0.1)
