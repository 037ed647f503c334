"""One real server and 10, 50 and 200 schools with a model of a million parameters.

The server is `fedtrace consortium serve` with all its processes; the schools are real nodes over
TLS that answer as a script says (`support.fleet_schools`). ``LOAD_SCHOOLS="10 50"`` chooses other
numbers, ``LOAD_ROUNDS`` how many rounds, ``LOAD_PARAMETERS`` how many parameters the model has.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from statistics import median

from support.commands import fedtrace, service, until
from support.fleet_schools import Answer, FleetSchool, honest
from support.measurement import Measurement, spread
from support.memory import PeakMemory
from support.scripted_schools import World, build_world

from fedtrace.deploy.network.hosting import admit
from fedtrace.deploy.network.ports import free_ports
from fedtrace.deploy.network.provisioning import provision_node

PARAMETERS = int(os.environ.get("LOAD_PARAMETERS", "1000000"))
ROUNDS = int(os.environ.get("LOAD_ROUNDS", "3"))
DEADLINE_SECONDS = 900
NAMES = ("superlink", "serverapp", "superexec", "front", "serve")


class _Clock:
    def now(self) -> datetime:
        return datetime.now(UTC)


def run() -> list[Measurement]:
    """Measure each number of schools once: a round is the repetition."""
    numbers = [int(each) for each in os.environ.get("LOAD_SCHOOLS", "10 50 200").split()]
    return [each for number in numbers for each in _measure(number)]


def _measure(schools: int) -> list[Measurement]:
    with tempfile.TemporaryDirectory() as folder, ExitStack() as running:
        home = Path(folder) / "consortium"
        world = build_world(
            home,
            schools=schools,
            rounds=ROUNDS,
            minimum=schools // 2,
            parameters=PARAMETERS,
            deadline_seconds=DEADLINE_SECONDS,
            noise_multiplier=12.0,
        )
        server, join = _serve(world, running)
        members = [join(name, honest(world)) for name in world.keys]
        for member in members:
            member.start()
            running.callback(member.join)
        for member in members:
            running.callback(member.stop)
            if not member.connected.wait(120):
                raise RuntimeError(f"{member.name} was not connected within 120 seconds")
        memory = running.enter_context(PeakMemory(server.pid, _name))
        fedtrace("consortium", "start", "pilot", "--home", home)
        progress = home / "progress.jsonl"
        until(lambda: _is_over(progress), seconds=DEADLINE_SECONDS * ROUNDS)
        seconds = _round_seconds(progress)
    mib = {name: memory.peaks.get(name, 0.0) for name in NAMES}
    return [
        _once(f"load.{schools}_schools.server_memory", memory.whole, "MiB"),
        *(
            _once(f"load.{schools}_schools.{name}_memory", value, "MiB")
            for name, value in mib.items()
        ),
        Measurement(
            name=f"load.{schools}_schools.round",
            value=median(seconds),
            unit="s",
            spread=spread(seconds) if len(seconds) > 1 else 0.0,
        ),
    ]


Join = Callable[[str, Answer], FleetSchool]
"""(school, what it says) -> the school, admitted and not yet connected."""


def _serve(world: World, running: ExitStack) -> tuple[subprocess.Popen[str], Join]:
    """The server with all schools admitted, and how one of them connects."""
    world.clock = _Clock()  # type: ignore[assignment]
    home = world.home
    (port,) = free_ports(1)
    fedtrace("consortium", "init", "--home", home, "--name", "valley",
             "--host", "localhost", "--port", port, "--listen", "127.0.0.1")  # fmt: skip
    nodes = {name: provision_node(home.parent / "nodes" / name) for name in world.keys}
    for name, node in nodes.items():
        admit(home, name, node.public_key.read_bytes())
    authority = (home / "network" / "ca.pem").read_bytes()
    server = running.enter_context(
        service("consortium", "serve", "--home", home, ready="authority")
    )

    def join(name: str, answer: Answer) -> FleetSchool:
        return FleetSchool(name, f"localhost:{port}", authority, nodes[name].private_key, answer)

    return server, join


def _name(command: list[str]) -> str:
    """What a process of the server is, from its command line."""
    words = " ".join(command)
    return next((name for name in NAMES if name in words), "other")


def _steps(progress: Path) -> list[dict[str, str]]:
    if not progress.exists():
        return []
    return [json.loads(line) for line in progress.read_text().splitlines()]


def _is_over(progress: Path) -> bool:
    return any(step["kind"] == "run.closed" for step in _steps(progress))


def _round_seconds(progress: Path) -> list[float]:
    """From a training round's opening to its close."""
    steps = [step for step in _steps(progress) if step["kind"] in ("round.opened", "round.closed")]
    return [
        (datetime.fromisoformat(end["at"]) - datetime.fromisoformat(start["at"])).total_seconds()
        for start, end in pairwise(steps)
        if (start["kind"], end["kind"]) == ("round.opened", "round.closed")
    ]


def _once(name: str, value: float, unit: str) -> Measurement:
    return Measurement(name=name, value=value, unit=unit, spread=0.0)
