"""Secret coins and words: distribution, and that nothing can be repeated."""

from __future__ import annotations

import hashlib
import math
import os

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.ciphers.modes import CTR
from scipy import stats

from fedtrace.privacy.randomness import OsRandom, SeededRandom, poisson_sample


def test_uniform_numbers_are_uniform_and_below_one() -> None:
    numbers = SeededRandom(2).uniform(100_000)
    assert stats.kstest(numbers, "uniform").pvalue > 1e-3
    assert numbers.min() >= 0
    assert numbers.max() < 1
    assert (numbers * 2.0**53 == np.rint(numbers * 2.0**53)).all()


def test_a_seed_repeats_its_requests_and_no_two_requests_agree() -> None:
    one, two = SeededRandom(3), SeededRandom(3)
    assert one.bytes(32) == two.bytes(32)
    assert (one.uniform(3) == two.uniform(3)).all()
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


@pytest.mark.parametrize("count", [0, 1, 2**15, 2**15 + 1, 3 * 2**15 + 7])
def test_the_blocks_are_the_words(count: int) -> None:
    pieces = [block.copy() for block in SeededRandom(5).blocks(count)]
    joined = np.concatenate([np.empty(0, dtype=np.uint64), *pieces])
    np.testing.assert_array_equal(joined, SeededRandom(5).words(count))
