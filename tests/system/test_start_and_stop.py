"""What stands in the way of a start, and what is left after an end."""

import signal
import socket
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import psutil
import pytest
from support.homes import make_homes

from fedtrace.deploy.network.errors import CertificateMismatchError, PortInUseError
from fedtrace.deploy.network.federation import Federation, FederationSettings
from fedtrace.deploy.network.provisioning import provision_server

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]


@pytest.fixture
def settings(tmp_path: Path) -> FederationSettings:
    return FederationSettings(
        directory=tmp_path / "network", consortium_home=tmp_path, school_homes={}
    )


def test_a_port_in_use_is_named_before_anything_is_started(settings: FederationSettings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        taken = FederationSettings(
            directory=settings.directory,
            consortium_home=settings.consortium_home,
            school_homes={},
            front_port=port,
        )
        with (
            pytest.raises(PortInUseError, match=f"Port {port} .* is in use"),
            Federation(taken, now=datetime.now(UTC)),
        ):
            pass
    assert psutil.Process().children() == []


def test_a_certificate_for_another_host_stops_the_start(settings: FederationSettings) -> None:
    provision_server(
        settings.directory / "consortium", hosts=["fed.example"], now=datetime.now(UTC)
    )
    with (
        pytest.raises(CertificateMismatchError, match=r"does not hold for localhost.*fed\.example"),
        Federation(settings, now=datetime.now(UTC)),
    ):
        pass
    assert psutil.Process().children() == []


def test_an_empty_federation_starts_and_stops(settings: FederationSettings) -> None:
    with Federation(settings, now=datetime.now(UTC)) as federation:
        names = [child.command.name for child in federation.children]
        assert names == ["front", "superlink", "superexec"]
    assert psutil.Process().children() == []


PARENT = """
import sys, time
from datetime import UTC, datetime
from pathlib import Path
from fedtrace.deploy.network.federation import Federation, FederationSettings
directory, consortium, school, plan = sys.argv[1:]
settings = FederationSettings(directory=Path(directory), consortium_home=Path(consortium),
    school_homes={"school-1": Path(school)})
with Federation(settings, now=datetime.now(UTC)) as federation:
    federation.start_run(plan)
    while not Path(consortium, "progress.jsonl").exists():
        time.sleep(0.1)
    print("running", flush=True)
    time.sleep(120)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends children with their parent")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_nothing_outlives_a_federation_that_is_killed_in_a_run(
    tmp_path: Path, number: signal.Signals
) -> None:
    homes = make_homes(tmp_path / "homes", now=datetime.now(UTC), rounds=(5,))
    arguments = [tmp_path / "network", homes.consortium, homes.schools["school-1"], homes.plans[0]]
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, *map(str, arguments)], stdout=subprocess.PIPE
    ) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"running\n"
        family = psutil.Process(parent.pid).children(recursive=True)
        assert any("flwr-serverapp" in " ".join(each.cmdline()) for each in family)
        parent.send_signal(number)
        parent.wait(30)
    # Also the ServerApp, at once: by Flower's own watch it would hold the log for 8 s more.
    _, alive = psutil.wait_procs(family, timeout=6)
    assert [name(process) for process in alive] == []


def name(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline()) or Path(process.exe()).name
    except psutil.NoSuchProcess:
        return "gone"


def test_the_server_process_loads_no_torch() -> None:
    program = "import fedtrace.server.app, sys; print('torch' in sys.modules)"
    answer = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == "False"
