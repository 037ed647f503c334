"""Real schools behind a line that stalls and breaks: they come back, and the job goes on."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest
from support.commands import approve, fedtrace, service, until
from support.homes import Homes, make_homes
from support.lines import Line, Lines

from fedtrace.deploy.audit import verify_path
from fedtrace.deploy.network.ports import free_ports

pytestmark = [pytest.mark.system, pytest.mark.timeout(400)]

PUBLIC = "127.0.0.3"
"""Where the schools call; the server itself listens on 127.0.0.1 with the same port."""

STALL_SECONDS = 25
"""Longer than anything in a school waits for an answer to a small request."""


@dataclass
class _Behind:
    homes: Homes
    line: Line

    def steps(self, kind: str) -> list[dict[str, str]]:
        """What the job has done of one kind."""
        progress = self.homes.consortium / "progress.jsonl"
        lines = progress.read_text().splitlines() if progress.exists() else []
        return [step for step in map(json.loads, lines) if step["kind"] == kind]


@pytest.fixture
def behind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[_Behind]:
    homes = make_homes(
        tmp_path_factory.mktemp("homes"),
        now=datetime.now(UTC),
        rounds=(3,),
        schools=2,
        deadline_seconds=90,
    )
    (port,) = free_ports(1)
    home = homes.consortium
    fedtrace(
        *("consortium", "init", "--home", home, "--name", "county", "--port", port),
        *("--host", PUBLIC, "--listen", "127.0.0.1"),
    )
    with ExitStack() as running:
        running.enter_context(service("consortium", "serve", "--home", home, ready="authority"))
        line = running.enter_context(Lines()).to(port, host=PUBLIC, same_port=True)
        for name, school in homes.schools.items():
            invite = fedtrace("consortium", "invite", name, "--home", home)
            fedtrace("school", "join", invite, "--home", school)
            approve(home, name)
            running.enter_context(service("school", "run", "--home", school, ready="connected"))
        yield _Behind(homes, line)


def test_every_round_closes_with_all_schools(behind: _Behind) -> None:
    """It stalls in the first round, then all connections break, and break again in the second."""
    fedtrace("consortium", "start", "job-1", "--home", behind.homes.consortium)
    until(lambda: bool(behind.steps("round.opened")))
    behind.line.held = True
    time.sleep(STALL_SECONDS)
    behind.line.held = False
    behind.line.cut()
    until(lambda: len(behind.steps("round.opened")) >= 2, seconds=120)
    for _ in range(5):
        behind.line.cut()
        time.sleep(2)
    until(lambda: bool(behind.steps("run.closed")), seconds=200)
    assert behind.steps("run.closed")[0]["detail"] == "completed"
    assert len(behind.steps("round.closed")) == 3
    assert behind.steps("school.missing") == []
    lines = verify_path(behind.homes.consortium.parent).lines
    assert [line for line in lines if line.status == "FAIL"] == []
