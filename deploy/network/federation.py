"""A whole federation of real processes on this machine, as ``fedtrace demo`` uses it.

The same processes with the same options as in a deployment, each with its own files; only the
addresses are loopback's and one parent supervises both sides. SuperLink, front and the schools'
gates start together, because importing is what takes time; as soon as the SuperLink answers,
nodes are registered and what connects to it follows. Earlier it would back off and come late.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from fedtrace.client.bundle import PLAN_DIGEST_KEY, build_fab
from fedtrace.deploy.network.certificates import require_certificate
from fedtrace.deploy.network.commands import (
    GATE,
    SUPERNODE_CONNECTED,
    ConsortiumSide,
    SchoolSide,
    front_command,
    gate_command,
    superexec_command,
    superlink_command,
    supernode_command,
)
from fedtrace.deploy.network.control import Control, RunStatus
from fedtrace.deploy.network.errors import NotReadyError, RunFailedError
from fedtrace.deploy.network.nursery import Nursery, threads_per_school
from fedtrace.deploy.network.ports import LOOPBACK, free_ports, require_free
from fedtrace.deploy.network.processes import Child, Supervisor, has_logged, listens_on
from fedtrace.deploy.network.provisioning import (
    provision_node,
    provision_server,
    provision_superexec_secret,
)

HOST = "localhost"
"""The name under which schools reach the front; the server's certificate is issued for it."""

_GATE_READY = "gate ready"
_SUPERLINK_SECONDS = 60.0
_SCHOOLS_SECONDS = 90.0  # torch is imported once a school, on a machine that may be slow
_POLL_SECONDS = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class FederationSettings:
    """What a loopback federation is made of.

    Attributes:
        directory: Keys, certificates, Flower's files and logs.
        consortium_home: The consortium's home; ``nodes.json`` is written there.
        school_homes: Home of each school by its name.
        front_port: A fixed port for the front, or None for any free one.
        gate_entry_point: The worker of the schools; tests put scripted ones here.
    """

    directory: Path
    consortium_home: Path
    school_homes: Mapping[str, Path]
    front_port: int | None = None
    gate_entry_point: str = GATE


class Federation:
    """A running federation: ``with Federation(settings, now=...) as federation``.

    Entering starts everything and returns when all schools are connected; leaving ends every
    process. Both happen on the main thread.

    Args:
        settings: Where everything is kept.
        now: From when the server's certificate is valid, if it has to be made.
        nursery: Starts the processes; None for a new interpreter each, as in a deployment.
    """

    def __init__(
        self, settings: FederationSettings, *, now: datetime, nursery: Nursery | None = None
    ) -> None:
        self._settings = settings
        self._supervisor = Supervisor(settings.directory / "logs", nursery)
        self._consortium, self._schools = _sides(settings, now)
        self._control: Control | None = None
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        """Start all processes.

        Raises:
            PortInUseError: The front's port is taken.
            CertificateMismatchError: The certificate found in the directory is not for this host.
            NotReadyError: A process ended early or was not ready in time.
        """
        require_free(self._consortium.front_port, "the front that schools connect to")
        with ExitStack() as started:
            started.enter_context(self._supervisor)
            self._start(started)
            self._stack = started.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    @property
    def front_address(self) -> tuple[str, int]:
        """Host and port that schools connect to."""
        return HOST, self._consortium.front_port

    @property
    def superlink_port(self) -> int:
        """The SuperLink's port on loopback, which no school can reach."""
        return self._consortium.superlink_port

    @property
    def ca_certificate(self) -> Path:
        """What a school needs in order to trust the front."""
        return self._consortium.identity.ca_certificate

    @property
    def children(self) -> tuple[Child, ...]:
        """The processes that were started, in order."""
        return self._supervisor.children

    def start_run(self, plan_digest: str) -> int:
        """Start the job of an activated plan; returns Flower's id of the run."""
        return self._connected().start_run(build_fab(), {PLAN_DIGEST_KEY: plan_digest})

    def status(self, run_id: int) -> RunStatus:
        """How far a run is."""
        return self._connected().status(run_id)

    def wait(
        self, run_id: int, *, seconds: float, tick: Callable[[RunStatus], None] = lambda _: None
    ) -> None:
        """Wait until a run has completed.

        Args:
            run_id: The run.
            seconds: The longest to wait.
            tick: Called with the status a few times a second, for showing progress.

        Raises:
            RunFailedError: The run ended otherwise; the text is Flower's.
            NotReadyError: It had not ended in time.
        """
        deadline = time.monotonic() + seconds
        while not (status := self.status(run_id)).is_finished:
            tick(status)
            if time.monotonic() > deadline:
                raise NotReadyError(f"Run {run_id} is still {status.phase} after {seconds:g} s.")
            time.sleep(_POLL_SECONDS)
        tick(status)
        if status.outcome != "completed":
            raise RunFailedError(f"Run {run_id} ended as {status.outcome}. {status.details}")

    def stop_run(self, run_id: int) -> None:
        """End a run early; schools keep what they have logged."""
        self._connected().stop_run(run_id)

    def kill_school(self, school: str) -> None:
        """End a school's processes at once, as a power cut would."""
        for process in ("gate", "supernode"):
            self._supervisor.kill(f"{school}-{process}")

    def _start(self, started: ExitStack) -> None:
        supervisor = self._supervisor
        consortium = self._consortium
        supervisor.start(front_command(consortium))
        supervisor.start(superlink_command(consortium))
        gates = [
            supervisor.start(gate_command(side, entry_point=self._settings.gate_entry_point))
            for side in self._schools
        ]
        supervisor.wait({"front": listens_on(consortium.front_port)}, seconds=_SUPERLINK_SECONDS)
        require_certificate(HOST, consortium.front_port, ca_certificate=self.ca_certificate)
        supervisor.wait(
            {"superlink": listens_on(consortium.superlink_port)}, seconds=_SUPERLINK_SECONDS
        )
        self._control = started.enter_context(
            Control(f"{LOOPBACK}:{consortium.superlink_port}", self.ca_certificate)
        )
        self._register()
        supervisor.start(superexec_command(consortium))
        supernodes = [supervisor.start(supernode_command(side)) for side in self._schools]
        supervisor.wait(
            {gate.command.name: has_logged(gate, _GATE_READY) for gate in gates}
            | {node.command.name: has_logged(node, SUPERNODE_CONNECTED) for node in supernodes},
            seconds=_SCHOOLS_SECONDS,
        )

    def _register(self) -> None:
        """Admit the schools' keys and write down which node is which school."""
        control = self._connected()
        nodes = {
            str(control.register(side.name, side.key.public_key)): side.name
            for side in self._schools
        }
        path = self._settings.consortium_home / "nodes.json"
        temporary = path.with_suffix(".tmp")
        temporary.write_text(json.dumps(nodes, indent=2), encoding="utf-8")
        temporary.replace(path)

    def _connected(self) -> Control:
        if self._control is None:
            raise NotReadyError("The federation is not running; enter its `with` block first.")
        return self._control


def _sides(
    settings: FederationSettings, now: datetime
) -> tuple[ConsortiumSide, tuple[SchoolSide, ...]]:
    """Choose ports and make keys: everything that processes need before they start."""
    superlink_port, any_port, *runtime_ports = free_ports(2 + len(settings.school_homes))
    consortium = ConsortiumSide(
        directory=settings.directory / "consortium",
        home=settings.consortium_home,
        identity=provision_server(
            settings.directory / "consortium", hosts=(HOST, LOOPBACK), now=now
        ),
        secret_file=provision_superexec_secret(
            settings.directory / "consortium" / "superexec.secret"
        ),
        superlink_port=superlink_port,
        front_host=LOOPBACK,
        front_port=settings.front_port or any_port,
    )
    threads = threads_per_school(len(settings.school_homes))
    schools = tuple(
        SchoolSide(
            name=name,
            directory=settings.directory / "schools" / name,
            home=home,
            key=provision_node(settings.directory / "schools" / name),
            secret_file=provision_superexec_secret(
                settings.directory / "schools" / name / "superexec"
            ),
            ca_certificate=consortium.identity.ca_certificate,
            server_host=HOST,
            server_port=consortium.front_port,
            runtime_port=runtime_port,
            threads=threads,
        )
        for (name, home), runtime_port in zip(
            settings.school_homes.items(), runtime_ports, strict=True
        )
    )
    return consortium, schools
