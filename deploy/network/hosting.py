"""The consortium's side as a service: front, SuperLink and superexec, kept alive for months.

What it should do lies in files below ``<home>/network``, written by other commands while it runs:
which nodes are admitted (``nodes/<school>.pub``) and which jobs run (``jobs/<plan>.json``). After
a restart, or a power cut, it goes on from there.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from fedtrace.client.bundle import build_fab
from fedtrace.client.files import write_private
from fedtrace.deploy.network.address import Address
from fedtrace.deploy.network.commands import (
    ConsortiumSide,
    front_command,
    superexec_command,
    superlink_command,
)
from fedtrace.deploy.network.control import Control
from fedtrace.deploy.network.errors import NetworkError
from fedtrace.deploy.network.jobs import Jobs
from fedtrace.deploy.network.keeping import Keeper, Observation
from fedtrace.deploy.network.lines import shorten
from fedtrace.deploy.network.ports import LOOPBACK, free_ports, require_free
from fedtrace.deploy.network.processes import Supervisor, listens_on
from fedtrace.deploy.network.provisioning import (
    private_directory,
    provision_server,
    provision_superexec_secret,
    renew_server,
)
from fedtrace.deploy.network.working import Working
from fedtrace.governance.log.heartbeat import Pulse
from fedtrace.server.app import LOG_FILE
from fedtrace.server.heartbeat import beat_for

logger = logging.getLogger(__name__)

STATE_FILE = "service.json"
NODES_FILE = "nodes.json"

_START_SECONDS = 60.0
_LOOK_SECONDS = 2.0  # between two looks at jobs and new nodes
_RENEW_SECONDS = 3600.0


def job_folder(home: Path) -> Path:
    """Where the service looks for jobs to run."""
    return home / "network" / "jobs"


def admit(home: Path, school: str, public_key: bytes) -> Path:
    """Let a school's node connect from now on; the service notices by itself.

    Args:
        home: the consortium's.
        school: a member's name.
        public_key: ``node.pub``, OpenSSH format.

    Raises:
        FileExistsError: another key of that school is admitted already.
        OSError: the file cannot be written.
    """
    path = private_directory(home / "network" / "nodes") / f"{school}.pub"
    if path.exists() and path.read_bytes() == public_key:
        return path
    write_private(path, public_key)
    return path


def dismiss(home: Path, school: str) -> bool:
    """Let a school's node connect no more; the service notices by itself.

    Returns:
        Whether it could connect until now.
    """
    path = home / "network" / "nodes" / f"{school}.pub"
    was_admitted = path.exists()
    path.unlink(missing_ok=True)
    return was_admitted


class ConsortiumService:
    """The running service: ``with ConsortiumService(...) as service``, then `tick`.

    Args:
        home: the consortium's.
        address: where it can be reached.
        clock: the time in UTC.
    """

    def __init__(self, home: Path, address: Address, clock: Callable[[], datetime]) -> None:
        self._home, self._address, self._clock = home, address, clock
        directory = home / "network"
        self._side = ConsortiumSide(
            directory=directory,
            home=home,
            identity=provision_server(directory, hosts=address.certified, now=clock()),
            secret_file=provision_superexec_secret(directory / "superexec.secret"),
            superlink_port=free_ports(1)[0],
            front_host=address.listen,
            front_port=address.port,
            waits_for_schools=True,
        )
        self._supervisor = Supervisor(directory / "logs")
        self._keeper = Keeper(self._supervisor)
        self._jobs = Jobs(job_folder(home))
        self._working = Working(home, self._supervisor)
        self._admitted: dict[str, bytes] = {}
        self._shown = b""
        self._looked_at = self._renewed_at = float("-inf")
        self._pulse = Pulse(self._beat, clock)
        self._control: Control | None = None
        self._connections: Mapping[str, bool] = {}
        self._contacts: Mapping[str, datetime] = {}
        self._stack = ExitStack()

    @property
    def observed(self) -> Observation:
        """How the processes were a moment ago."""
        return self._keeper.observed

    @property
    def connections(self) -> Mapping[str, bool]:
        """School -> whether its node was connected a moment ago."""
        return self._connections

    @property
    def contacts(self) -> Mapping[str, datetime]:
        """School -> when its node was last seen connected, since the service began."""
        return self._contacts

    @property
    def ca_certificate(self) -> Path:
        """What schools pin."""
        return self._side.identity.ca_certificate

    def __enter__(self) -> Self:
        """Start everything.

        Raises:
            PortInUseError: the port is taken.
            NotReadyError: a process ended early or was not ready in time.
        """
        require_free(self._address.port, "the consortium's front", host=self._address.listen)
        self._renew()
        with ExitStack() as started:
            started.enter_context(self._supervisor)
            self._supervisor.start(front_command(self._side))
            self._supervisor.start(superlink_command(self._side))
            ports = {"front": self._address.port, "superlink": self._side.superlink_port}
            probes = {name: listens_on(port) for name, port in ports.items()}
            self._supervisor.wait(probes, seconds=_START_SECONDS)
            self._shown = self._side.identity.certificate.read_bytes()
            address = f"{LOOPBACK}:{self._side.superlink_port}"
            self._control = started.enter_context(Control(address, self.ca_certificate))
            self._register()
            self._supervisor.start(superexec_command(self._side))
            self._stack = started.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.__exit__(kind, error, trace)
        (self._side.directory / STATE_FILE).unlink(missing_ok=True)

    def tick(self) -> None:
        """Look after everything once; call it about once a second.

        A SuperLink that does not answer, as while it starts again, is asked at the next tick.
        """
        self._keeper.tick()
        self._pulse.look()
        with suppress(OSError):
            shorten(self._home / LOG_FILE)
        if time.monotonic() - self._renewed_at > _RENEW_SECONDS:
            self._renewed_at = time.monotonic()
            self._renew()
        if time.monotonic() - self._looked_at > _LOOK_SECONDS:
            self._looked_at = time.monotonic()
            self._show_certificate()
            try:
                self._register()
                self._jobs.tick(self._connected(), self._working, fab=build_fab, now=self._clock())
                self._write_state()
            except NetworkError as error:
                logger.warning("%s", error)

    def _beat(self, now: datetime) -> None:
        """The log's sign of life; a job that runs has the log, and what it does is one."""
        with suppress(NetworkError):  # the jobs' own look says what is wrong with a file
            if all(job.state != "running" for job in self._jobs.all()):
                beat_for(self._home, now=now)

    def _renew(self) -> None:
        """A certificate that ends soon, or is for other names, is issued anew."""
        directory, hosts = self._side.directory, self._address.certified
        renew_server(directory, hosts=hosts, now=self._clock())

    def _show_certificate(self) -> None:
        """Have the processes load a certificate that was renewed, here or by the command."""
        present = self._side.identity.certificate.read_bytes()
        if present != self._shown:
            self._shown = present
            for child in self._supervisor.children:
                if child.command.name in ("front", "superlink"):
                    self._supervisor.restart(child)

    def _register(self) -> None:
        """Admit the nodes that have a key here and no other; write down whose each is."""
        folder = self._side.directory / "nodes"
        keys = {path.stem: path.read_bytes() for path in sorted(folder.glob("*.pub"))}
        if keys == self._admitted and (self._home / NODES_FILE).exists():
            return
        control = self._connected()
        nodes = {control.register(school, folder / f"{school}.pub"): school for school in keys}
        control.unregister_others(nodes)
        content = json.dumps({str(node): school for node, school in nodes.items()}, indent=2)
        write_private(self._home / NODES_FILE, content.encode(), replace=True)
        self._admitted = keys

    def _write_state(self) -> None:
        """For ``fedtrace consortium status``, which is another process."""
        online = {str(node) for node in self._connected().online()}
        nodes: dict[str, str] = json.loads((self._home / NODES_FILE).read_bytes())
        now = self._clock()
        schools = {school: node in online for node, school in sorted(nodes.items())}
        seen = {school: now for school, is_connected in schools.items() if is_connected}
        self._connections, self._contacts = schools, {**self._contacts, **seen}
        state = {
            "at": now.isoformat(),
            "address": f"{self._address.hosts[0]}:{self._address.port}",
            "processes": {c.command.name: c.is_running for c in self._supervisor.children},
            "schools": schools,
        }
        path = self._side.directory / STATE_FILE
        staging = path.with_suffix(".new")
        staging.write_text(json.dumps(state, indent=2), encoding="utf-8")
        staging.replace(path)

    def _connected(self) -> Control:
        if self._control is None:
            raise NetworkError("The service has not been started.")
        return self._control
