"""Seconds a round over the real network with work that is next to nothing, and to start it."""

from __future__ import annotations

import json
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

from support.homes import make_homes
from support.measurement import Measurement, spread

from fedtrace.deploy.network.federation import Federation, FederationSettings

SCHOOLS = 3
ROUNDS = 6
STOCK_FLOWER_SECONDS = 44.8  # observed once: torch and Opacus imported anew for every message


def run() -> list[Measurement]:
    """Three schools, six rounds and an evaluation, over TLS on loopback."""
    with tempfile.TemporaryDirectory() as directory:
        homes = make_homes(
            Path(directory) / "homes", now=datetime.now(UTC), rounds=(ROUNDS,), schools=SCHOOLS
        )
        settings = FederationSettings(
            directory=Path(directory) / "network",
            consortium_home=homes.consortium,
            school_homes=homes.schools,
        )
        started = time.monotonic()
        with Federation(settings, now=datetime.now(UTC)) as federation:
            up_seconds = time.monotonic() - started
            run_started = time.time()
            federation.wait(federation.start_run(homes.plans[0]), seconds=300)
            run_seconds = time.time() - run_started
            stopping = time.monotonic()
        stop_seconds = time.monotonic() - stopping
        steps = [
            json.loads(line)
            for line in (homes.consortium / "progress.jsonl").read_text().splitlines()
        ]
    opened = _moments(steps, "round.opened")
    ended = [*_moments(steps, "round.closed"), *_moments(steps, "evaluation.closed")]
    rounds = [end - start for start, end in zip(opened, ended, strict=True)]
    return [
        Measurement(
            name="network.stock_flower_round", value=STOCK_FLOWER_SECONDS, unit="s", spread=0.0
        ),
        Measurement(
            name="network.round",
            value=median(rounds),
            unit="s",
            spread=spread(rounds),
            baseline="network.stock_flower_round",
            ratio=STOCK_FLOWER_SECONDS / median(rounds),
        ),
        _once("network.round_longest", max(rounds)),
        _once("network.start", up_seconds),
        _once("network.serverapp_start", opened[0] - run_started),
        _once("network.run", run_seconds),
        _once("network.stop", stop_seconds),
    ]


def _moments(steps: list[dict[str, str]], kind: str) -> list[float]:
    return [
        datetime.fromisoformat(step["at"]).timestamp() for step in steps if step["kind"] == kind
    ]


def _once(name: str, value: float) -> Measurement:
    return Measurement(name=name, value=value, unit="s", spread=0.0)
