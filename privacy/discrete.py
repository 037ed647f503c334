"""Noise shares on an integer grid: what each school adds when a secure sum adds them up.

A secure sum adds integers, so a school's clipped sum is rounded to a grid and its share of the
noise is an integer too. All of this is exact integer arithmetic: no low bit of a floating-point
number can tell anything (Mironov 2012, "On Significance of the Least Significant Bits for
Differential Privacy").
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from fedtrace.privacy.noise import (
    FloatArray,
    RandomSource,
    require_clipping_norm,
    require_noise_multiplier,
)

IntegerArray = npt.NDArray[np.int64]

MODULUS_BITS = 32
"""Sums are taken modulo 2**32."""

SMOOTHING_STDDEV = 2.0
"""s in the proof of `NoiseShare`, in grid steps: what a Gaussian gives up to become discrete."""

SMALLEST_STDDEV = 64.0
"""A share is at least so wide, in grid steps; below it the grid is too coarse for the proof."""

_TAIL = 9.5  # standard deviations; beyond it a Gaussian falls with probability 2e-21
_HEADROOM = 16.0  # standard deviations of the total noise that fit beside the largest sum
_GUIDE_BITS = 17  # half a MiB: stays in a core's own cache
_REST_BITS = np.uint64(64 - _GUIDE_BITS)
_UNDECIDED = np.iinfo(np.int32).min
_AT_ONCE = 2**15  # words whose intermediate results stay there too
_FINEST_STEPS = 2.0**22  # grid steps in C: finer would only make the sampler's table longer


@dataclass(frozen=True, slots=True, kw_only=True)
class NoiseShare:
    """How one school quantises and noises its part of a sum of clipped contributions.

    Guarantees:
        The total of at least ``quorum`` shares, of which ``colluding`` are known to the attacker,
        is (epsilon, delta)-private for every pair that a Gaussian mechanism of noise multiplier z
        has, up to a factor of exp(8 * d * 2.1 exp(-2 pi^2 s^2)) on the probabilities, s = 2; for a
        million parameters that is exp(1e-27).

        1. *Sensitivity.* Both neighbouring sums are rounded with the same secret coins. An entry
           moves by less than one step more than before, so the integers differ by at most
           D = C / step + sqrt(d) in L2 norm, whatever the coins.
        2. *The sum of discrete Gaussians.* For integers, exp(-j^2 / 2a^2) exp(-(k-j)^2 / 2b^2)
           summed over j is exp(-k^2 / 2(a^2 + b^2)) times a sum of a Gaussian of width
           ab / sqrt(a^2 + b^2) over a shifted lattice, which by Poisson summation depends on the
           shift by a factor of at most 1 +- 2.1 exp(-2 pi^2 (ab)^2 / (a^2 + b^2)). So shares of
           64 steps and more add up to the discrete Gaussian of the summed variance up to factors
           of 1 +- exp(-40000) (Kairouz, Liu and Steinke 2021, "The Distributed Discrete Gaussian
           Mechanism", theorem 1 and lemma 6).
        3. *The discrete Gaussian is a rounded Gaussian.* The same identity, with the integral in
           place of one sum: drawing y from the continuous Gaussian around an integer with
           variance v - s^2, and then an integer k with probability proportional to
           exp(-(k - y)^2 / 2s^2), gives the discrete Gaussian of variance v, up to the factor
           above. The second draw does not know the sum: it is post-processing (Dwork and Roth
           2014, proposition 2.1). So the total is as private as a Gaussian mechanism with
           variance v - s^2, and ``stddev_steps`` makes that at least (z * D)^2.
        4. The sum modulo 2**32 is post-processing. Wrapping around costs accuracy and no privacy;
           ``step`` is chosen such that it happens with probability below 1e-50 while no more than
           twice the planned students take part.

        Outside the theorem: the sampler's tables end at 9.5 standard deviations and hold 64 bits
        a number: less than 1e-14 of total variation an entry.

    Attributes:
        step: width of the grid, a power of two, in units of the contribution.
        stddev_steps: standard deviation of one school's share, in grid steps.
    """

    step: float
    stddev_steps: float

    @classmethod
    def of(
        cls,
        *,
        clipping_norm: float,
        noise_multiplier: float,
        size: int,
        planned_students: int,
        members: int,
        quorum: int,
        colluding: int,
    ) -> NoiseShare:
        """The share that a plan's public numbers lead to.

        Args:
            clipping_norm: C, the L2 bound on one student's contribution.
            noise_multiplier: z of the total; 0 adds none (and is accounted as infinite epsilon).
            size: d, how many numbers the contribution has.
            planned_students: public number of students of all schools.
            members: schools that may take part.
            quorum: a sum of fewer schools is never revealed.
            colluding: how many of them may tell their own share to an attacker.

        Raises:
            ValueError: a number outside its range, a quorum that colluding schools fill, or a sum
                that does not fit the modulus on a grid fine enough.
        """
        require_clipping_norm(clipping_norm)
        require_noise_multiplier(noise_multiplier)
        if not 0 <= colluding < quorum <= members:
            raise ValueError(
                f"{quorum} of {members} schools are needed and {colluding} may collude; the first "
                "must be at most the second and more than the third"
            )
        if size < 1 or planned_students < 1:
            raise ValueError(f"{size} numbers of {planned_students} students: at least 1 of each")
        widening = math.sqrt(members / (quorum - colluding))
        largest = clipping_norm * (2 * planned_students + _HEADROOM * noise_multiplier * widening)
        coarse = largest / 2.0 ** (MODULUS_BITS - 1)
        step = 2.0 ** math.ceil(math.log2(max(coarse, clipping_norm / _FINEST_STEPS)))
        if noise_multiplier == 0:
            return cls(step=step, stddev_steps=0.0)
        sensitivity = clipping_norm / step + math.sqrt(size)
        variance = (noise_multiplier * sensitivity) ** 2 + SMOOTHING_STDDEV**2
        share = math.sqrt(variance / (quorum - colluding))
        if share < SMALLEST_STDDEV or sensitivity > 2 * clipping_norm / step:
            raise ValueError(
                f"{planned_students} students and {size} numbers do not fit a sum modulo "
                f"2**{MODULUS_BITS}: its grid would be {clipping_norm / step:.3g} steps wide in C"
            )
        return cls(step=step, stddev_steps=share)

    def protect(self, total: npt.NDArray[np.floating], source: RandomSource) -> IntegerArray:
        """A school's clipped sum in grid steps, rounded at random, with its share of the noise.

        Args:
            total: float [d], the sum of this school's clipped contributions.
            source: coins and noise.

        Returns:
            int64 [d]; secret as long as no other shares have been added.

        Raises:
            ValueError: a total that is not flat or not finite.
        """
        if total.ndim != 1:
            raise ValueError(f"a sum of contributions is flat, not of shape {total.shape}")
        if not np.isfinite(total).all():
            raise ValueError("a sum of clipped contributions is finite; this one is not")
        steps = total.astype(np.float64) / self.step
        rounded = np.floor(steps + source.uniform(len(total))).astype(np.int64)
        if self.stddev_steps > 0:
            rounded += discrete_gaussian(self.stddev_steps, len(total), source)
        return rounded

    def in_units(self, steps: IntegerArray) -> FloatArray:
        """Grid steps as a number in the units of the contribution, float64 [d]; exact."""
        return steps.astype(np.float64) * self.step


def discrete_gaussian(stddev: float, count: int, source: RandomSource) -> IntegerArray:
    """Independent integers, k with probability proportional to exp(-k^2 / (2 stddev^2)).

    The sum of a narrow one and ``radix`` times another is a wide one, by point 2 of `NoiseShare`'s
    proof (Micciancio and Walter 2017, "Gaussian Sampling over the Integers: Efficient, Generic,
    Constant-Time", section 3), so that two look-ups in short tables replace one in a long one.
    With stddev >= 64 the lattice sum in that proof is at least 1.93 wide, which makes the result
    exact up to a factor of 1 +- 1e-31.

    Args:
        stddev: at least `SMALLEST_STDDEV`.
        count: how many.
        source: uniform bytes.

    Returns:
        int64 [count].

    Raises:
        ValueError: a standard deviation below the smallest, or not finite.
    """
    if not SMALLEST_STDDEV <= stddev < math.inf:
        raise ValueError(f"a noise share is at least {SMALLEST_STDDEV:g} steps wide, not {stddev}")
    radix = max(1, math.isqrt(int(stddev / 2)))
    narrow = _narrow_gaussian(stddev / math.sqrt(1 + radix**2))
    words = source.words(2 * count)
    return narrow.drawn_by(words[:count]) + radix * narrow.drawn_by(words[count:])


@dataclass(frozen=True, slots=True, kw_only=True)
class _Table:
    """Turns a uniform 64-bit word into an integer: how many entries of a table are not above it.

    The first bits of a word nearly always decide: where no entry lies between the smallest and the
    largest word that begin with them, ``guide`` has the answer. The rest, one word in fifty, is
    searched for. The same word gives the same integer either way (Chen and Asau 1974, "On
    Generating Random Variates from an Empirical Distribution"). How long it takes depends on how
    many words of a whole vector are searched for, and on nothing else that is secret.

    Attributes:
        cumulative: uint64, ascending.
        guide: int32 [2**_GUIDE_BITS], the integer, or ``_UNDECIDED``.
    """

    cumulative: npt.NDArray[np.uint64]
    guide: npt.NDArray[np.int32]

    @classmethod
    def over(cls, cumulative: npt.NDArray[np.uint64]) -> _Table:
        """The guide for a table."""
        beginnings = np.arange(2**_GUIDE_BITS, dtype=np.uint64) << _REST_BITS
        last = beginnings | ((np.uint64(1) << _REST_BITS) - np.uint64(1))
        lowest, highest = (
            np.searchsorted(cumulative, words, side="right") for words in (beginnings, last)
        )
        decided = np.where(lowest == highest, lowest - len(cumulative) // 2, _UNDECIDED)
        return cls(cumulative=cumulative, guide=decided.astype(np.int32))

    def drawn_by(self, words: npt.NDArray[np.uint64]) -> IntegerArray:
        """int64, one integer a word; the middle of the table is 0."""
        drawn = np.empty(len(words), dtype=np.int64)
        for first in range(0, len(words), _AT_ONCE):
            block = words[first : first + _AT_ONCE]
            found = self.guide[(block >> _REST_BITS).view(np.int64)]
            left = np.flatnonzero(found == _UNDECIDED)
            searched = np.searchsorted(self.cumulative, block[left], side="right")
            found[left] = searched - len(self.cumulative) // 2
            drawn[first : first + _AT_ONCE] = found
        return drawn


@lru_cache(maxsize=8)
def _narrow_gaussian(stddev: float) -> _Table:
    return _Table.over(_cumulative(stddev))


def _cumulative(stddev: float) -> npt.NDArray[np.uint64]:
    """uint64 [2 * tail + 1]: 2**64 times the probability of every integer up to -tail, ..., tail.

    The last is left at 2**64 - 1, so that no 64-bit word lies beyond the table by more than one.
    """
    tail = math.ceil(_TAIL * stddev)
    half = np.exp(-0.5 * (np.arange(1, tail + 1) / stddev) ** 2)
    total = 1 + 2 * math.fsum(half)
    # Whole numbers from here on: sums of 64 bits do not round.
    weights = [int(weight / total * 2.0**64) for weight in half]
    middle = 2**64 - 2 * sum(weights)
    mass, table = 0, []
    for weight in (*reversed(weights), middle, *weights):
        mass += weight
        table.append(min(mass, 2**64 - 1))
    return np.array(table, dtype=np.uint64)
