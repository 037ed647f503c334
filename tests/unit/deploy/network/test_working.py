"""What the service knows of a run that Flower does not: its process, and the job's rounds."""

import os
from contextlib import closing
from pathlib import Path

import psutil
import pytest
from support.commands import until
from support.scripted_schools import build_world

from fedtrace.deploy.network.processes import Command, Supervisor, has_logged
from fedtrace.deploy.network.working import Working
from fedtrace.server.consortium import DATABASE_FILE
from fedtrace.server.round import run_job

SUPEREXEC = """
import subprocess, sys
def main():
    program = "import sys, time; print('ready', flush=True); time.sleep(60)"
    for _ in range(2):
        subprocess.Popen([sys.executable, "-c", program, "flwr-serverapp"]).wait()
"""


def test_a_serverapp_is_seen_and_missed(tmp_path: Path) -> None:
    (tmp_path / "pretended.py").write_text(SUPEREXEC)
    command = Command(
        name="superexec",
        entry_point="pretended:main",
        arguments=(),
        environment={"PATH": os.environ["PATH"], "PYTHONPATH": str(tmp_path)},
    )
    with Supervisor(tmp_path / "logs") as supervisor:
        working = Working(tmp_path, supervisor)
        assert not working.has_serverapp()
        child = supervisor.start(command)
        supervisor.wait({"superexec": has_logged(child, "ready")}, seconds=30)
        assert working.has_serverapp()
        superexec = psutil.Process(child.process.pid)
        (serverapp,) = superexec.children()
        superexec.suspend()
        serverapp.kill()
        until(lambda: serverapp.status() == psutil.STATUS_ZOMBIE)  # its parent has not looked
        assert not working.has_serverapp()
        superexec.resume()


def test_rounds_over_are_counted_and_an_unreadable_database_counts_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FEDTRACE_DATABASE_URL", raising=False)
    world = build_world(tmp_path / "home", schools=2, rounds=2, parameters=3)
    working = Working(world.home, Supervisor(tmp_path / "logs"))
    assert working.rounds_over(world.plan_digest) == 0
    with closing(world.open()) as consortium:
        run_job(
            consortium, world.plan_digest, world.transport(), world.clock, progress=lambda e: None
        )
    assert working.rounds_over(world.plan_digest) == 3  # with the evaluation
    (world.home / DATABASE_FILE).write_bytes(b"no database" * 100)
    assert working.rounds_over(world.plan_digest) == 0
