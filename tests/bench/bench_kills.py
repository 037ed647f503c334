"""``kill -9`` of every process at every stage of a round: does the job go on, and how soon?

A deployment by its commands, three schools, a model that trains at once, so that what is measured
is the recovery. A stage is seen in a log the moment its entry is written; then one process dies.
What counts is the time until the next round is closed. The two services are started again after
5 s, and again until they stay, as systemd does; everything else is their business.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

import psutil
from support.commands import FEDTRACE, approve, fedtrace, service, until
from support.homes import Homes, make_homes
from support.measurement import Measurement, spread
from support.postgres import running_postgresql

from fedtrace.client.store import SchoolStore
from fedtrace.deploy.audit import verify_path
from fedtrace.deploy.network.ports import free_ports
from fedtrace.governance.log.entries import RoundClosed, RoundOpened, decode_entry

SCHOOLS, ROUNDS, DEADLINE_SECONDS = 3, 600, 60
UNDISTURBED = 6
LONGEST_SECONDS = 240.0
RESULTS = Path(__file__).parents[2] / "build" / "kills.jsonl"
"""Every case that was measured; without the file all are measured anew."""

RESTART_SECONDS = 5.0
"""What deploy/systemd says."""

STAGES = {
    "order is logged": ("consortium", b'"type":"round.opened"'),
    "school has reserved": ("school", b'"type":"round.reserved"'),
    "school has sent": ("school", b'"type":"update.sent"'),
    "round is closed": ("consortium", b'"type":"round.closed"'),
}
"""Stage -> whose log shows it, and the entry."""

_OF_THE_CONSORTIUM = {
    "front": "fedtrace.deploy.network.front:main",
    "SuperLink": "fedtrace.deploy.network.superlink:flower_superlink",
    "superexec": "flwr.supercore.cli:flower_superexec",
    "ServerApp": "flwr-serverapp",
}
_OF_A_SCHOOL = {
    "gate": "fedtrace.client.gate:main",
    "SuperNode": "fedtrace.deploy.network.supernode:flower_supernode",
}
SERVICES = ("consortium serve", "school run")
VICTIMS = (*_OF_THE_CONSORTIUM, *_OF_A_SCHOOL, *SERVICES)


def run() -> list[Measurement]:
    """All victims at all stages on SQLite, all victims at one stage on PostgreSQL."""
    found = _table("sqlite", tuple(STAGES))
    with running_postgresql() as server:
        os.environ["FEDTRACE_DATABASE_URL"] = server.new_database()
        try:
            found += _table("postgresql", ("school has reserved",))
        finally:
            del os.environ["FEDTRACE_DATABASE_URL"]
    return found


@dataclass
class Deployment:
    """What runs: the consortium's service and the schools'."""

    homes: Homes
    services: dict[str, subprocess.Popen[str]] = field(default_factory=dict)
    ending: threading.Event = field(default_factory=threading.Event)

    @property
    def school(self) -> Path:
        return self.homes.schools["school-1"]

    def entries(self, whose: str) -> bytes:
        home = self.homes.consortium if whose == "consortium" else self.school
        return (home / "log" / "entries.jsonl").read_bytes()

    def rounds_closed(self) -> int:
        return self.entries("consortium").count(STAGES["round is closed"][1])

    def process(self, victim: str) -> psutil.Process:
        """The running process of that name."""
        if victim in SERVICES:
            return psutil.Process(self.services[victim].pid)
        entry = {**_OF_THE_CONSORTIUM, **_OF_A_SCHOOL}[victim]
        owner = SERVICES[victim in _OF_A_SCHOOL]
        for process in psutil.Process(self.services[owner].pid).children(recursive=True):
            with suppress(psutil.Error):
                if any(entry in part for part in process.cmdline()):
                    return process
        raise LookupError(f"no {victim} runs")

    def keep(self) -> None:
        """Start again what ended, as a service manager does, until this is to end."""
        while not self.ending.wait(0.1):
            for name, process in list(self.services.items()):
                if process.poll() is not None and not self.ending.wait(RESTART_SECONDS):
                    self.start(name)

    def all_answer(self) -> bool:
        """Whether every school answered in the last round."""
        return len(_last_round(self).inputs) == SCHOOLS

    def start(self, name: str) -> None:
        """Start one of the two services again, as a service manager does."""
        side, command = name.split()
        home = self.homes.consortium if side == "consortium" else self.school
        self.services[name] = subprocess.Popen(
            [FEDTRACE, side, command, "--home", str(home)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            text=True,
        )


def _table(database: str, stages: tuple[str, ...]) -> list[Measurement]:
    """One deployment for all cases that `RESULTS` does not hold yet."""
    cases = [(victim, stage) for stage in stages for victim in VICTIMS]
    if all(_kept(_name(database, *case)) for case in cases):
        return [_measurement(name) for name in _names(database, cases)]
    with tempfile.TemporaryDirectory() as folder, _deployment(Path(folder) / "homes") as running:
        usual = [_next_round(running, lambda: None)[0] for _ in range(UNDISTURBED)]
        _keep(_name(database), seconds=median(usual), spread=spread(usual), answered=SCHOOLS)
        for victim, stage in cases:
            name = _name(database, victim, stage)
            if not _kept(name):
                until(running.all_answer, seconds=LONGEST_SECONDS)
                seconds, answered = _kill(running, victim, stage)
                _keep(name, seconds=seconds, spread=0.0, answered=answered)
                print(f"{name}: {seconds:.1f} s, {answered} of {SCHOOLS} answered", flush=True)
        _require_honest(running)
    return [_measurement(name) for name in _names(database, cases)]


def _name(database: str, victim: str = "nobody", stage: str = "") -> str:
    return f"kills.{database}.{victim}{', ' if stage else ''}{stage}"


def _names(database: str, cases: Iterable[tuple[str, str]]) -> list[str]:
    return [_name(database), *(_name(database, *case) for case in cases)]


def _kept(name: str) -> dict[str, float] | None:
    lines = RESULTS.read_text().splitlines() if RESULTS.exists() else []
    found = {each.pop("name"): each for each in map(json.loads, lines)}
    return found.get(name)


def _keep(name: str, **numbers: float) -> None:
    RESULTS.parent.mkdir(exist_ok=True)
    with RESULTS.open("a") as file:
        file.write(json.dumps({"name": name, **numbers}) + "\n")


def _measurement(name: str) -> Measurement:
    kept = _kept(name) or {}
    says = f"{name}: {kept['answered']:.0f} of {SCHOOLS} answered"
    return Measurement(name=says, value=kept["seconds"], unit="s", spread=kept["spread"])


def _kill(running: Deployment, victim: str, stage: str) -> tuple[float, int]:
    """Kill at a stage; seconds until the next round was closed, and how many answered in it."""
    whose, entry = STAGES[stage]

    def act() -> None:
        before = running.entries(whose).count(entry)
        # Found before the moment has come; the ServerApp's process changes from run to run.
        process = _found(running, victim)
        while running.entries(whose).count(entry) == before:
            time.sleep(0.002)
        process.kill()

    return _next_round(running, act)


def _found(running: Deployment, victim: str) -> psutil.Process:
    deadline = time.monotonic() + LONGEST_SECONDS
    while True:
        try:
            return running.process(victim)
        except LookupError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def _next_round(running: Deployment, act: Callable[[], None]) -> tuple[float, int]:
    act()
    closed, killed_at = running.rounds_closed(), time.monotonic()
    until(lambda: running.rounds_closed() > closed, seconds=LONGEST_SECONDS)
    return time.monotonic() - killed_at, len(_last_round(running).inputs)


def _last_round(running: Deployment) -> RoundClosed:
    lines = running.entries("consortium").splitlines()
    index = max(n for n, line in enumerate(lines) if STAGES["round is closed"][1] in line)
    entry = decode_entry(lines[index], index=index, origin="county/log").entry
    if not isinstance(entry, RoundClosed):
        raise TypeError("the last round.closed is none")
    return entry


def _require_honest(running: Deployment) -> None:
    """No log contradicts another, and no school has paid twice for one order.

    A round whose deadline passed before its answers were fetched is asked for by another order,
    and paid for again: what leaves a school then is another release, with noise of its own.

    Raises:
        RuntimeError: one has.
    """
    lines = verify_path(running.homes.consortium.parent).lines
    wrong = [line.sentence for line in lines if line.status == "FAIL"]
    orders = _orders(running)
    twice: set[int] = set()
    for name, home in running.homes.schools.items():
        store = SchoolStore(home / "school.db")
        committed = Counter(e.event.round for e in store.ledger() if e.state == "committed")
        store.close()
        paid = {number: many for number, many in committed.items() if many > 1}
        wrong += [f"{name} paid {n}: {many}" for n, many in paid.items() if many > orders[n]]
        twice |= set(paid)
    if wrong:
        raise RuntimeError("; ".join(wrong))
    print(f"{len(orders)} rounds; by two orders, and paid for twice: {sorted(twice)}", flush=True)


def _orders(running: Deployment) -> Mapping[int, int]:
    """By how many orders each round was asked for, as the consortium's log says."""
    entries = [
        decode_entry(line, index=index, origin="county/log").entry
        for index, line in enumerate(running.entries("consortium").splitlines())
    ]
    asked = {(e.round, e.order_digest) for e in entries if isinstance(e, RoundOpened)}
    return Counter(number for number, _ in asked)


@contextmanager
def _deployment(folder: Path) -> Iterator[Deployment]:
    homes = make_homes(
        folder,
        now=datetime.now(UTC),
        rounds=(ROUNDS,),
        deadline_seconds=DEADLINE_SECONDS,
        noise_multiplier=120.0,
    )
    running = Deployment(homes)
    keeper = threading.Thread(target=running.keep)
    home = homes.consortium
    (port,) = free_ports(1)
    fedtrace(
        *("consortium", "init", "--home", home, "--name", "county", "--host", "localhost"),
        *("--port", port, "--listen", "127.0.0.1"),
    )
    with ExitStack() as stack:
        stack.callback(_end, running.services)
        stack.callback(keeper.join)
        stack.callback(running.ending.set)
        running.start("consortium serve")
        until(lambda: (home / "network" / "service.json").exists())
        for name, school in homes.schools.items():
            invite = fedtrace("consortium", "invite", name, "--home", home)
            fedtrace("school", "join", invite, "--home", school)
            approve(home, name)
            if school != running.school:
                stack.enter_context(service("school", "run", "--home", school, ready="connected"))
        running.start("school run")
        fedtrace("consortium", "start", "job-1", "--home", home)
        until(lambda: running.rounds_closed() >= 1, seconds=LONGEST_SECONDS)
        keeper.start()
        yield running


def _end(services: Mapping[str, subprocess.Popen[str]]) -> None:
    for process in services.values():
        process.terminate()
    for process in services.values():
        process.wait(40)
