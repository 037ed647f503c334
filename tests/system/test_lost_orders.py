"""A school whose gate or SuperNode is killed at any stage of a secure sum is in the round."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime

import psutil
import pytest
from support.commands import approve, fedtrace, service, until
from support.homes import Homes, make_homes

from fedtrace.client.store import SchoolStore
from fedtrace.deploy.audit import verify_path
from fedtrace.deploy.network.ports import free_ports

pytestmark = [pytest.mark.system, pytest.mark.timeout(400)]

GATE = "fedtrace.client.gate:main"
SUPERNODE = "fedtrace.deploy.network.supernode:flower_supernode"
STAGES = ("round.reserved", "update.sent", "shares.revealed")
"""Entries of a school's log that show how far it is: in its work, with its answer, unmasking."""

KILLS = [(victim, stage) for stage in STAGES for victim in (GATE, SUPERNODE)]
ROUNDS = len(KILLS) + 1


@dataclass
class _Running:
    homes: Homes
    school: psutil.Process

    def child(self, entry_point: str) -> psutil.Process:
        """The school's process that was started with this entry point."""
        for process in self.school.children():
            with suppress(psutil.Error):
                if entry_point in process.cmdline():
                    return process
        raise LookupError(f"no {entry_point} runs")

    def reached(self, stage: str) -> int:
        """How often the school has reached a stage."""
        log = self.homes.schools["school-1"] / "log" / "entries.jsonl"
        return log.read_text().count(f'"type":"{stage}"')

    def steps(self, kind: str) -> list[dict[str, str]]:
        """What the job has done of one kind."""
        lines = (self.homes.consortium / "progress.jsonl").read_text().splitlines()
        return [step for step in map(json.loads, lines) if step["kind"] == kind]


@pytest.fixture
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[_Running]:
    homes = make_homes(
        tmp_path_factory.mktemp("homes"), now=datetime.now(UTC), rounds=(), summed_rounds=ROUNDS
    )
    (port,) = free_ports(1)
    home = homes.consortium
    fedtrace(
        *("consortium", "init", "--home", home, "--name", "county", "--host", "localhost"),
        *("--port", port, "--listen", "127.0.0.1"),
    )
    with ExitStack() as stack:
        stack.enter_context(service("consortium", "serve", "--home", home, ready="authority"))
        nodes = {}
        for name, school in homes.schools.items():
            invite = fedtrace("consortium", "invite", name, "--home", home)
            fedtrace("school", "join", invite, "--home", school)
            approve(home, name)
            node = service("school", "run", "--home", school, ready="connected")
            nodes[name] = stack.enter_context(node)
        yield _Running(homes, psutil.Process(nodes["school-1"].pid))


def test_it_is_in_every_round_and_pays_once_for_what_leaves(running: _Running) -> None:
    fedtrace("consortium", "start", "sum", "--home", running.homes.consortium)
    for victim, stage in KILLS:
        before = running.reached(stage)
        until(lambda: running.reached(stage) > before, every=0.002)  # noqa: B023
        running.child(victim).kill()
        closed = len(running.steps("round.closed"))
        until(lambda: len(running.steps("round.closed")) > closed)  # noqa: B023
    until(lambda: bool(running.steps("run.closed")), seconds=250)
    assert running.steps("run.closed")[0]["detail"] == "completed"
    assert running.steps("school.missing") == []
    answered = Counter(step["school"] for step in running.steps("update.received"))
    assert answered == dict.fromkeys(running.homes.schools, ROUNDS + 1)
    with closing(SchoolStore(running.homes.schools["school-1"] / "school.db")) as store:
        entries = store.ledger()
    committed = Counter(e.event.round for e in entries if e.state == "committed")
    assert set(committed.values()) == {1}
    assert len(entries) - len(committed) <= len([kill for kill in KILLS if kill[1] == STAGES[0]])
    lines = verify_path(running.homes.consortium.parent).lines
    assert [line for line in lines if line.status == "FAIL"] == []
