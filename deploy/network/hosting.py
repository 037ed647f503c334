"""The consortium's side as a service: front, SuperLink and superexec, kept alive for months.

What it should do lies in files below ``<home>/network``, written by other commands while it runs:
which nodes are admitted (``nodes/<school>.pub``) and which jobs run (``jobs/<plan>.json``). After
a restart, or a power cut, it goes on from there.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from fedtrace.client.bundle import build_fab
from fedtrace.client.files import write_private
from fedtrace.deploy.network.commands import (
    ConsortiumSide,
    front_command,
    superexec_command,
    superlink_command,
)
from fedtrace.deploy.network.control import Control
from fedtrace.deploy.network.errors import NetworkError
from fedtrace.deploy.network.jobs import Jobs
from fedtrace.deploy.network.keeping import Keeper
from fedtrace.deploy.network.ports import LOOPBACK, free_ports, require_free
from fedtrace.deploy.network.processes import Supervisor, listens_on
from fedtrace.deploy.network.provisioning import (
    private_directory,
    provision_server,
    provision_superexec_secret,
    renew_server,
)

logger = logging.getLogger(__name__)

STATE_FILE = "service.json"
NODES_FILE = "nodes.json"

_START_SECONDS = 60.0
_LOOK_SECONDS = 2.0  # between two looks at jobs and new nodes
_RENEW_SECONDS = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class HostSettings:
    """Where the consortium can be reached.

    Attributes:
        home: the consortium's home.
        hosts: names and addresses under which schools connect; the first is the usual one.
        listen: the address that the front listens on.
        port: its port.
    """

    home: Path
    hosts: tuple[str, ...]
    listen: str
    port: int

    @property
    def directory(self) -> Path:
        """Keys, certificates, Flower's files and logs."""
        return self.home / "network"

    @property
    def certified(self) -> tuple[str, ...]:
        """What the certificate is for: the SuperLink shows it too, on loopback."""
        return (*self.hosts, LOOPBACK)


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


class ConsortiumService:
    """The running service: ``with ConsortiumService(settings, clock) as service``, then `tick`.

    Args:
        settings: where it can be reached.
        clock: the time in UTC.
    """

    def __init__(self, settings: HostSettings, clock: Callable[[], datetime]) -> None:
        self._settings, self._clock = settings, clock
        directory = settings.directory
        self._side = ConsortiumSide(
            directory=directory,
            home=settings.home,
            identity=provision_server(directory, hosts=settings.certified, now=clock()),
            secret_file=provision_superexec_secret(directory / "superexec.secret"),
            superlink_port=free_ports(1)[0],
            front_host=settings.listen,
            front_port=settings.port,
        )
        self._supervisor = Supervisor(directory / "logs")
        self._keeper = Keeper(self._supervisor)
        self._jobs = Jobs(job_folder(settings.home))
        self._admitted: dict[str, bytes] = {}
        self._looked_at = self._renewed_at = float("-inf")
        self._control: Control | None = None
        self._stack = ExitStack()

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
        require_free(self._settings.port, "the consortium's front", host=self._settings.listen)
        renew_server(self._settings.directory, hosts=self._settings.certified, now=self._clock())
        with ExitStack() as started:
            started.enter_context(self._supervisor)
            self._supervisor.start(front_command(self._side))
            self._supervisor.start(superlink_command(self._side))
            ports = {"front": self._settings.port, "superlink": self._side.superlink_port}
            probes = {name: listens_on(port) for name, port in ports.items()}
            self._supervisor.wait(probes, seconds=_START_SECONDS)
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
        (self._settings.directory / STATE_FILE).unlink(missing_ok=True)

    def tick(self) -> None:
        """Look after everything once; call it about once a second.

        A SuperLink that does not answer, as while it starts again, is asked at the next tick.
        """
        self._keeper.tick()
        if time.monotonic() - self._renewed_at > _RENEW_SECONDS:
            self._renewed_at = time.monotonic()
            self._renew()
        if time.monotonic() - self._looked_at > _LOOK_SECONDS:
            self._looked_at = time.monotonic()
            try:
                self._register()
                self._jobs.tick(self._connected(), fab=build_fab, now=self._clock())
                self._write_state()
            except NetworkError as error:
                logger.warning("%s", error)

    def _renew(self) -> None:
        directory, hosts = self._settings.directory, self._settings.certified
        if renew_server(directory, hosts=hosts, now=self._clock()):
            for child in self._supervisor.children:
                if child.command.name in ("front", "superlink"):
                    self._supervisor.restart(child)

    def _register(self) -> None:
        """Admit the nodes that have a key here, and write down which node is which school."""
        folder = self._settings.directory / "nodes"
        keys = {path.stem: path.read_bytes() for path in sorted(folder.glob("*.pub"))}
        if keys == self._admitted and (self._settings.home / NODES_FILE).exists():
            return
        nodes = {
            str(self._connected().register(school, folder / f"{school}.pub")): school
            for school in keys
        }
        content = json.dumps(nodes, indent=2).encode()
        write_private(self._settings.home / NODES_FILE, content, replace=True)
        self._admitted = keys

    def _write_state(self) -> None:
        """For ``fedtrace consortium status``, which is another process."""
        online = {str(node) for node in self._connected().online()}
        nodes: dict[str, str] = json.loads((self._settings.home / NODES_FILE).read_bytes())
        state = {
            "at": self._clock().isoformat(),
            "address": f"{self._settings.hosts[0]}:{self._settings.port}",
            "processes": {c.command.name: c.is_running for c in self._supervisor.children},
            "schools": {school: node in online for node, school in sorted(nodes.items())},
        }
        path = self._settings.directory / STATE_FILE
        staging = path.with_suffix(".new")
        staging.write_text(json.dumps(state, indent=2), encoding="utf-8")
        staging.replace(path)

    def _connected(self) -> Control:
        if self._control is None:
            raise NetworkError("The service has not been started.")
        return self._control
