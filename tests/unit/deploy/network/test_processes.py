import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

import psutil
import pytest

from fedtrace.deploy.network.environment import flower_environment
from fedtrace.deploy.network.errors import NetworkError, NotReadyError
from fedtrace.deploy.network.nursery import Nursery
from fedtrace.deploy.network.ports import free_ports
from fedtrace.deploy.network.processes import (
    Command,
    Starter,
    Supervisor,
    has_logged,
    listens_on,
)

SLEEPER = """
import os, signal, subprocess, sys, time
def sleep():
    print("ready", os.getpid(), flush=True)
    time.sleep(60)
def deaf():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sleep()
def with_grandchild():
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    deaf()
def fail():
    sys.exit(3)
def tell():
    print(sys.argv, os.getsid(0) == os.getpid(), sorted(os.environ), flush=True)
def listen():
    import socket
    with socket.create_server(("127.0.0.1", int(sys.argv[1]))):
        time.sleep(60)
"""


class Make(Protocol):
    """Builds the command of a child that runs one of SLEEPER's functions."""

    def __call__(self, function: str, *arguments: str, name: str = "child") -> Command: ...


@pytest.fixture
def command(tmp_path: Path) -> Make:
    (tmp_path / "sleeper.py").write_text(SLEEPER)
    environment = flower_environment(tmp_path) | {"PYTHONPATH": str(tmp_path)}

    def make(function: str, *arguments: str, name: str = "child") -> Command:
        return Command(
            name=name,
            entry_point=f"sleeper:{function}",
            arguments=arguments,
            environment=environment,
        )

    return make


LINUX = pytest.mark.skipif(sys.platform != "linux", reason="only Linux gives children away")
FUNCTIONS = ("sleep", "deaf", "with_grandchild", "fail", "tell", "listen")


@pytest.fixture(params=["interpreter", pytest.param("nursery", marks=LINUX)])
def starter(request: pytest.FixtureRequest, command: Make) -> Iterator[Starter | None]:
    with ExitStack() as stack:
        if request.param == "interpreter":
            yield None
        else:
            points = [f"sleeper:{function}" for function in FUNCTIONS]
            yield stack.enter_context(Nursery(points, command("sleep").environment))


def descendants() -> list[psutil.Process]:
    return list(psutil.Process().children(recursive=True))


def test_children_are_ready_when_they_say_so_and_gone_afterwards(
    tmp_path: Path, command: Make, starter: Starter | None
) -> None:
    (port,) = free_ports(1)
    before = len(descendants())
    with Supervisor(tmp_path / "logs", starter) as supervisor:
        talker = supervisor.start(command("sleep", name="talker"))
        supervisor.start(command("listen", str(port), name="listener"))
        supervisor.wait(
            {"talker": has_logged(talker, r"ready \d+"), "listener": listens_on(port)}, seconds=10
        )
        assert len(descendants()) == before + 2
    assert len(descendants()) == before
    assert b"ready" in talker.log.read_bytes()


def test_a_child_has_a_session_a_command_line_and_an_environment_of_its_own(
    tmp_path: Path, command: Make, starter: Starter | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://operator:secret@proxy:3128")
    wanted = command("tell", "--port", "1")
    with Supervisor(tmp_path / "logs", starter) as supervisor:
        child = supervisor.start(wanted)
        assert child.process.wait(10) == 0
    expected = (["tell", "--port", "1"], True, sorted(wanted.environment))
    assert child.log.read_text() == "{} {} {}\n".format(*expected)


@pytest.mark.parametrize("stubborn", ["deaf", "with_grandchild"])
@pytest.mark.system
def test_a_child_that_does_not_listen_is_ended_with_all_it_started(
    tmp_path: Path,
    command: Make,
    stubborn: str,
    starter: Starter | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("fedtrace.deploy.network.processes._TERMINATE_SECONDS", 0.2)
    before = {process.pid for process in descendants()}
    with Supervisor(tmp_path / "logs", starter) as supervisor:
        child = supervisor.start(command(stubborn))
        supervisor.wait({"child": has_logged(child, "ready")}, seconds=10)
        family = {process.pid for process in descendants()} - before
    assert family
    deadline = time.monotonic() + 5
    while any(map(is_alive, family)) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not any(map(is_alive, family))


def is_alive(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def test_a_child_that_ends_early_is_named_with_its_log(
    tmp_path: Path, command: Make, starter: Starter | None
) -> None:
    with Supervisor(tmp_path / "logs", starter) as supervisor:
        supervisor.start(command("fail", name="school-1-gate"))
        with pytest.raises(NotReadyError, match=r"school-1-gate ended with exit status 3.*\.log"):
            supervisor.wait({"school-1-gate": lambda: False}, seconds=10)


@LINUX
def test_a_nursery_that_cannot_import_is_found_out_at_the_first_start(
    tmp_path: Path, command: Make, capfd: pytest.CaptureFixture[str]
) -> None:
    missing = Command(name="front", entry_point="missing:main", arguments=(), environment={})
    with (
        Nursery(["missing:main"], command("sleep").environment) as nursery,
        Supervisor(tmp_path / "logs", nursery) as supervisor,
        pytest.raises(NotReadyError, match="front could not be started: the nursery has ended"),
    ):
        supervisor.start(missing)
    assert "No module named 'missing'" in capfd.readouterr().err


@LINUX
@pytest.mark.system
def test_what_a_child_of_a_nursery_leaves_behind_is_ended_and_buried(
    tmp_path: Path, command: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fedtrace.deploy.network.processes._TERMINATE_SECONDS", 0.2)
    wanted = command("with_grandchild")
    with (
        Nursery([wanted.entry_point], wanted.environment) as nursery,
        Supervisor(tmp_path / "logs", nursery) as supervisor,
    ):
        child = supervisor.start(wanted)
        supervisor.wait({"child": has_logged(child, "ready")}, seconds=10)
        (grandchild,) = psutil.Process(child.process.pid).children()
    assert not psutil.pid_exists(grandchild.pid)  # not even a zombie
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def test_a_deadline_names_who_was_late(tmp_path: Path, command: Make) -> None:
    with Supervisor(tmp_path / "logs") as supervisor:
        supervisor.start(command("sleep"))
        with pytest.raises(NotReadyError, match=r"front, superlink not ready after 0\.1 s"):
            supervisor.wait({"superlink": lambda: False, "front": lambda: False}, seconds=0.1)


def test_an_error_inside_the_block_ends_the_children_too(tmp_path: Path, command: Make) -> None:
    def interrupted() -> None:
        with Supervisor(tmp_path / "logs") as supervisor:
            supervisor.start(command("sleep"))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert descendants() == []


def test_one_child_can_be_killed(tmp_path: Path, command: Make) -> None:
    with Supervisor(tmp_path / "logs") as supervisor:
        supervisor.start(command("sleep", name="one"))
        supervisor.start(command("sleep", name="two"))
        supervisor.kill("one")
        assert [child.command.name for child in supervisor.children] == ["two"]
        supervisor.require_running()
        with pytest.raises(NetworkError, match="No child process is called 'three'"):
            supervisor.kill("three")


def test_children_are_not_started_from_a_thread_that_may_end_first(tmp_path: Path) -> None:
    caught = []

    def enter() -> None:
        try:
            with Supervisor(tmp_path / "logs"):
                pass
        except NetworkError as error:
            caught.append(str(error))

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert "main thread" in caught[0]


PARENT = """
import signal, sys, time
from pathlib import Path
from contextlib import nullcontext
from fedtrace.deploy.network.environment import flower_environment
from fedtrace.deploy.network.nursery import Nursery
from fedtrace.deploy.network.processes import *
where = Path(sys.argv[1])
environment = flower_environment(where) | {"PYTHONPATH": str(where)}
starter = Nursery(["sleeper:sleep"], environment) if sys.argv[2] == "nursery" else nullcontext()
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored by what a shell puts behind it
with starter as nursery, Supervisor(where / "logs", nursery) as supervisor:
    child = supervisor.start(Command(name="child", entry_point="sleeper:sleep", arguments=(),
        environment=environment))
    supervisor.wait({"child": has_logged(child, "ready")}, seconds=10)
    print(child.process.pid, flush=True)
    time.sleep(60)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends children with their parent")
@pytest.mark.parametrize("starter_name", ["interpreter", "nursery"])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_no_child_outlives_its_parent(
    tmp_path: Path, command: Make, number: signal.Signals, starter_name: str
) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path), starter_name],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert is_alive(child)
        parent.send_signal(number)
        parent.wait(10)
        deadline = time.monotonic() + 5
        while is_alive(child) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert not is_alive(child)
