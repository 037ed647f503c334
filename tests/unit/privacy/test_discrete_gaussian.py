"""Gaussian integers: the table is the distribution, and both ways of drawing are the table's."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import numpy.typing as npt
import pytest

from fedtrace.privacy import discrete_gaussian as module
from fedtrace.privacy.discrete_gaussian import (
    SMALLEST_STDDEV,
    AliasTable,
    add_discrete_gaussian,
    gaussian_weights,
)
from fedtrace.privacy.kernel.library import kernel_available
from fedtrace.privacy.randomness import SeededRandom

RADIX = 7
needs_library = pytest.mark.skipif(
    not kernel_available(), reason="the compiled library was not built"
)


def noise(stddev: float, count: int, source: SeededRandom) -> npt.NDArray[np.int64]:
    """What is added to zeros."""
    numbers = np.zeros(count, dtype=np.int64)
    add_discrete_gaussian(numbers, stddev, source)
    return numbers


def walked(table: AliasTable, half: int, more: int) -> int:
    """Walker's method on 64 bits, in whole numbers and one at a time."""
    word = half << 32 | more
    at, rest = word >> (64 - table.bits), word % 2 ** (64 - table.bits)
    own = rest < int(table.thresholds[at])
    return (at if own else int(table.packed[at]) % 2**32) - len(table.packed) // 2


def awkward(table: AliasTable) -> npt.NDArray[np.uint64]:
    """Words with halves at the ends of all bins and at, below and above all thresholds."""
    starts = np.arange(len(table.packed), dtype=np.uint64) << np.uint64(32 - table.bits)
    leading = table.thresholds >> np.uint64(32)
    at = starts + leading
    last = starts + np.uint64(2 ** (32 - table.bits) - 1)
    halves = np.concatenate(
        [starts, last, at, at - np.minimum(leading, 1), np.minimum(at + 1, last)]
    )
    words: npt.NDArray[np.uint64] = halves << np.uint64(32) | halves[::-1]
    return words


def test_the_weights_are_the_distribution_and_add_up() -> None:
    stddev = 12.5
    weights = gaussian_weights(stddev)
    assert sum(weights) == 2**64
    assert weights == weights[::-1]
    points = np.arange(len(weights)) - len(weights) // 2
    wanted = np.exp(-(points**2) / (2 * stddev**2))
    mass = np.array(weights, dtype=np.float64) / 2.0**64
    assert np.allclose(mass, wanted / wanted.sum(), rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("stddev", [6.5, 12.5, 320.0])
def test_the_table_gives_each_integer_exactly_its_weight(stddev: float) -> None:
    weights = gaussian_weights(stddev)
    table = AliasTable.of(weights)
    room = 2 ** (64 - table.bits)
    mass: Counter[int] = Counter()
    for at, threshold in enumerate(table.thresholds.tolist()):
        mass[at] += threshold
        mass[int(table.packed[at]) % 2**32] += room - threshold
    middle = len(table.packed) // 2
    reach = len(weights) // 2
    assert {at - middle: weight for at, weight in mass.items() if weight} == {
        at - reach: weight for at, weight in enumerate(weights) if weight
    }


@pytest.mark.parametrize("stddev", [6.5, 320.0])
def test_every_word_gives_the_integers_of_its_halves(stddev: float) -> None:
    table = AliasTable.of(gaussian_weights(stddev))
    words = np.concatenate([awkward(table), SeededRandom(4).words(2000)])
    drawn = np.empty(len(words), dtype=np.int64)
    table.draw(words, RADIX, drawn, SeededRandom(5))
    halves = words.view("<u4")
    rest = halves << np.uint32(table.bits)
    tied = np.flatnonzero(rest == table.packed[halves >> np.uint32(32 - table.bits)] >> 32)
    assert len(tied) > 100
    more = np.zeros(len(halves), dtype=np.uint64)
    more[tied] = SeededRandom(5).words(len(tied)) >> np.uint64(32)
    wanted = [
        walked(table, half, bits) for half, bits in zip(halves.tolist(), more.tolist(), strict=True)
    ]
    np.testing.assert_array_equal(drawn, np.array(wanted[::2]) + RADIX * np.array(wanted[1::2]))


@needs_library
@pytest.mark.parametrize("stddev", [6.5, 320.0, pytest.param(14_000.0, marks=pytest.mark.system)])
def test_the_library_draws_the_same_integers(stddev: float) -> None:
    table = AliasTable.of(gaussian_weights(stddev))
    words = np.concatenate([awkward(table), SeededRandom(4).words(2000)])
    one, other = np.empty((2, len(words)), dtype=np.int64)
    table.draw(words, RADIX, one, SeededRandom(5))
    table.draw_compiled(words, RADIX, other, SeededRandom(5))
    np.testing.assert_array_equal(one, other)


def test_without_the_library_a_request_gives_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    here = noise(500.0, 70_000, SeededRandom(3))
    monkeypatch.setattr(module, "kernel_available", lambda: False)
    np.testing.assert_array_equal(here, noise(500.0, 70_000, SeededRandom(3)))


@pytest.mark.parametrize("stddev", [SMALLEST_STDDEV, 500.0, 1e6, 1e12])
def test_draws_have_the_moments_of_a_gaussian(stddev: float) -> None:
    drawn = noise(stddev, 200_000, SeededRandom(1)) / stddev
    assert abs(drawn.mean()) < 5 / math.sqrt(200_000)
    assert abs(drawn.var() - 1) < 5 * math.sqrt(2 / 200_000)
    assert abs((drawn**4).mean() - 3) < 0.15
    for point in (0.5, 1.0, 2.0):
        below = 0.5 * (1 + math.erf(point / math.sqrt(2)))
        assert abs((drawn < point).mean() - below) < 0.006


def test_draws_are_independent_and_of_both_parities() -> None:
    drawn = noise(1e4, 200_000, SeededRandom(2))
    assert abs(np.corrcoef(drawn[:-1], drawn[1:])[0, 1]) < 0.01
    assert abs((drawn % 2).mean() - 0.5) < 0.006
    assert abs((drawn % 71).mean() - 35) < 0.3  # the radix of the sampler is 70


@pytest.mark.parametrize("stddev", [500.0, 1e12])
def test_noise_is_added_to_what_is_there(stddev: float) -> None:
    numbers = np.arange(-35_000, 35_000) * 2**36
    added = numbers.copy()
    add_discrete_gaussian(added, stddev, SeededRandom(3))
    np.testing.assert_array_equal(added, numbers + noise(stddev, 70_000, SeededRandom(3)))


@pytest.mark.parametrize("stddev", [63.9, -1.0, 1e18, math.nan, math.inf])
def test_a_share_too_narrow_for_the_proof_or_too_wide_is_refused(stddev: float) -> None:
    with pytest.raises(ValueError, match="at least 64 steps wide"):
        noise(stddev, 1, SeededRandom(0))


@needs_library
def test_the_library_is_given_only_what_it_can_read() -> None:
    table = AliasTable.of(gaussian_weights(6.5))
    drawn = np.empty(5, dtype=np.int64)
    for words in (np.zeros(10, dtype=np.uint64)[::2], np.zeros(5, dtype=np.int64)):
        with pytest.raises(ValueError, match="contiguous u8"):
            table.draw_compiled(words, RADIX, drawn, SeededRandom(0))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="too short"):
        table.draw_compiled(np.zeros(6, dtype=np.uint64), RADIX, drawn, SeededRandom(0))
