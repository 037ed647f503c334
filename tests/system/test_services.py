"""A deployment by its commands: serve, connect, admit, run, start; then every process is killed."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import pytest
from support.homes import Homes, make_homes

from fedtrace.deploy.audit import verify_path
from fedtrace.deploy.network.ports import free_ports
from fedtrace.server.consortium import open_consortium
from fedtrace.server.outcome import JobOutcome
from fedtrace.server.registry import ModelRegistry
from fedtrace.server.round import finished_job

pytestmark = [pytest.mark.system, pytest.mark.timeout(500)]

FEDTRACE = str(Path(sys.executable).with_name("fedtrace"))
ENTRY_POINTS = {
    "front": "fedtrace.deploy.network.front:main",
    "superlink": "flwr.superlink.cli:flower_superlink",
    "superexec": "flwr.supercore.cli:flower_superexec",
    "supernode": "flwr.supernode.cli:flower_supernode",
    "gate": "fedtrace.client.gate:main",
}


def fedtrace(*arguments: object, expect: int = 0) -> str:
    """Run a command to its end; returns its standard output."""
    done = subprocess.run(
        [FEDTRACE, *map(str, arguments)], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == expect, done.stdout + done.stderr
    return done.stdout


@contextmanager
def service(*arguments: object, ready: str) -> Iterator[subprocess.Popen[str]]:
    """A command that runs until it is told to end; entered when it has said ``ready``."""
    process = subprocess.Popen([FEDTRACE, *map(str, arguments)], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        for line in process.stdout:
            if ready in line:
                break
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)
        if process.stdout is not None:
            process.stdout.close()


def until(condition: Callable[[], bool], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.2)


@dataclass
class Deployment:
    """Everything that runs, by name."""

    homes: Homes
    port: int
    consortium: subprocess.Popen[str]
    schools: dict[str, subprocess.Popen[str]]

    def status(self) -> dict[str, Any]:
        """What the operator sees; the exit code says whether something is to do."""
        home = str(self.homes.consortium)
        command = [FEDTRACE, "consortium", "status", "--home", home, "--json"]
        found: dict[str, Any] = json.loads(
            subprocess.run(command, capture_output=True, text=True, timeout=60).stdout
        )
        return found

    def job(self) -> dict[str, Any]:
        found: list[dict[str, Any]] = self.status()["jobs"]
        return found[0] if found else {"state": "unknown", "round": 0}

    def children(self, of: subprocess.Popen[str]) -> dict[str, psutil.Process]:
        """Each child process by what it is, told by the entry point that it was started with."""
        found: dict[str, psutil.Process] = {}
        for process in psutil.Process(of.pid).children():
            with suppress(psutil.Error):
                line = process.cmdline()
                found |= {name: process for name, entry in ENTRY_POINTS.items() if entry in line}
        return found

    def outcome(self) -> JobOutcome:
        with closing(open_consortium(self.homes.consortium)) as consortium:
            return finished_job(consortium, self.homes.plans[0])


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    homes = make_homes(
        tmp_path_factory.mktemp("homes"), now=datetime.now(UTC), rounds=(6,), deadline_seconds=20
    )
    (port,) = free_ports(1)
    home = homes.consortium
    with ExitStack() as running:
        serving = running.enter_context(
            service(
                *("consortium", "serve", "--home", home, "--host", "localhost"),
                *("--port", port, "--listen", "127.0.0.1"),
                ready="fingerprint",
            )
        )
        for name, school in homes.schools.items():
            ca = home / "network" / "ca.pem"
            fedtrace("school", "connect", f"localhost:{port}", "--home", school, "--ca", ca)
            fedtrace(
                *("consortium", "admit", name, school / "network" / "node.pub", "--home", home)
            )
        schools = {
            name: running.enter_context(
                service("school", "run", "--home", school, ready="connected")
            )
            for name, school in homes.schools.items()
        }
        deployment = Deployment(homes, port, serving, schools)
        yield deployment
    assert psutil.Process().children(recursive=True) == []


def test_all_is_well_and_says_so(deployment: Deployment) -> None:
    until(lambda: not deployment.status()["problems"])
    status = deployment.status()
    assert set(status["processes"]) == {"front", "superlink", "superexec"}
    assert all(status["processes"].values())
    assert all(status["schools"].values())
    home = next(iter(deployment.homes.schools.values()))
    checks = json.loads(fedtrace("school", "doctor", "--home", home, "--json"))
    assert {check["name"] for check in checks} >= {"name", "answer", "clock", "keys", "disk"}
    assert {check["status"] for check in checks} == {"PASS"}


def test_every_process_is_killed_once_and_the_job_ends_as_planned(deployment: Deployment) -> None:
    """In the middle of a round each; the run goes on and nobody pays for a round twice."""
    fedtrace("consortium", "start", "job-1", "--home", deployment.homes.consortium)
    school = deployment.schools["school-1"]
    victims = [
        (deployment.consortium, "front"),
        (deployment.consortium, "superlink"),
        (school, "gate"),
        (school, "supernode"),
        (deployment.consortium, "superexec"),
    ]
    until(lambda: deployment.job()["round"] >= 1)
    for parent, name in victims:
        deployment.children(parent)[name].kill()
        until(lambda parent=parent, name=name: name in deployment.children(parent))  # type: ignore[misc]
    until(lambda: deployment.job()["state"] == "over", seconds=300)
    outcome = deployment.outcome()
    assert [r.closed for r in outcome.rounds] == [True] * 6
    assert outcome.reason == "completed"
    root = deployment.homes.consortium.parent
    assert {line.status for line in verify_path(root).lines} <= {"PASS", "WARN"}
    assert len(ModelRegistry(deployment.homes.consortium / "models").names()) == 1
