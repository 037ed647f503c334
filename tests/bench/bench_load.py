"""One real server and many schools: 10, 50 and 200 of them, and a day of schools as they are.

The server is `fedtrace consortium serve` with all its processes; the schools are real nodes over
TLS that answer as a script says (`support.fleet_schools`). ``LOAD_SCHOOLS="10 50"`` chooses other
numbers, ``LOAD_SCHOOLS=day`` the day alone, ``LOAD_ROUNDS`` how many rounds, and
``LOAD_PARAMETERS`` how many parameters the model has.

All schools have a model of a million parameters. On the day there are 24 of them with a small one,
and an hour takes ten seconds: each is there for ten hours, from its own hour on, and gone for the
rest. Two of them fetch every order and never answer, two take nine tenths of the deadline.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from statistics import median
from threading import Event, Thread

from support.commands import fedtrace, service, until
from support.fleet_schools import Answer, FleetSchool, hanging, honest, slow
from support.measurement import Measurement, spread
from support.memory import PeakMemory
from support.scripted_schools import World, build_world

from fedtrace.deploy.network.hosting import admit
from fedtrace.deploy.network.ports import free_ports
from fedtrace.deploy.network.provisioning import provision_node

PARAMETERS = int(os.environ.get("LOAD_PARAMETERS", "1000000"))
ROUNDS = int(os.environ.get("LOAD_ROUNDS", "3"))
DEADLINE_SECONDS = 900
DAY_ROUNDS, DAY_DEADLINE_SECONDS, HOUR_SECONDS = 20, 12, 10.0
NAMES = ("superlink", "serverapp", "superexec", "front", "serve")


class _Clock:
    def now(self) -> datetime:
        return datetime.now(UTC)


def run() -> list[Measurement]:
    """Measure each number of schools once: a round is the repetition."""
    found: list[Measurement] = []
    for each in os.environ.get("LOAD_SCHOOLS", "10 50 200 day").split():
        found += _day() if each == "day" else _measure(int(each))
    return found


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


def _day() -> list[Measurement]:
    """Rounds while schools come and go, hang and dawdle."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as running:
        world = build_world(
            Path(folder) / "consortium",
            schools=24,
            rounds=DAY_ROUNDS,
            minimum=4,
            deadline_seconds=DAY_DEADLINE_SECONDS,
            noise_multiplier=12.0,
        )
        _server, join = _serve(world, running)
        answers = dict.fromkeys(world.keys, honest(world))
        answers |= dict.fromkeys(list(world.keys)[5::12], hanging(honest(world)))
        answers |= dict.fromkeys(
            list(world.keys)[9::12], slow(honest(world), 0.9 * DAY_DEADLINE_SECONDS)
        )
        over = Event()
        start = time.monotonic()
        days = [
            Thread(target=_live, args=(join, name, answer, start + hour * HOUR_SECONDS, over))
            for hour, (name, answer) in enumerate(answers.items())
        ]
        for day in days:
            day.start()
            running.callback(day.join)
        running.callback(over.set)
        time.sleep(12 * HOUR_SECONDS)  # now there are ten
        fedtrace("consortium", "start", "pilot", "--home", world.home)
        progress = world.home / "progress.jsonl"
        until(lambda: _is_over(progress), seconds=4 * DAY_ROUNDS * DAY_DEADLINE_SECONDS)
        steps = _steps(progress)
        seconds = _round_seconds(progress)
    missed = sum(step["kind"] == "school.missing" for step in steps)
    return [
        _once(f"load.day.rounds_of_{DAY_ROUNDS}", len(seconds), "rounds"),
        _once("load.day.longest_round", max(seconds), "s"),
        _once("load.day.deadline", DAY_DEADLINE_SECONDS, "s"),
        _once("load.day.schools_missed_and_named", missed, "times"),
    ]


def _live(join: Join, name: str, answer: Answer, morning: float, over: Event) -> None:
    """A school that is there for ten hours of each day."""
    while not over.wait(max(0.0, morning - time.monotonic())):
        member = join(name, answer)
        member.start()
        over.wait(10 * HOUR_SECONDS)
        member.stop()
        member.join()
        morning += 24 * HOUR_SECONDS


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
