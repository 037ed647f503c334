"""Shamir's secret sharing (Shamir 1979, "How to Share a Secret") of 256-bit seeds.

Polynomials over the integers modulo the smallest prime above 2**256. Python's integers do a
256-bit multiplication in a fraction of a microsecond, which is why this is no wrapper around a
library that shares sixteen bytes at a time in pure Python.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache

PRIME = 2**256 + 297
"""The smallest prime above 2**256: every seed is a number below it."""

SEED_BYTES = 32
SHARE_BYTES = 33


def split(
    secret: bytes, *, threshold: int, points: Sequence[int], randomness: bytes
) -> dict[int, bytes]:
    """Shares of a secret: any ``threshold`` of them give it back, fewer say nothing about it.

    Args:
        secret: 32 bytes.
        threshold: how many shares are needed, at least 1.
        points: where shares are wanted, distinct and from 1.
        randomness: 64 uniform, secret bytes for every coefficient, so 64 * (threshold - 1);
            reduced modulo the prime they are uniform to 2**-255.

    Returns:
        point -> 33 bytes.

    Raises:
        ValueError: sizes that do not fit.
    """
    if len(secret) != SEED_BYTES:
        raise ValueError(f"a secret has {SEED_BYTES} bytes, not {len(secret)}")
    if threshold < 1 or len(randomness) != 64 * (threshold - 1):
        raise ValueError(f"{threshold} shares to be needed do not fit {len(randomness)} bytes")
    if min(points) < 1 or len(set(points)) != len(points):
        raise ValueError("points are distinct numbers from 1")
    coefficients = [
        int.from_bytes(randomness[first : first + 64]) % PRIME
        for first in range(0, len(randomness), 64)
    ]
    constant = int.from_bytes(secret)
    shares = {}
    for point in points:
        value = 0
        for coefficient in coefficients:  # points are small: one reduction at the end is cheaper
            value = (value + coefficient) * point
        shares[point] = ((value + constant) % PRIME).to_bytes(SHARE_BYTES)
    return shares


def combine(shares: Mapping[int, bytes]) -> bytes | None:
    """The secret of exactly as many shares as its threshold; None where they fit no 32 bytes.

    Shares of different secrets give a wrong secret, which only the caller can notice.

    Raises:
        ValueError: no share at all, or one that is none.
    """
    if not shares:
        raise ValueError("no share")
    for share in shares.values():
        if len(share) != SHARE_BYTES:
            raise ValueError(f"a share has {SHARE_BYTES} bytes, not {len(share)}")
    weights = _weights(tuple(shares))
    numbers = map(int.from_bytes, shares.values())
    secret = sum(number * weight for number, weight in zip(numbers, weights, strict=True)) % PRIME
    return secret.to_bytes(SEED_BYTES) if secret < 2**256 else None


@lru_cache(maxsize=1024)
def _weights(points: tuple[int, ...]) -> tuple[int, ...]:
    """What each share is multiplied with: Lagrange's polynomials at 0."""
    weights = []
    for point in points:
        above, below = 1, 1
        for other in points:
            if other != point:
                above = above * other % PRIME
                below = below * (other - point) % PRIME
        weights.append(above * pow(below, -1, PRIME) % PRIME)
    return tuple(weights)
