"""The command lines of a deployment: which options make Flower's processes the hardened mode.

Each function describes one process and starts nothing. A SuperLink and a superexec run at the
consortium, a SuperNode and a gate at a school, and the front between them.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from fedtrace.deploy.network.environment import RETURNS_MEMORY, flower_environment
from fedtrace.deploy.network.ports import LOOPBACK
from fedtrace.deploy.network.processes import Command
from fedtrace.deploy.network.provisioning import NodeKey, ServerIdentity

SUPERNODE_CONNECTED = r"SuperNode ID: \d+"
"""What a SuperNode logs once the SuperLink has accepted its key."""

_SERVER_SETTINGS = ("FEDTRACE_DATABASE_URL",)  # of the operator's shell, for the ServerApp

GATE = "fedtrace.client.gate:main"
"""The entry point of the worker that answers for a school."""

_FRONT = "fedtrace.deploy.network.front:main"
_SUPERLINK = "fedtrace.deploy.network.superlink:flower_superlink"
_SUPEREXEC = "flwr.supercore.cli:flower_superexec"
_SUPERNODE = "fedtrace.deploy.network.supernode:flower_supernode"

ENTRY_POINTS = (_FRONT, _SUPERLINK, _SUPEREXEC, _SUPERNODE, GATE)
"""What the processes of a deployment run; the ServerApp's is started by the superexec."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsortiumSide:
    """Where the consortium's processes listen and keep their files.

    Attributes:
        directory: Flower's own files: database, logs of runs, one FLWR_HOME a process.
        home: The consortium's home, which the ServerApp opens.
        identity: Certificate and key, shown by front and SuperLink alike.
        secret_file: Shared by SuperLink and superexec.
        superlink_port: On loopback.
        front_host: Address that the front listens on.
        front_port: Its port; the only one that a firewall lets in.
        waits_for_schools: A job is not opened before enough schools have accepted its plan.
    """

    directory: Path
    home: Path
    identity: ServerIdentity
    secret_file: Path
    superlink_port: int
    front_host: str
    front_port: int
    waits_for_schools: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SchoolSide:
    """Where a school's processes listen and keep their files.

    Attributes:
        name: The school.
        directory: Flower's own files of this school.
        home: The school's home, which the gate opens.
        key: The node key that the consortium has registered.
        secret_file: Shared by the SuperNode and the gate.
        ca_certificate: The consortium's CA, as the school received it.
        server_host: The consortium's front.
        server_port: Its port.
        runtime_port: The SuperNode's own API, on loopback.
        threads: How many threads the gate's numerical libraries may use; None for all.
        proxy: The HTTP proxy to the outside, or None for a direct connection.
    """

    name: str
    directory: Path
    home: Path
    key: NodeKey
    secret_file: Path
    ca_certificate: Path
    server_host: str
    server_port: int
    runtime_port: int
    threads: int | None = None
    proxy: str | None = None


def superlink_command(side: ConsortiumSide) -> Command:
    """Flower's server: loopback only, authenticated nodes, no packages installed, on disk."""
    return Command(
        name="superlink",
        entry_point=_SUPERLINK,
        arguments=(
            *("--host", LOOPBACK, "--port", str(side.superlink_port)),
            *("--ssl-ca-certfile", str(side.identity.ca_certificate)),
            *("--ssl-certfile", str(side.identity.certificate)),
            *("--ssl-keyfile", str(side.identity.private_key)),
            *("--isolation", "process"),
            *("--superexec-auth-secret-file", str(side.secret_file)),
            *("--database", str(side.directory / "superlink.db")),
            "--enable-supernode-auth",
            "--disable-runtime-dependency-installation",
        ),
        environment={**flower_environment(side.directory / "superlink"), **RETURNS_MEMORY},
    )


def superexec_command(side: ConsortiumSide) -> Command:
    """What starts the ServerApp's process when a run begins."""
    return Command(
        name="superexec",
        entry_point=_SUPEREXEC,
        arguments=(
            *("--runtime-api-address", f"{LOOPBACK}:{side.superlink_port}"),
            *("--root-certificates", str(side.identity.ca_certificate)),
            *("--superexec-auth-secret-file", str(side.secret_file)),
        ),
        environment={
            **flower_environment(side.directory / "superexec"),
            **RETURNS_MEMORY,
            **{name: os.environ[name] for name in _SERVER_SETTINGS if name in os.environ},
            "FEDTRACE_CONSORTIUM_HOME": str(side.home),
            **({"FEDTRACE_WAIT_FOR_SCHOOLS": "1"} if side.waits_for_schools else {}),
        },
    )


def front_command(side: ConsortiumSide) -> Command:
    """The only process that schools can reach."""
    return Command(
        name="front",
        entry_point=_FRONT,
        arguments=(
            *("--host", side.front_host, "--port", str(side.front_port)),
            *("--certificate", str(side.identity.certificate)),
            *("--private-key", str(side.identity.private_key)),
            *("--upstream", f"https://{LOOPBACK}:{side.superlink_port}"),
            *("--home", str(side.home)),
            *("--ca-certificate", str(side.identity.ca_certificate)),
        ),
        environment={**flower_environment(side.directory / "front"), **RETURNS_MEMORY},
    )


def supernode_command(side: SchoolSide) -> Command:
    """A school's connection: it opens outwards only and runs nothing itself."""
    return Command(
        name=f"{side.name}-supernode",
        entry_point=_SUPERNODE,
        arguments=(
            *("--superlink", f"{side.server_host}:{side.server_port}"),
            *("--root-certificates", str(side.ca_certificate)),
            *("--auth-supernode-private-key", str(side.key.private_key)),
            *("--host", LOOPBACK, "--port", str(side.runtime_port)),
            *("--isolation", "process"),
            *("--superexec-auth-secret-file", str(side.secret_file)),
        ),
        environment={
            **flower_environment(side.directory / "supernode"),
            # In the environment, which other users cannot read: it may have a password.
            **({"HTTPS_PROXY": side.proxy, "NO_PROXY": LOOPBACK} if side.proxy else {}),
        },
    )


def gate_command(side: SchoolSide, *, entry_point: str = GATE) -> Command:
    """The one process of a school that opens its data."""
    return Command(
        name=f"{side.name}-gate",
        entry_point=entry_point,
        arguments=(
            *("--school-home", str(side.home)),
            *("--supernode", f"{LOOPBACK}:{side.runtime_port}"),
            *("--secret-file", str(side.secret_file)),
        ),
        environment=flower_environment(side.directory / "gate", threads=side.threads),
    )
