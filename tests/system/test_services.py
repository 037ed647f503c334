"""A deployment by its commands: serve, connect, admit, run, start; then every process is killed."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import psutil
import pytest
from support.commands import approve, consortium_status, fedtrace, service, until
from support.homes import Homes, make_homes

from fedtrace.deploy.audit import verify_path
from fedtrace.deploy.network.ports import free_ports
from fedtrace.server.consortium import open_consortium
from fedtrace.server.outcome import JobOutcome
from fedtrace.server.registry import ModelRegistry
from fedtrace.server.round import finished_job

pytestmark = [pytest.mark.system, pytest.mark.timeout(500)]

ENTRY_POINTS = {
    "front": "fedtrace.deploy.network.front:main",
    "superlink": "fedtrace.deploy.network.superlink:flower_superlink",
    "superexec": "flwr.supercore.cli:flower_superexec",
    "supernode": "fedtrace.deploy.network.supernode:flower_supernode",
    "gate": "fedtrace.client.gate:main",
}


@dataclass
class Deployment:
    """Everything that runs, by name."""

    homes: Homes
    port: int
    consortium: subprocess.Popen[str]
    schools: dict[str, subprocess.Popen[str]]

    def status(self) -> dict[str, Any]:
        """What the operator sees; the exit code says whether something is to do."""
        return consortium_status(self.homes.consortium)

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
    fedtrace(
        *("consortium", "init", "--home", home, "--name", "county", "--host", "localhost"),
        *("--port", port, "--listen", "127.0.0.1"),
    )
    with ExitStack() as running:
        serving = running.enter_context(
            service(*("consortium", "serve", "--home", home), ready="authority")
        )
        for name, school in homes.schools.items():
            invite = fedtrace("consortium", "invite", name, "--home", home)
            fedtrace("school", "join", invite, "--home", school)
            approve(home, name)
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
