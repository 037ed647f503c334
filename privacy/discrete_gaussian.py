"""Gaussian integers: the noise of a sum on a grid, drawn from tables of whole numbers.

The compiled library and NumPy draw the same integers from the same words; which one works is a
matter of speed alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from fedtrace.privacy.kernel.library import draw_by_alias, kernel_available
from fedtrace.privacy.randomness import RandomSource

IntegerArray = npt.NDArray[np.int64]

SMALLEST_STDDEV = 64.0
"""Below it the two look-ups of `add_discrete_gaussian` are no longer one Gaussian, to the proof."""

LARGEST_STDDEV = 2.0**58
"""Above it a draw might not fit 64 bits."""

SMOOTHING_STDDEV = 2.0
"""s in the proof of `NoiseShare`, in grid steps: what a Gaussian gives up to become discrete."""

_TAIL = 9.5  # standard deviations; beyond it a Gaussian falls with probability 2e-21
_WIDEST_TABLE = 2.0**14  # standard deviation: 2**19 bins, 4 MiB
_WORD_BITS = 64
_HALF_BITS = 32


def add_discrete_gaussian(numbers: IntegerArray, stddev: float, source: RandomSource) -> None:
    """Add to each an independent integer k, drawn in proportion to exp(-k^2 / (2 stddev^2)).

    Block by block, so that no second array of this size is made: mapping its pages anew took a
    third as long as drawing.

    The sum of a narrow one and ``radix`` times another is a wide one, by point 2 of `NoiseShare`'s
    proof (Micciancio and Walter 2017, "Gaussian Sampling over the Integers: Efficient, Generic,
    Constant-Time", section 3), so that two look-ups in a short table replace one in a long one;
    where even that is long, each of them is drawn so again.
    With stddev >= 64 the lattice sum in that proof is at least 1.93 wide, which makes the sum
    exact up to a factor of 1 +- 1e-31. The tables hold probabilities in multiples of 2**-64, so
    that a table ends at 8.2 standard deviations or later: less than 1e-14 of total variation an
    integer that comes out.

    Args:
        numbers: int64 [count], at most 2**52 in size; written to.
        stddev: at least `SMALLEST_STDDEV`, at most `LARGEST_STDDEV`.
        source: uniform words: one an integer, and half a one more for each tie.

    Raises:
        ValueError: a standard deviation outside these; nothing has been added.
    """
    if not SMALLEST_STDDEV <= stddev <= LARGEST_STDDEV:
        raise ValueError(
            f"a noise share is at least {SMALLEST_STDDEV:g} steps wide and at most "
            f"{LARGEST_STDDEV:.0e}, not {stddev}"
        )
    _add(numbers, stddev, 1, source)


def _add(numbers: IntegerArray, stddev: float, times: int, source: RandomSource) -> None:
    radix = max(1, math.isqrt(int(stddev / 2)))
    narrow_stddev = stddev / math.sqrt(1 + radix**2)
    if narrow_stddev > _WIDEST_TABLE:
        _add(numbers, narrow_stddev, times, source)
        _add(numbers, narrow_stddev, times * radix, source)
        return
    narrow = _narrow_gaussian(narrow_stddev)
    draw = narrow.draw_compiled if kernel_available() else narrow.draw
    block, done = np.empty(0, dtype=np.int64), 0
    for words in source.blocks(len(numbers)):
        if len(block) < len(words):
            block = np.empty(len(words), dtype=np.int64)
        drawn = block[: len(words)]
        draw(words, radix, drawn, source)
        if times != 1:
            drawn *= times
        numbers[done : done + len(words)] += drawn
        done += len(words)


@dataclass(frozen=True, slots=True, kw_only=True)
class AliasTable:
    """Turns 64 uniform bits into an integer, with one look-up and no branch on the integer.

    The first bits choose a bin; the rest is compared with the bin's threshold and leaves its
    integer, or the integer of its alias (Walker 1977, "An Efficient Method for Generating Discrete
    Random Variables with General Distributions"). 32 bits nearly always decide; where they equal
    the threshold's own, 32 more are asked for, which takes its time once in 2**(32 - bits) words.
    Which bin is read depends on the noise: whoever shares the processor's cache and measures it is
    outside of what is promised. All integers are drawn from whole bins and
    thresholds, so the probabilities are exact multiples of 2**-64.

    Attributes:
        bits: how many bits choose a bin; the bin in the middle is 0.
        thresholds: uint64 [2**bits], each below 2**(64 - bits).
        packed: uint64 [2**bits], the threshold's first bits, at the front of the upper half, and
            the alias in the lower half.
    """

    bits: int
    thresholds: npt.NDArray[np.uint64]
    packed: npt.NDArray[np.uint64]

    @classmethod
    def of(cls, weights: list[int]) -> AliasTable:
        """The table for integers around 0 with these weights.

        Vose 1991, "A Linear Algorithm for Generating Random Numbers with a Given Distribution", in
        whole numbers: nothing is rounded.

        Args:
            weights: an odd number of them, the middle one for 0; they add up to 2**64.
        """
        reach = len(weights) // 2
        bits = reach.bit_length() + 1
        bins, room = 1 << bits, 1 << (_WORD_BITS - bits)
        missing = bins // 2 - reach
        left = [0] * missing + weights + [0] * (missing - 1)
        aliases, thresholds = list(range(bins)), [0] * bins
        short = [at for at, weight in enumerate(left) if weight < room]
        long = [at for at, weight in enumerate(left) if weight >= room]
        while short:  # what is left always fills the bins that are left, so there is a long one
            at, filler = short.pop(), long[-1]
            thresholds[at], aliases[at] = left[at], filler
            left[filler] -= room - left[at]
            if left[filler] < room:
                short.append(long.pop())
        # Those that are left fill a bin each: threshold 0, and their own alias.
        exact = np.array(thresholds, dtype=np.uint64)
        leading = (exact >> np.uint64(_HALF_BITS)) << np.uint64(bits + _HALF_BITS)
        packed = leading | np.array(aliases, dtype=np.uint64)
        return cls(bits=bits, thresholds=exact, packed=packed)

    def draw(
        self,
        words: npt.NDArray[np.uint64],
        radix: int,
        drawn: IntegerArray,
        source: RandomSource,
    ) -> None:
        """Write an integer and ``radix`` times another one into ``drawn``, for each word.

        Args:
            words: uint64 [n].
            radix: at least 1.
            drawn: int64 [n].
            source: where more bits come from.
        """
        halves = words.astype("<u8", copy=False).view("<u4")
        bins = halves >> np.uint32(_HALF_BITS - self.bits)
        chosen = self.packed.take(bins.view(np.int32))
        rest = halves << np.uint32(self.bits)
        thresholds = (chosen >> np.uint64(_HALF_BITS)).astype(np.uint32)
        found = np.where(rest < thresholds, bins, chosen.astype(np.uint32)).reshape(-1, 2)
        np.multiply(found[:, 1], np.int64(radix), out=drawn, casting="unsafe")
        drawn += found[:, 0]
        drawn -= len(self.packed) // 2 * (1 + radix)
        self._settle(np.flatnonzero(rest == thresholds), halves, radix, drawn, source)

    def draw_compiled(
        self,
        words: npt.NDArray[np.uint64],
        radix: int,
        drawn: IntegerArray,
        source: RandomSource,
    ) -> None:
        """``draw``, by the compiled library: the same arguments and the same integers."""
        ties = np.empty(2 * len(words), dtype=np.int64)
        found = draw_by_alias(
            words, bins=self.packed, bits=self.bits, radix=radix, drawn=drawn, ties=ties
        )
        halves = words.astype("<u8", copy=False).view("<u4")
        self._settle(ties[:found], halves, radix, drawn, source)

    def _settle(
        self,
        ties: IntegerArray,
        halves: npt.NDArray[np.uint32],
        radix: int,
        drawn: IntegerArray,
        source: RandomSource,
    ) -> None:
        """Take back the alias where 32 more bits say that the bin's own integer was meant."""
        if not len(ties):
            return
        more = source.words(len(ties)) >> np.uint64(_HALF_BITS)
        tied = halves[ties].astype(np.uint64)
        bins = tied >> np.uint64(_HALF_BITS - self.bits)
        rest = ((tied << np.uint64(_HALF_BITS)) | more) & np.uint64((1 << (64 - self.bits)) - 1)
        own = rest < self.thresholds[bins]
        aliases = self.packed[bins] & np.uint64(2**_HALF_BITS - 1)
        further = (bins.astype(np.int64) - aliases.astype(np.int64)) * np.where(ties % 2, radix, 1)
        np.add.at(drawn, ties[own] // 2, further[own])


@lru_cache(maxsize=8)
def _narrow_gaussian(stddev: float) -> AliasTable:
    return AliasTable.of(gaussian_weights(stddev))


def gaussian_weights(stddev: float) -> list[int]:
    """2**64 times the probability of every integer up to -tail, ..., tail; exactly 2**64 in all."""
    tail = math.ceil(_TAIL * stddev)
    half = np.exp(-0.5 * (np.arange(1, tail + 1) / stddev) ** 2)
    total = 1 + 2 * math.fsum(half)
    # Whole numbers from here on: sums of 64 bits do not round.
    weights = [round(weight / total * 2.0**_WORD_BITS) for weight in half]
    return [*reversed(weights), 2**_WORD_BITS - 2 * sum(weights), *weights]
