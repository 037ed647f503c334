"""The tests of the noise: right noise passes, each defect fails the test that is meant for it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from scipy import stats

from fedtrace.privacy.attacks.noise_tests import noise_p_values, suspicious

Noise = npt.NDArray[np.float64]


def right_noise() -> Noise:
    return np.random.default_rng(5).normal(size=(3, 4, 4000))


def same_in_two_schools(noise: Noise) -> Noise:
    return np.concatenate([noise[:2], noise[:1]])


def same_in_two_rounds(noise: Noise) -> Noise:
    return np.concatenate([noise[:, :3], noise[:, :1]], axis=1)


def smoothed(noise: Noise) -> Noise:
    neighbours: Noise = (noise + np.roll(noise, 1, axis=2)) / np.sqrt(2)
    return neighbours


def uniform(noise: Noise) -> Noise:
    flat: Noise = np.sqrt(12) * (np.random.default_rng(5).random(noise.shape) - 0.5)
    return flat


def test_right_noise_passes() -> None:
    assert suspicious(noise_p_values(right_noise())) == []


@pytest.mark.parametrize(
    ("defect", "test"),
    [
        (lambda noise: 0.95 * noise, "scale"),
        (lambda noise: 1.05 * noise, "scale"),
        (same_in_two_schools, "independence of schools"),
        (same_in_two_rounds, "independence of rounds"),
        (smoothed, "independence of numbers"),
        (uniform, "shape"),
        (lambda noise: noise - noise.mean(axis=0), "scale of the sum"),
    ],
)
def test_wrong_noise_fails(defect: object, test: str) -> None:
    assert callable(defect)
    assert test in suspicious(noise_p_values(defect(right_noise())))


def test_p_values_are_those_of_the_textbook() -> None:
    noise = right_noise() + 0.003
    found = noise_p_values(noise)
    assert found["shape"] == pytest.approx(stats.kstest(noise.ravel(), "norm").pvalue, rel=0.02)
    tail = stats.chi2.sf(float((noise**2).sum()), noise.size)
    assert found["scale"] == pytest.approx(2 * min(tail, 1 - tail), rel=0.02)


@pytest.mark.parametrize("shape", [(2, 2), (1, 2, 2), (2, 2, 1)])
def test_too_little_noise_to_test(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="at least 2 of each"):
        noise_p_values(np.zeros(shape))
