"""Secret randomness: coins that decide who takes part, and the words that noise is made of.

Every number comes from an AES-256-CTR keystream under a key that the operating system's generator
made for one request and that is forgotten after it. There is no state between requests: a forked
process cannot repeat its parent's noise, and from the generator a later break-in cannot recompute
noise that was already used. Memory that was freed may hold it until it is used again.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from typing import Protocol

import numpy as np
import numpy.typing as npt
from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.ciphers.modes import CTR

FloatArray = npt.NDArray[np.float64]
CoinArray = npt.NDArray[np.bool_]

_KEY_BYTES = 32
_BLOCK = 2**15  # words that stay in a core's own cache, beside what is made of them
_WORD_BYTES = 8
_SPARE_WORDS = 2  # ``update_into`` wants room for one more block of the cipher
_ZEROS = bytes(2**16)  # encrypted piece by piece: a new page for every piece would cost more
_ZERO_COUNTER = bytes(16)  # each key encrypts one stream, so no counter is ever used twice


class RandomSource(Protocol):
    """Where coins and the bits of noise come from: ``OsRandom``, or ``SeededRandom`` in tests."""

    def bytes(self, count: int) -> bytes:
        """``count`` uniform bytes."""

    def words(self, count: int) -> npt.NDArray[np.uint64]:
        """uint64 [count], uniform."""

    def blocks(self, count: int) -> Iterator[npt.NDArray[np.uint64]]:
        """The same numbers as ``words(count)`` piece by piece; each overwrites the one before."""

    def uniform(self, count: int) -> FloatArray:
        """float64 [count], multiples of 2**-53 uniform in [0, 1)."""


class _Keystream:
    """A random source over fresh AES-256 keys; subclasses say where a key comes from."""

    def _fresh_key(self) -> bytes:
        raise NotImplementedError

    def bytes(self, count: int) -> bytes:
        """``count`` uniform bytes."""
        return self.words(-(-count // _WORD_BYTES)).tobytes()[:count]

    def words(self, count: int) -> npt.NDArray[np.uint64]:
        """uint64 [count], uniform: the keystream, read as little-endian words."""
        words = np.empty(count + _SPARE_WORDS, dtype="<u8")
        self._write(self._stream(), words, count)
        return words[:count]

    def blocks(self, count: int) -> Iterator[npt.NDArray[np.uint64]]:
        """The same numbers as ``words(count)`` piece by piece; each overwrites the one before."""
        stream = self._stream()
        piece = np.empty(min(count, _BLOCK) + _SPARE_WORDS, dtype="<u8")
        for first in range(0, count, _BLOCK):
            length = min(count - first, _BLOCK)
            self._write(stream, piece, length)
            yield piece[:length]

    def _stream(self) -> CipherContext:
        return Cipher(AES256(self._fresh_key()), CTR(_ZERO_COUNTER)).encryptor()

    @staticmethod
    def _write(stream: CipherContext, words: npt.NDArray[np.uint64], count: int) -> None:
        room = words.data.cast("B")
        for first in range(0, _WORD_BYTES * count, len(_ZEROS)):
            rest = _WORD_BYTES * count - first
            stream.update_into(_ZEROS[:rest], room[first:])

    def uniform(self, count: int) -> FloatArray:
        """float64 [count], multiples of 2**-53 uniform in [0, 1)."""
        return (self.words(count) >> np.uint64(11)).astype(np.float64) * 2.0**-53


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
