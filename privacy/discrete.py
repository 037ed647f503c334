"""Noise shares on an integer grid: what each school adds when a secure sum adds them up.

A secure sum adds integers, so a school's clipped sum is rounded to a grid and its share of the
noise is an integer too. All of this is exact integer arithmetic: no low bit of a floating-point
number can tell anything (Mironov 2012, "On Significance of the Least Significant Bits for
Differential Privacy").
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fedtrace.privacy.discrete_gaussian import (
    SMALLEST_STDDEV,
    SMOOTHING_STDDEV,
    IntegerArray,
    add_discrete_gaussian,
)
from fedtrace.privacy.noise import (
    require_clipping_norm,
    require_noise_multiplier,
    require_within_bounds,
)
from fedtrace.privacy.randomness import FloatArray, RandomSource

MODULUS_BITS = 32
"""Sums are taken modulo 2**32."""

_HEADROOM = 16.0  # standard deviations of the total noise that fit beside the largest sum
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

        Outside the theorem: the sampler's tables hold 64 bits a number, as `add_discrete_gaussian`
        says.

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
            ValueError: a total that is not flat or not finite, or beyond 2**52 grid steps.
        """
        if total.ndim != 1:
            raise ValueError(f"a sum of contributions is flat, not of shape {total.shape}")
        if not np.isfinite(total).all():
            raise ValueError("a sum of clipped contributions is finite; this one is not")
        steps = total.astype(np.float64) / self.step
        require_within_bounds(steps)
        low = np.floor(steps)
        rounded = low.astype(np.int64)
        rounded += source.uniform(len(total)) < steps - low
        if self.stddev_steps > 0:
            add_discrete_gaussian(rounded, self.stddev_steps, source)
        return rounded

    def in_units(self, steps: IntegerArray) -> FloatArray:
        """Grid steps as a number in the units of the contribution, float64 [d]; exact."""
        return steps.astype(np.float64) * self.step
