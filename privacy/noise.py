"""The noise of one party on a sum of clipped contributions: the Gaussian mechanism on a grid.

All of the noise is added here, by whoever releases the sum alone: a school in trust mode `local`,
and for its own statistics. `discrete.py` has the shares of noise that many schools add up.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from fedtrace.privacy.discrete_gaussian import (
    SMALLEST_STDDEV,
    SMOOTHING_STDDEV,
    add_discrete_gaussian,
)
from fedtrace.privacy.randomness import FloatArray, RandomSource

GRID_BITS = 20
"""The noised sum lives on a grid of at most C * 2**-20: far below any noise that hides a student,
and coarse enough for the sampler's tables to stay in a core's own cache."""

_LARGEST_MULTIPLE = 2.0**52  # still a whole number in float64
_LEAST_NORM, _MOST_NORM = 2.0**-900, 2.0**900  # its grid and its noise are normal numbers


def grid_step(norm: float) -> float:
    """The power of two on whose multiples a sum of sensitivity ``norm`` is released."""
    return math.ldexp(1.0, math.frexp(norm)[1] - 1 - GRID_BITS)


def grid_noise_stddev(*, clipping_norm: float, noise_multiplier: float, parameters: int) -> float:
    """Standard deviation of the noise: z times the sensitivity *on the grid*, and smoothing.

    Rounding moves each of d entries of either of two neighbouring sums by at most step / 2, so the
    rounded sums differ by at most C + step * sqrt(d) in L2 norm. With a million parameters that
    is C * (1 + 1e-3) at the worst. What a Gaussian gives up to become discrete comes on top.
    """
    steps = _noise_steps(clipping_norm, noise_multiplier, parameters)
    return steps * grid_step(clipping_norm)


def _noise_steps(clipping_norm: float, noise_multiplier: float, parameters: int) -> float:
    """The same in steps of the grid, as the noise is drawn."""
    sensitivity = float(clipping_norm) / grid_step(clipping_norm) + math.sqrt(parameters)
    steps = math.hypot(float(noise_multiplier) * sensitivity, SMOOTHING_STDDEV)
    return max(steps, SMALLEST_STDDEV)


def add_gaussian_noise(
    total: npt.NDArray[np.floating],
    *,
    clipping_norm: float,
    noise_multiplier: float,
    source: RandomSource,
) -> npt.NDArray[np.float32]:
    """Release a sum of clipped contributions as float32: ``gaussian_on_grid``, then rounded.

    Arguments and errors are those of ``gaussian_on_grid``; what it returns may be rounded to
    float32 at no cost, since that is post-processing too.
    """
    return gaussian_on_grid(
        total, clipping_norm=clipping_norm, noise_multiplier=noise_multiplier, source=source
    ).astype(np.float32)


def gaussian_on_grid(
    total: npt.NDArray[np.floating],
    *,
    clipping_norm: float,
    noise_multiplier: float,
    source: RandomSource,
) -> FloatArray:
    """The Gaussian mechanism on a sum of clipped contributions, on a grid.

    Guarantees:
        A Gaussian number in floating point is not Gaussian in its low bits: which floats can occur
        depends on the value that was noised, and tells it (Mironov 2012, "On Significance of the
        Least Significant Bits for Differential Privacy"; Jin et al. 2022, "Are We There Yet?").
        So the sum is rounded to multiples of a power of two, and the noise is a whole number of
        them: exact integer arithmetic, and which multiples can occur tells nothing.

        Two neighbouring sums differ by at most D = C / step + sqrt(d) in grid steps. The discrete
        Gaussian of variance (z D)^2 + s^2 is a post-processing of the continuous one of variance
        (z D)^2, up to the factor that point 3 of `discrete.NoiseShare` states and proves. So the
        privacy loss is that of a Gaussian mechanism with noise multiplier z, as the ledger says.

        Outside the theorem: the sampler's finite words (see `add_discrete_gaussian`), and the last
        bits of the floating-point sum that the caller hands in, which is taken to be exact.

    Args:
        total: float [parameters], the sum of vectors of L2 norm at most C.
        clipping_norm: C.
        noise_multiplier: z, the noise's standard deviation over C; 0 adds none (and is accounted
            as an infinite epsilon).
        source: the noise.

    Returns:
        float64 [parameters], multiples of ``grid_step(clipping_norm)``.

    Raises:
        ValueError: a total that is not finite, not flat or beyond 2**52 grid steps (no sum of
            clipped contributions of a school is so large), a clipping norm that is not positive
            and finite, or a noise multiplier that is negative or not finite.
    """
    require_clipping_norm(clipping_norm)
    require_noise_multiplier(noise_multiplier)
    if total.ndim != 1:
        raise ValueError(f"a sum of contributions is flat, not of shape {total.shape}")
    if not np.isfinite(total).all():
        raise ValueError("a sum of clipped contributions is finite; this one is not")
    step = grid_step(clipping_norm)
    multiples = np.rint(total.astype(np.float64) / step)
    require_within_bounds(multiples)
    if noise_multiplier > 0:
        stddev = _noise_steps(clipping_norm, noise_multiplier, len(total))
        noised = multiples.astype(np.int64)
        add_discrete_gaussian(noised, stddev, source)
        multiples = noised.astype(np.float64)
    multiples *= step
    multiples += 0.0  # a zero has one sign: -0 would tell on which side the sum was
    return multiples


def require_within_bounds(multiples: npt.NDArray[np.float64]) -> None:
    """A sum in grid steps is one that whole numbers can hold exactly.

    Raises:
        ValueError: it is not finite, or beyond 2**52 steps.
    """
    if len(multiples) and not np.abs(multiples).max() <= _LARGEST_MULTIPLE:
        raise ValueError("a sum of clipped contributions does not reach so far")


def require_clipping_norm(clipping_norm: float) -> None:
    """A clipping norm is positive and finite, and far from the ends of what a float can be.

    Raises:
        ValueError: otherwise.
    """
    if not _LEAST_NORM <= clipping_norm <= _MOST_NORM:
        raise ValueError(
            f"a clipping norm is positive and finite, {_LEAST_NORM:.0e} to {_MOST_NORM:.0e}, not "
            f"{clipping_norm}"
        )


def require_noise_multiplier(noise_multiplier: float) -> None:
    """A noise multiplier is finite and not negative.

    Raises:
        ValueError: otherwise.
    """
    if not 0 <= noise_multiplier < math.inf:
        raise ValueError(f"a noise multiplier is finite and at least 0, not {noise_multiplier}")
