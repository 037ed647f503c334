"""Secret randomness: coins that decide who takes part, and Gaussian noise that hides them.

Every number comes from an AES-256-CTR keystream under a key that the operating system's generator
made for one request and that is forgotten after it. There is no state: a forked process cannot
repeat its parent's noise, and a later break-in cannot recompute noise that was already used.
"""

from __future__ import annotations

import hashlib
import math
import os
from typing import Protocol

import numpy as np
import numpy.typing as npt
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.ciphers.modes import CTR

FloatArray = npt.NDArray[np.float64]
CoinArray = npt.NDArray[np.bool_]

GRID_BITS = 24
"""The noised sum lives on a grid of at most C * 2**-24: finer than float32 can tell near C."""

_KEY_BYTES = 32
_AT_ONCE = 2**13  # pairs whose intermediate results stay in a core's own cache
_WORD_BYTES = 8
_SPARE_WORDS = 2  # ``update_into`` wants room for one more block of the cipher
_ZEROS = bytes(2**16)  # encrypted piece by piece: a new page for every piece would cost more
_ZERO_COUNTER = bytes(16)  # each key encrypts one stream, so no counter is ever used twice


class RandomSource(Protocol):
    """Where coins and noise come from: ``OsRandom``, or ``SeededRandom`` in tests."""

    def bytes(self, count: int) -> bytes:
        """``count`` uniform bytes."""

    def words(self, count: int) -> npt.NDArray[np.uint64]:
        """uint64 [count], uniform."""

    def uniform(self, count: int) -> FloatArray:
        """float64 [count], multiples of 2**-53 uniform in [0, 1)."""

    def normal(self, count: int) -> FloatArray:
        """float64 [count], independent standard Gaussian numbers."""


class _Keystream:
    """A random source over fresh AES-256 keys; subclasses say where a key comes from."""

    def _fresh_key(self) -> bytes:
        raise NotImplementedError

    def bytes(self, count: int) -> bytes:
        """``count`` uniform bytes."""
        return self.words(-(-count // _WORD_BYTES)).tobytes()[:count]

    def words(self, count: int) -> npt.NDArray[np.uint64]:
        """uint64 [count], uniform: the keystream, read as little-endian words."""
        stream = Cipher(AES256(self._fresh_key()), CTR(_ZERO_COUNTER)).encryptor()
        words = np.empty(count + _SPARE_WORDS, dtype="<u8")
        room = words.data.cast("B")
        for first in range(0, _WORD_BYTES * count, len(_ZEROS)):
            rest = _WORD_BYTES * count - first
            stream.update_into(_ZEROS[:rest], room[first:])
        return words[:count]

    def uniform(self, count: int) -> FloatArray:
        """float64 [count], multiples of 2**-53 uniform in [0, 1)."""
        return (self.words(count) >> np.uint64(11)).astype(np.float64) * 2.0**-53

    def normal(self, count: int) -> FloatArray:
        """float64 [count], independent standard Gaussian numbers.

        Box and Muller 1958 ("A Note on the Generation of Random Normal Deviates"), two words for
        two numbers and no rejection, so that the time taken says nothing about the values. The
        radius keeps all 64 bits of its word: the tail ends at 9.5 standard deviations, beyond
        which a Gaussian falls with probability 3e-21.
        """
        words = self.words(count + count % 2).reshape(2, -1)
        pairs = np.empty(words.shape)
        for first in range(0, words.shape[1], _AT_ONCE):
            block = slice(first, first + _AT_ONCE)
            # (word + 1/2) / 2**64 is in (0, 1]: the logarithm is finite and never positive.
            radius = np.sqrt(-2.0 * np.log((words[0, block].astype(np.float64) + 0.5) * 2.0**-64))
            angle = (2.0 * math.pi * 2.0**-53) * (words[1, block] >> np.uint64(11))
            np.multiply(radius, np.cos(angle), out=pairs[0, block])
            np.multiply(radius, np.sin(angle), out=pairs[1, block])
        return pairs.reshape(-1)[:count]


class OsRandom(_Keystream):
    """The operating system's generator, stretched: a fresh key from it for every request."""

    def _fresh_key(self) -> bytes:
        return os.urandom(_KEY_BYTES)

    def __repr__(self) -> str:
        return "OsRandom()"


class SeededRandom(_Keystream):
    """The same streams from a seed, for tests: whoever knows the seed can subtract the noise.

    Args:
        seed: any integer; equal seeds give equal sequences of requests.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._requests = 0

    def _fresh_key(self) -> bytes:
        self._requests += 1
        return hashlib.sha256(f"{self._seed}/{self._requests}".encode()).digest()

    def __repr__(self) -> str:
        return f"SeededRandom({self._seed})"


def poisson_sample(students: int, rate: float, source: RandomSource) -> CoinArray:
    """Flip one secret coin a student; the result itself must never leave the school.

    Amplification by sampling holds only while nobody learns who takes part, so the number of
    heads is as secret as the heads (Abadi et al. 2016, "Deep Learning with Differential Privacy",
    section 3.1, with independent coins as its analysis assumes).

    Args:
        students: how many coins.
        rate: probability q of heads, from 0 to 1; exact to 2**-53.
        source: the coins.

    Returns:
        bool [students]; an empty sample is a normal outcome.

    Raises:
        ValueError: a rate outside [0, 1] or a negative number of students.
    """
    if not 0 <= rate <= 1:
        raise ValueError(f"a sampling rate lies in [0, 1], not {rate}")
    if students < 0:
        raise ValueError(f"the number of students is at least 0, not {students}")
    return source.uniform(students) < rate


def grid_step(norm: float) -> float:
    """The power of two on whose multiples a sum of sensitivity ``norm`` is released."""
    return math.ldexp(1.0, math.frexp(norm)[1] - 1 - GRID_BITS)


def grid_noise_stddev(*, clipping_norm: float, noise_multiplier: float, parameters: int) -> float:
    """Standard deviation that the noise really has: z times the sensitivity *on the grid*.

    Rounding moves each of d entries of either of two neighbouring sums by at most step / 2, so the
    rounded sums differ by at most C + step * sqrt(d) in L2 norm. With a million parameters that
    is C * (1 + 6e-5) at the worst.
    """
    rounded_norm = clipping_norm + grid_step(clipping_norm) * math.sqrt(parameters)
    return noise_multiplier * rounded_norm


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
        So the sum is first rounded to multiples of a power of two, the noise is rounded to the
        same multiples, and both are added exactly: the multiples that can occur are the same for
        every sum. The theorem that covers it is closure under post-processing (Dwork and Roth
        2014, proposition 2.1): for a multiple k and real x, k + round(x) = round(k + x), so what is
        released is a rounding of the Gaussian mechanism's output on a query of sensitivity
        C + step * sqrt(d), which ``grid_noise_stddev`` uses. Its privacy loss is that of noise
        multiplier z, as the ledger says.

        Outside the theorem: the sampler's finite words (see ``RandomSource.normal``), and the last
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
        ValueError: a total that is not finite or not flat, a clipping norm that is not positive
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
    if noise_multiplier > 0:
        stddev = grid_noise_stddev(
            clipping_norm=clipping_norm, noise_multiplier=noise_multiplier, parameters=len(total)
        )
        noise = source.normal(len(total))
        noise *= stddev / step
        multiples += np.rint(noise, out=noise)
    multiples *= step
    multiples += 0.0  # a zero has one sign: -0 would tell on which side the sum was
    return multiples


def require_clipping_norm(clipping_norm: float) -> None:
    """A clipping norm is positive and finite.

    Raises:
        ValueError: otherwise.
    """
    if not 0 < clipping_norm < math.inf:
        raise ValueError(f"a clipping norm is positive and finite, not {clipping_norm}")


def require_noise_multiplier(noise_multiplier: float) -> None:
    """A noise multiplier is finite and not negative.

    Raises:
        ValueError: otherwise.
    """
    if not 0 <= noise_multiplier < math.inf:
        raise ValueError(f"a noise multiplier is finite and at least 0, not {noise_multiplier}")
