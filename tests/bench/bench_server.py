"""How much the aggregator itself costs: 100 schools, 10 rounds and an evaluation, no training.

The schools' answers are signed for real, the store and the log are durable. What the scripted
schools take (parsing, signing) is measured apart.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from datetime import datetime
from pathlib import Path

from support.measurement import Measurement, spread
from support.scripted_schools import World, build_world, honest_reply

from fedtrace.server.ports import Reply, Request
from fedtrace.server.round import run_job

SCHOOLS, ROUNDS, PARAMETERS, REPETITIONS = 100, 10, 300, 5


class _TimedTransport:
    """Answers at once and notes how long the schools' side took."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.schools_seconds = 0.0

    def connected(self) -> frozenset[str]:
        return frozenset(self._world.keys)

    def ask(
        self, requests: Mapping[str, Request], *, deadline: datetime
    ) -> Iterator[tuple[str, Reply | None]]:
        start = time.perf_counter()
        replies = [(name, honest_reply(self._world, name, each)) for name, each in requests.items()]
        self.schools_seconds += time.perf_counter() - start
        yield from replies


def _one_job() -> tuple[float, float]:
    """Seconds of a whole job, and of the schools' part in it."""
    with tempfile.TemporaryDirectory() as folder:
        world = build_world(
            Path(folder) / "home",
            schools=SCHOOLS,
            rounds=ROUNDS,
            minimum=SCHOOLS // 2,
            parameters=PARAMETERS,
        )
        transport = _TimedTransport(world)
        with closing(world.open()) as consortium:
            start = time.perf_counter()
            run_job(
                consortium, world.plan_digest, transport, world.clock, progress=lambda event: None
            )
            return time.perf_counter() - start, transport.schools_seconds


def run() -> list[Measurement]:
    """Measure."""
    _one_job()
    jobs = [_one_job() for _ in range(REPETITIONS)]
    whole = [total for total, _ in jobs]
    schools = [part for _, part in jobs]
    return [
        Measurement(
            name="server.job_100_schools_10_rounds",
            value=statistics.median(whole),
            unit="s",
            spread=spread(whole),
        ),
        Measurement(
            name="server.job_100_schools_10_rounds.schools_part",
            value=statistics.median(schools),
            unit="s",
            spread=spread(schools),
        ),
    ]
