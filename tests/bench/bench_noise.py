"""What the integer noise of a million parameters costs a school, beside the search it replaced."""

from __future__ import annotations

import math
from statistics import median

import numpy as np
from support.measurement import Measurement, interleaved_seconds, spread

from fedtrace.privacy.discrete import _cumulative, discrete_gaussian
from fedtrace.privacy.noise import OsRandom

PARAMETERS = 1_000_000
STDDEV = 1e5
REPETITIONS = 9


def run() -> list[Measurement]:
    """The noise, the same noise by two searches a number, and the random bytes of both."""
    source = OsRandom()
    by_search = "by two searches in the table"
    seconds = interleaved_seconds(
        {
            "integer noise": lambda: discrete_gaussian(STDDEV, PARAMETERS, source),
            by_search: lambda: _searched(source),
            "its random bytes": lambda: source.words(2 * PARAMETERS),
        },
        repetitions=REPETITIONS,
    )
    return [
        Measurement(
            name=f"noise/{name}, a million parameters",
            value=median(taken),
            unit="s",
            spread=spread(taken),
            baseline=by_search,
            ratio=median(seconds[by_search]) / median(taken),
        )
        for name, taken in seconds.items()
    ]


def _searched(source: OsRandom) -> np.ndarray:
    radix = math.isqrt(int(STDDEV / 2))
    table = _TABLE
    words = source.words(2 * PARAMETERS)
    drawn = np.searchsorted(table, words, side="right") - len(table) // 2
    combined: np.ndarray = drawn[:PARAMETERS] + radix * drawn[PARAMETERS:]
    return combined


_TABLE = _cumulative(STDDEV / math.sqrt(1 + math.isqrt(int(STDDEV / 2)) ** 2))
