"""One real server and 10, 50 and 200 schools with a model of a million parameters.

The server is `fedtrace consortium serve` with all its processes; the schools are real nodes over
TLS that answer as a script says (`support.fleet_schools`). ``LOAD_SCHOOLS="10 50"`` chooses other
numbers, ``LOAD_ROUNDS`` how many rounds, ``LOAD_PARAMETERS`` how many parameters the model has.
"""

from __future__ import annotations

import os
import tempfile
from contextlib import ExitStack
from pathlib import Path
from statistics import median

from support.commands import fedtrace, until
from support.fleet_schools import honest
from support.loaded_server import PROCESSES, LoadedServer, process_name
from support.measurement import Measurement, spread
from support.memory import PeakMemory
from support.scripted_schools import build_world

PARAMETERS = int(os.environ.get("LOAD_PARAMETERS", "1000000"))
ROUNDS = int(os.environ.get("LOAD_ROUNDS", "3"))
DEADLINE_SECONDS = 900


def run() -> list[Measurement]:
    """Measure each number of schools once: a round is the repetition."""
    numbers = [int(each) for each in os.environ.get("LOAD_SCHOOLS", "10 50 200").split()]
    return [each for number in numbers for each in _measure(number)]


def _measure(schools: int) -> list[Measurement]:
    with tempfile.TemporaryDirectory() as folder, ExitStack() as running:
        world = build_world(
            Path(folder) / "consortium",
            schools=schools,
            rounds=ROUNDS,
            minimum=schools // 2,
            parameters=PARAMETERS,
            deadline_seconds=DEADLINE_SECONDS,
            noise_multiplier=12.0,
        )
        server = LoadedServer(world, running)
        members = [server.school(name, honest(world)) for name in world.keys]
        for member in members:
            member.start()
            running.callback(member.join)
        for member in members:
            running.callback(member.stop)
            if not member.connected.wait(120):
                raise RuntimeError(f"{member.name} was not connected within 120 seconds")
        memory = running.enter_context(PeakMemory(server.pid, process_name))
        fedtrace("consortium", "start", "pilot", "--home", world.home)
        until(server.is_over, seconds=DEADLINE_SECONDS * ROUNDS)
        seconds = server.round_seconds()
    return [
        _once(f"load.{schools}_schools.server_memory", memory.whole, "MiB"),
        *(
            _once(f"load.{schools}_schools.{name}_memory", memory.peaks.get(name, 0.0), "MiB")
            for name in PROCESSES
        ),
        Measurement(
            name=f"load.{schools}_schools.round",
            value=median(seconds),
            unit="s",
            spread=spread(seconds) if len(seconds) > 1 else 0.0,
        ),
    ]


def _once(name: str, value: float, unit: str) -> Measurement:
    return Measurement(name=name, value=value, unit=unit, spread=0.0)
