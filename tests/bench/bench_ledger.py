"""What it costs to say what is left of a budget after years of jobs."""

from __future__ import annotations

import time
from statistics import median

from support.measurement import Measurement, spread

from fedtrace.privacy.accounting import GaussianEvent, epsilon

ROUNDS = 1_000
REPETITIONS = 5
GOAL_SECONDS = 5.0


def run() -> list[Measurement]:
    """Epsilon of a thousand rounds of ten different jobs with their evaluations."""
    events = [
        event
        for job in range(10)
        for event in (
            GaussianEvent(noise_multiplier=8.0 + job, sampling_rate=1.0, count=ROUNDS // 20),
            GaussianEvent(noise_multiplier=2.0 + job / 10, sampling_rate=0.3, count=ROUNDS // 20),
            GaussianEvent(noise_multiplier=5.0 + job, sampling_rate=1.0, count=1),
        )
    ]
    seconds = []
    for repetition in range(REPETITIONS):
        delta = 1e-5 * (1 + repetition / 100)  # nothing that was computed before helps
        start = time.perf_counter()
        epsilon(events, delta)
        seconds.append(time.perf_counter() - start)
    return [
        Measurement(
            name=f"ledger/epsilon of {ROUNDS} rounds in ten jobs, thirty kinds of event",
            value=median(seconds),
            unit="s",
            spread=spread(seconds),
            baseline=f"goal of {GOAL_SECONDS:g} s",
            ratio=GOAL_SECONDS / median(seconds),
        )
    ]
