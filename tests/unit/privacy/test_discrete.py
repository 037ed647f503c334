"""Noise shares on a grid: sensitivity, scale of the sum, range."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.thoroughness import examples

from fedtrace.privacy.discrete import MODULUS_BITS, NoiseShare
from fedtrace.privacy.randomness import SeededRandom

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


@examples(60)
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
