"""Schools that reach their consortium through nginx alone: they join, wait, and do a round."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import psutil
import pytest
from support.commands import approve, fedtrace, service, until
from support.homes import Homes, make_homes
from support.nginx import NEEDS_NGINX, REQUESTS, start_nginx

from fedtrace.deploy.audit import verify_path
from fedtrace.deploy.network.ports import accepts, free_ports

pytestmark = [
    pytest.mark.system,
    pytest.mark.timeout(500),
    NEEDS_NGINX,
    pytest.mark.skipif(not psutil.LINUX, reason="only Linux has more than one loopback address"),
]

PUBLIC = "127.0.0.2"
PULL = "/v1/fleet/pull-messages"
HELD_SECONDS = 10.0


@pytest.fixture(scope="module")
def nginx(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where nginx has its files."""
    return tmp_path_factory.mktemp("nginx")


@pytest.fixture(scope="module")
def homes(tmp_path_factory: pytest.TempPathFactory, nginx: Path) -> Iterator[Homes]:
    """A consortium on loopback, nginx on another address with the same port, two schools."""
    homes = make_homes(
        tmp_path_factory.mktemp("homes"), now=datetime.now(UTC), rounds=(2,), schools=2
    )
    (port,) = free_ports(1)
    home = homes.consortium
    fedtrace(
        *("consortium", "init", "--home", home, "--name", "county", "--port", port),
        *("--host", PUBLIC, "--host", "localhost", "--listen", "127.0.0.1"),
    )
    with ExitStack() as running:
        running.enter_context(service("consortium", "serve", "--home", home, ready="authority"))
        door = start_nginx(
            nginx,
            home,
            public=f"{PUBLIC}:{port}",
            inner=f"127.0.0.1:{port}",
            writes_requests=True,
        )
        running.callback(door.wait, 10)
        running.callback(door.terminate)
        until(lambda: accepts(port, host=PUBLIC), seconds=20)
        for name, school in homes.schools.items():
            invite = fedtrace("consortium", "invite", name, "--home", home)
            fedtrace("school", "join", invite, "--home", school)
            approve(home, name)
            running.enter_context(service("school", "run", "--home", school, ready="connected"))
        yield homes


def pulls(nginx: Path) -> list[tuple[int, float]]:
    """Status and seconds of every request for a message that has been answered."""
    lines = (line.split() for line in (nginx / REQUESTS).read_text().splitlines())
    return [(int(code), float(seconds)) for code, seconds, path in lines if path == PULL]


def test_an_idle_node_is_held_and_then_does_a_job(homes: Homes, nginx: Path) -> None:
    before = len(pulls(nginx))
    until(lambda: sum(seconds > HELD_SECONDS for _, seconds in pulls(nginx)[before:]) >= 2)
    fedtrace("consortium", "start", "job-1", "--home", homes.consortium)
    progress = homes.consortium / "progress.jsonl"
    until(lambda: progress.exists() and '"run.closed"' in progress.read_text(), 300)
    steps = [json.loads(line) for line in progress.read_text().splitlines()]
    assert [step["round"] for step in steps if step["kind"] == "round.closed"] == [1, 2]
    assert steps[-1]["detail"] == "completed"
    assert {code for code, _ in pulls(nginx)} == {200}
    lines = verify_path(homes.consortium.parent).lines
    assert [line for line in lines if line.status == "FAIL"] == []
