"""What a benchmark reports; ``make bench`` prints these and writes them as JSON."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """One measured number.

    Attributes:
        name: what was measured.
        value: the median, in ``unit``.
        unit: of ``value`` and ``spread``.
        spread: distance between the quartiles of the repetitions.
        baseline: name of the measurement that ``ratio`` compares with, if any.
        ratio: the baseline's value over this one where smaller is better, so that more is faster.
    """

    name: str
    value: float
    unit: str
    spread: float
    baseline: str | None = None
    ratio: float | None = None


def interleaved_seconds(
    contestants: Mapping[str, Callable[[], object]], *, repetitions: int
) -> dict[str, list[float]]:
    """Time each contestant in turn, over and over, so that a busy moment hits them all alike.

    Each runs once unmeasured before.
    """
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for run in contestants.values():
        run()
    for _ in range(repetitions):
        for name, run in contestants.items():
            start = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - start)
    return seconds


def spread(values: list[float]) -> float:
    """Distance between the first and the third quartile."""
    first, _, third = statistics.quantiles(values, n=4)
    return third - first
