"""Noise shares on a grid: distribution, sensitivity, scale of the sum, range."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedtrace.privacy.discrete import (
    MODULUS_BITS,
    SMALLEST_STDDEV,
    NoiseShare,
    _cumulative,
    _Table,
    discrete_gaussian,
)
from fedtrace.privacy.noise import SeededRandom

PUBLIC = {
    "clipping_norm": 0.1,
    "noise_multiplier": 6.0,
    "size": 400,
    "planned_students": 630,
    "members": 17,
    "quorum": 14,
    "colluding": 2,
}


def share(**changes: float) -> NoiseShare:
    return NoiseShare.of(**{**PUBLIC, **changes})  # type: ignore[arg-type]


def test_the_table_is_the_distribution() -> None:
    stddev = 12.5
    table = _cumulative(stddev)
    mass = np.diff(table.astype(np.float64), prepend=0.0) / 2.0**64
    points = np.arange(len(table)) - len(table) // 2
    wanted = np.exp(-(points**2) / (2 * stddev**2))
    assert np.allclose(mass, wanted / wanted.sum(), rtol=1e-9, atol=1e-15)
    assert int(table[-1]) == 2**64 - 1
    assert (np.diff(table.astype(object)) >= 0).all()


@pytest.mark.parametrize("stddev", [6.5, 320.0, 14_000.0])
def test_the_guide_answers_every_word_as_a_search_would(stddev: float) -> None:
    """At every boundary of the table, where a guess by the first bits would go wrong."""
    cumulative = _cumulative(stddev)
    ends = np.array([0, 1, 2**47 - 1, 2**47, 2**63, 2**64 - 2, 2**64 - 1], dtype=np.uint64)
    below, above = (cumulative[(cumulative > 0)] - np.uint64(1)), cumulative[cumulative < 2**64 - 1]
    coins = SeededRandom(4).words(50_000)
    words = np.concatenate([ends, below, cumulative, above + np.uint64(1), coins])
    searched = np.searchsorted(cumulative, words, side="right") - len(cumulative) // 2
    np.testing.assert_array_equal(_Table.over(cumulative).drawn_by(words), searched)


@pytest.mark.parametrize("stddev", [SMALLEST_STDDEV, 500.0, 1e6])
def test_draws_have_the_moments_of_a_gaussian(stddev: float) -> None:
    drawn = discrete_gaussian(stddev, 200_000, SeededRandom(1)) / stddev
    assert abs(drawn.mean()) < 5 / math.sqrt(200_000)
    assert abs(drawn.var() - 1) < 5 * math.sqrt(2 / 200_000)
    assert abs((drawn**4).mean() - 3) < 0.15
    for point in (0.5, 1.0, 2.0):
        below = 0.5 * (1 + math.erf(point / math.sqrt(2)))
        assert abs((drawn < point).mean() - below) < 0.006


def test_draws_are_independent_and_of_both_parities() -> None:
    drawn = discrete_gaussian(1e4, 200_000, SeededRandom(2))
    assert abs(np.corrcoef(drawn[:-1], drawn[1:])[0, 1]) < 0.01
    assert abs((drawn % 2).mean() - 0.5) < 0.006
    assert abs((drawn % 71).mean() - 35) < 0.3  # the radix of the sampler is 70


@pytest.mark.parametrize("stddev", [63.9, -1.0, math.nan, math.inf])
def test_a_share_too_narrow_for_the_proof_is_refused(stddev: float) -> None:
    with pytest.raises(ValueError, match="at least 64 steps wide"):
        discrete_gaussian(stddev, 1, SeededRandom(0))


@pytest.mark.parametrize("answering", [14, 17])
def test_the_sum_of_shares_has_the_noise_that_was_promised(answering: int) -> None:
    """At the quorum, less the colluding, exactly z; with more schools more."""
    plan = share()
    zeros = np.zeros(400)
    honest = answering - int(PUBLIC["colluding"])
    sums = [
        plan.in_units(
            np.sum([plan.protect(zeros, SeededRandom(100 * i + j)) for j in range(honest)], axis=0)
        )
        for i in range(60)
    ]
    measured = float(np.std(sums)) / PUBLIC["clipping_norm"]
    wanted = PUBLIC["noise_multiplier"] * math.sqrt(honest / (14 - 2))
    assert measured == pytest.approx(wanted, rel=0.02)
    assert wanted >= PUBLIC["noise_multiplier"]


def test_the_noise_pays_for_rounding_and_smoothing() -> None:
    plan = share()
    variance = 12 * plan.stddev_steps**2
    sensitivity = 0.1 / plan.step + math.sqrt(400)
    assert variance - 4 >= (6.0 * sensitivity) ** 2 * (1 - 1e-12)


@settings(max_examples=60)
@given(
    st.lists(st.floats(-0.05, 0.05), min_size=4, max_size=4),
    st.lists(st.floats(-3, 3), min_size=4, max_size=4),
    st.integers(0, 1000),
)
def test_rounding_moves_neighbours_by_less_than_a_step_an_entry(
    student: list[float], others: list[float], seed: int
) -> None:
    plan = share(noise_multiplier=0.0, size=4)
    without = plan.protect(np.array(others), SeededRandom(seed))
    with_student = plan.protect(np.array(others) + np.array(student), SeededRandom(seed))
    moved = np.abs(with_student - without) * plan.step
    assert (moved <= np.abs(student) + plan.step * (1 + 1e-6)).all()


def test_rounding_is_right_on_average() -> None:
    plan = share(noise_multiplier=0.0, size=50_000)
    rounded = plan.protect(np.full(50_000, 0.3 * plan.step), SeededRandom(3))
    assert set(np.unique(rounded)) == {0, 1}
    assert abs(rounded.mean() - 0.3) < 0.02


def test_the_largest_sum_fits_the_modulus() -> None:
    for students in (10, 630, 100_000):
        plan = share(planned_students=students)
        largest = 0.1 * 2 * students + 16 * 6 * 0.1 * math.sqrt(17 / 12)
        assert largest / plan.step <= 2 ** (MODULUS_BITS - 1)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"quorum": 18}, "18 of 17 schools"),
        ({"colluding": 14}, "may collude"),
        ({"colluding": -1}, "may collude"),
        ({"size": 0}, "at least 1 of each"),
        ({"clipping_norm": 0.0}, "clipping norm"),
        ({"noise_multiplier": math.inf}, "noise multiplier"),
        ({"planned_students": 10**9}, "do not fit a sum"),
    ],
)
def test_numbers_that_make_no_share(changes: dict[str, float], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        share(**changes)


@pytest.mark.parametrize(
    "total", [np.zeros((2, 2)), np.array([math.nan]), np.array([1.0, math.inf])]
)
def test_a_sum_that_is_none(total: np.ndarray) -> None:
    with pytest.raises(ValueError, match="sum of"):
        share().protect(total, SeededRandom(0))
