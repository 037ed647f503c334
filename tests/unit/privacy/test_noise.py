"""Noise of one party: the grid, the scale, and what is refused."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from fedtrace.privacy.noise import (
    add_gaussian_noise,
    gaussian_on_grid,
    grid_noise_stddev,
    grid_step,
)
from fedtrace.privacy.randomness import FloatArray, OsRandom, SeededRandom


@pytest.mark.parametrize("norm", [0.05, 1.0, 3.7, 1e-6])
def test_the_grid_is_a_power_of_two_just_below(norm: float) -> None:
    step = grid_step(norm)
    assert math.frexp(step)[0] == 0.5
    assert norm * 2.0**-21 < step <= norm * 2.0**-20


def test_what_is_released_lies_on_the_grid_whatever_the_sum() -> None:
    sums = np.array([0.0, 1.0, math.pi, -1e-9, 123.456])
    released = gaussian_on_grid(
        sums, clipping_norm=0.1, noise_multiplier=1.3, source=SeededRandom(1)
    )
    multiples = released / grid_step(0.1)
    assert (multiples == np.rint(multiples)).all()


def test_the_noise_has_the_promised_scale_and_covers_the_rounding() -> None:
    size, clipping_norm, multiplier = 200_000, 0.5, 2.0
    noise = gaussian_on_grid(
        np.zeros(size),
        clipping_norm=clipping_norm,
        noise_multiplier=multiplier,
        source=SeededRandom(2),
    )
    stddev = grid_noise_stddev(
        clipping_norm=clipping_norm, noise_multiplier=multiplier, parameters=size
    )
    assert stddev > multiplier * (clipping_norm + grid_step(clipping_norm) * math.sqrt(size) * 0.99)
    assert stddev < multiplier * clipping_norm * 1.0006
    assert stats.kstest(noise / stddev, "norm").pvalue > 1e-3


def test_noise_differs_between_releases() -> None:
    first, second = (
        add_gaussian_noise(
            np.zeros(1000), clipping_norm=1.0, noise_multiplier=1.0, source=OsRandom()
        )
        for _ in range(2)
    )
    assert first.dtype == np.float32
    assert (first != second).any()
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.2


def test_no_noise_gives_the_sum_rounded_to_the_grid() -> None:
    total = np.linspace(-1, 1, 101)
    released = add_gaussian_noise(
        total, clipping_norm=1.0, noise_multiplier=0.0, source=SeededRandom(0)
    )
    assert np.abs(released - total).max() <= grid_step(1.0)
    empty = add_gaussian_noise(
        np.zeros(0), clipping_norm=1.0, noise_multiplier=1.0, source=SeededRandom(0)
    )
    assert empty.shape == (0,)


@pytest.mark.parametrize(
    ("total", "norm", "multiplier", "sentence"),
    [
        (np.zeros((2, 2)), 1.0, 1.0, "flat"),
        (np.array([math.nan]), 1.0, 1.0, "finite"),
        (np.array([math.inf]), 1.0, 1.0, "finite"),
        (np.array([1e12]), 0.1, 1.0, "does not reach so far"),
        (np.zeros(2), 0.0, 1.0, "clipping norm"),
        (np.zeros(2), -1.0, 1.0, "clipping norm"),
        (np.zeros(2), 5e-324, 1.0, "clipping norm"),
        (np.zeros(2), 1e308, 1.0, "clipping norm"),
        (np.zeros(2), 1.0, 1e13, "at least 64 steps wide and at most"),
        (np.zeros(2), math.nan, 1.0, "clipping norm"),
        (np.zeros(2), math.inf, 1.0, "clipping norm"),
        (np.zeros(2), 1.0, -1.0, "noise multiplier"),
        (np.zeros(2), 1.0, math.nan, "noise multiplier"),
        (np.zeros(2), 1.0, math.inf, "noise multiplier"),
    ],
)
def test_noise_refuses(total: FloatArray, norm: float, multiplier: float, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        add_gaussian_noise(
            total, clipping_norm=norm, noise_multiplier=multiplier, source=SeededRandom(0)
        )
