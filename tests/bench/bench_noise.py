"""What the noise of a million parameters costs a school: on one thread, compiled and in NumPy."""

from __future__ import annotations

from collections.abc import Callable
from statistics import median
from unittest import mock

import numpy as np
from support.measurement import Measurement, interleaved_seconds, spread

from fedtrace.privacy import discrete_gaussian as sampler
from fedtrace.privacy.noise import gaussian_on_grid
from fedtrace.privacy.randomness import OsRandom

PARAMETERS = 1_000_000
STDDEV = 1e5
REPETITIONS = 15


def run() -> list[Measurement]:
    """The integer noise both ways, the random bytes in it, and a whole release with rounding."""
    source = OsRandom()
    total, numbers = np.zeros(PARAMETERS), np.zeros(PARAMETERS, dtype=np.int64)

    def noise() -> None:
        sampler.add_discrete_gaussian(numbers, STDDEV, source)

    def release() -> None:
        gaussian_on_grid(total, clipping_norm=0.1, noise_multiplier=1.0, source=source)

    in_numpy = "integer noise, NumPy"
    seconds = interleaved_seconds(
        {
            "integer noise, compiled": noise,
            in_numpy: _without_library(noise),
            "its random bytes": lambda: [None for _ in source.blocks(PARAMETERS)],
            "release in trust mode local, compiled": release,
            "release in trust mode local, NumPy": _without_library(release),
        },
        repetitions=REPETITIONS,
    )
    return [
        Measurement(
            name=f"noise/{name}, a million parameters",
            value=median(taken),
            unit="s",
            spread=spread(taken),
            baseline=in_numpy,
            ratio=median(seconds[in_numpy]) / median(taken),
        )
        for name, taken in seconds.items()
    ]


def _without_library(work: Callable[[], None]) -> Callable[[], None]:
    def without() -> None:
        with mock.patch.object(sampler, "kernel_available", return_value=False):
            work()

    return without
