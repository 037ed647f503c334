"""A day in which schools are slow, stall, lose their line and are switched off at night.

One real server, 24 schools, 24 rounds: an hour of the day is a round here. Sixteen schools are
there all day, four of them over 4 Mbit/s; two stall from the seventh to the twelfth round (their
connection stays open and nothing passes); three lose every connection each ten seconds; three are
switched on from the eighth to the eighteenth round. Every round has to close within the plan's
deadline with all schools that could answer, and name the others.
``DAY_PARAMETERS`` is how many parameters the model has, ``DAY_DEADLINE`` the plan's, in seconds.
"""

from __future__ import annotations

import os
import tempfile
import threading
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from statistics import median

from support.commands import fedtrace, until
from support.fleet_schools import FleetSchool, honest
from support.lines import Line, Lines
from support.loaded_server import LoadedServer, process_name
from support.measurement import Measurement, spread
from support.memory import PeakMemory
from support.scripted_schools import World, build_world

from fedtrace.governance.log.entries import (
    RoundClosed,
    RoundOpened,
    SchoolMissing,
    SchoolRefused,
    UpdateReceived,
    UpdateRejected,
    UpdateUnused,
    decode_entry,
)

PARAMETERS = int(os.environ.get("DAY_PARAMETERS", "1000000"))
DEADLINE_SECONDS = int(os.environ.get("DAY_DEADLINE", "60"))
ROUNDS = 24
SLOW_BYTES_PER_SECOND = 500_000
CUT_EVERY_SECONDS = 10
STALLED, SWITCHED_ON = range(7, 13), range(8, 19)
KINDS = {"steady": 12, "slow": 4, "stalling": 2, "flapping": 3, "night": 3}

ENDS = UpdateReceived, UpdateUnused, UpdateRejected, SchoolRefused, SchoolMissing
"""What the log may say of a school that was asked."""

Told = tuple[int, str]
"""Round, school."""


class _Day:
    """Makes the hours of the day happen, from what the job says of its rounds."""

    def __init__(self, world: World, server: LoadedServer, lines: Lines) -> None:
        self._server, self._answer = server, honest(world)
        self.kinds = dict(zip(world.keys, Counter(KINDS).elements(), strict=True))
        self._lines = {name: lines.to(server.port) for name in world.keys}
        self._here: dict[str, FleetSchool] = {}
        self.ending = threading.Event()

    def of(self, kind: str) -> list[str]:
        return [name for name, each in self.kinds.items() if each == kind]

    def hour(self) -> int:
        """The round that is open, or that is next."""
        kinds = [step["kind"] for step in self._server.steps()]
        return max(kinds.count("round.opened"), 1)

    def begin(self) -> None:
        """Connect all that are there in the first round."""
        for name in self.of("slow"):
            self._lines[name].bytes_per_second = SLOW_BYTES_PER_SECOND
        for name, kind in self.kinds.items():
            if kind != "night":
                self._connect(name)
        for school in self._here.values():
            if not school.connected.wait(120):
                raise RuntimeError(f"{school.name} was not connected within 120 seconds")

    def live(self) -> None:
        """Go through the day; returns when told to end."""
        passed = 0
        while not self.ending.wait(1):
            passed += 1
            hour = self.hour()
            for name in self.of("stalling"):
                self._lines[name].held = hour in STALLED
            if passed % CUT_EVERY_SECONDS == 0:
                for name in self.of("flapping"):
                    self._lines[name].cut()
            for name in self.of("night"):
                if hour in SWITCHED_ON and name not in self._here:
                    self._connect(name)
                elif hour not in SWITCHED_ON and name in self._here:
                    self._here.pop(name).stop()
            for name, school in self._here.items():
                if school.gone:  # what a SuperNode's service manager does
                    self._connect(name)

    def end(self) -> None:
        for school in self._here.values():
            school.stop()
        for line in self._lines.values():
            line.held = False
            line.cut()

    def _connect(self, name: str) -> None:
        line: Line = self._lines[name]
        self._here[name] = self._server.school(name, self._answer, port=line.port)
        self._here[name].start()


def run() -> list[Measurement]:
    """One day is one measurement; its rounds are the repetitions."""
    with tempfile.TemporaryDirectory() as folder:
        world = build_world(
            Path(folder) / "consortium",
            schools=sum(KINDS.values()),
            rounds=ROUNDS,
            minimum=12,
            parameters=PARAMETERS,
            deadline_seconds=DEADLINE_SECONDS,
            noise_multiplier=12.0,
        )
        with ExitStack() as running:
            server = LoadedServer(world, running)
            day = _Day(world, server, running.enter_context(Lines()))
            running.callback(day.end)
            day.begin()
            thread = threading.Thread(target=day.live)
            thread.start()
            running.callback(thread.join)
            running.callback(day.ending.set)
            fedtrace("consortium", "start", "pilot", "--home", world.home)
            third = 2 * 8 * DEADLINE_SECONDS
            with PeakMemory(server.pid, process_name) as morning:
                until(lambda: day.hour() > 8 or server.is_over(), seconds=third)
            until(lambda: day.hour() > 16 or server.is_over(), seconds=third)
            with PeakMemory(server.pid, process_name) as evening:
                until(server.is_over, seconds=third)
            seconds = server.round_seconds()
        asked, used, told = _log_of(world)
    of_kind = {
        kind: [sum(name in schools for name in day.of(kind)) for schools in used.values()]
        for kind in KINDS
    }
    return [
        _once("day.rounds_closed", len(seconds), "rounds"),
        Measurement(name="day.round", value=median(seconds), unit="s", spread=spread(seconds)),
        _once("day.longest_round", max(seconds), "s"),
        _once("day.memory_in_rounds_1_to_8", morning.whole, "MiB"),
        _once("day.memory_in_rounds_17_to_24", evening.whole, "MiB"),
        *(
            _once(f"day.{kind}.answers", sum(all_day), "answers")
            for kind, all_day in of_kind.items()
        ),
        _once("day.asked_and_not_told_of", len(asked - told), "answers"),
    ]


def _log_of(world: World) -> tuple[set[Told], dict[int, set[str]], set[Told]]:
    """Who was asked, whose answer went into each round's sum, and of whom the log tells an end."""
    consortium = world.open()
    log = consortium.log
    asked, told = set[Told](), set[Told]()
    used: dict[int, set[str]] = {}
    for index in range(log.size):
        entry = decode_entry(log.line(index), index=index, origin=log.origin).entry
        if getattr(entry, "kind", "train") != "train":
            continue
        if isinstance(entry, RoundOpened):
            asked |= {(entry.round, name) for name in entry.schools}
        elif isinstance(entry, RoundClosed):
            used[entry.round] = {each.school for each in entry.inputs}
        elif isinstance(entry, ENDS):
            told.add((entry.round, entry.school))
    consortium.close()
    return asked, used, told


def _once(name: str, value: float, unit: str) -> Measurement:
    return Measurement(name=name, value=value, unit=unit, spread=0.0)
