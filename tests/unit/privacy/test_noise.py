"""Coins and noise: distribution, the grid, and that nothing can be repeated."""

from __future__ import annotations

import hashlib
import math
import os

import numpy as np
import numpy.typing as npt
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.ciphers.modes import CTR
from scipy import stats

from fedtrace.privacy.noise import (
    FloatArray,
    OsRandom,
    SeededRandom,
    add_gaussian_noise,
    gaussian_on_grid,
    grid_noise_stddev,
    grid_step,
    poisson_sample,
)


def test_normal_numbers_are_normal() -> None:
    numbers = SeededRandom(1).normal(200_001)
    assert numbers.shape == (200_001,)
    assert stats.kstest(numbers, "norm").pvalue > 1e-3
    assert abs(np.corrcoef(numbers[:-1], numbers[1:])[0, 1]) < 0.01
    half = len(numbers) // 2  # the two numbers of one pair are independent too
    assert abs(np.corrcoef(numbers[:half], numbers[half : 2 * half])[0, 1]) < 0.01


def test_uniform_numbers_are_uniform_and_below_one() -> None:
    numbers = SeededRandom(2).uniform(100_000)
    assert stats.kstest(numbers, "uniform").pvalue > 1e-3
    assert numbers.min() >= 0
    assert numbers.max() < 1
    assert (numbers * 2.0**53 == np.rint(numbers * 2.0**53)).all()


@pytest.mark.parametrize("byte", [0x00, 0x7F, 0x80, 0xFF])
def test_the_extreme_words_give_finite_noise(byte: int) -> None:
    class Constant(SeededRandom):
        def words(self, count: int) -> npt.NDArray[np.uint64]:
            return np.full(count, int.from_bytes(bytes([byte]) * 8), dtype="<u8")

    numbers = Constant(0).normal(5)
    assert np.isfinite(numbers).all()
    assert np.abs(numbers).max() <= 9.6


def test_a_seed_repeats_its_requests_and_no_two_requests_agree() -> None:
    one, two = SeededRandom(3), SeededRandom(3)
    assert one.bytes(32) == two.bytes(32)
    assert (one.normal(3) == two.normal(3)).all()
    assert one.bytes(32) != one.bytes(32)
    assert SeededRandom(4).bytes(32) != SeededRandom(5).bytes(32)


@pytest.mark.parametrize("count", [0, 1, 7, 8, 2**16 - 1, 2**16, 2**16 + 17, 3 * 2**16])
def test_the_bytes_are_one_keystream(count: int) -> None:
    """However they are made piece by piece: AES-256-CTR from counter 0 over zeros."""
    key = hashlib.sha256(b"5/1").digest()
    whole = Cipher(AES256(key), CTR(bytes(16))).encryptor().update(bytes(count + 8))
    assert SeededRandom(5).bytes(count) == whole[:count]
    assert SeededRandom(5).words(count // 8).tobytes() == whole[: count // 8 * 8]


def test_every_request_takes_a_fresh_key_from_the_operating_system(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[int] = []
    original = os.urandom

    def counted(size: int) -> bytes:
        asked.append(size)
        return original(size)

    monkeypatch.setattr(os, "urandom", counted)
    source = OsRandom()
    assert source.bytes(64) != source.bytes(64)
    assert asked == [32, 32]  # so a fork cannot repeat the parent's noise


def test_poisson_sampling_flips_one_coin_a_student() -> None:
    coins = poisson_sample(100_000, 0.3, SeededRandom(6))
    assert coins.dtype == np.bool_
    assert abs(coins.mean() - 0.3) < 0.006
    assert not poisson_sample(1000, 0.0, SeededRandom(7)).any()
    assert poisson_sample(1000, 1.0, SeededRandom(8)).all()
    assert poisson_sample(0, 0.5, SeededRandom(9)).shape == (0,)


@pytest.mark.parametrize(("students", "rate"), [(3, -0.1), (3, 1.1), (3, math.nan), (-1, 0.5)])
def test_poisson_sampling_refuses(students: int, rate: float) -> None:
    with pytest.raises(ValueError, match=r"sampling rate|number of students"):
        poisson_sample(students, rate, SeededRandom(0))


@pytest.mark.parametrize("norm", [0.05, 1.0, 3.7, 1e-6])
def test_the_grid_is_a_power_of_two_just_below(norm: float) -> None:
    step = grid_step(norm)
    assert math.frexp(step)[0] == 0.5
    assert norm * 2.0**-25 < step <= norm * 2.0**-24


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
    assert stddev < multiplier * clipping_norm * 1.0001
    assert stats.kstest(noise / stddev, "norm").pvalue > 1e-3


def test_rounding_a_grid_value_plus_noise_is_post_processing() -> None:
    """The theorem's identity, k + round(x) = round(k + x), on numbers of the real size."""
    rng = np.random.default_rng(0)
    k = rng.integers(-(2**30), 2**30, 10_000).astype(np.float64)
    x = rng.normal(size=10_000) * 2**24
    assert (k + np.rint(x) == np.rint(k + x)).all()


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
        (np.zeros(2), 0.0, 1.0, "clipping norm"),
        (np.zeros(2), -1.0, 1.0, "clipping norm"),
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
