"""A school's side as a service: SuperNode and gate, kept alive; one connection, outwards only.

``<home>/network/node.json`` says where the consortium is. A consortium that is away, for a minute
or for a day, is waited for; the node comes back by itself.
"""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Annotated, Self

import httpx
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fedtrace.client.files import write_private
from fedtrace.client.home import school_name
from fedtrace.deploy.network.commands import (
    SUPERNODE_CONNECTED,
    SchoolSide,
    gate_command,
    supernode_command,
)
from fedtrace.deploy.network.errors import NetworkError
from fedtrace.deploy.network.keeping import Keeper, Observation
from fedtrace.deploy.network.ports import free_ports
from fedtrace.deploy.network.processes import Probe, Supervisor, has_logged
from fedtrace.deploy.network.provisioning import (
    NodeKey,
    private_directory,
    provision_node,
    provision_superexec_secret,
)

NODE_FILE = "node.json"
CA_FILE = "ca.pem"
JOINING_FILE = "joining.json"

_GATE_READY = "gate ready"
_ANSWER_SECONDS = 30.0  # an answer that is broken off has been paid for and is worth nothing
_GATE_SECONDS = 120.0  # torch is imported first, on a machine that may be slow

Host = Annotated[str, Field(pattern=r"^[A-Za-z0-9]([A-Za-z0-9.:-]{0,251}[A-Za-z0-9])?$")]


class Connection(BaseModel):
    """Where a school's node connects to.

    Attributes:
        school: its name in the charter.
        host: the consortium's name or address, as in its certificate.
        port: of its front.
        proxy: ``http://[USER:PASSWORD@]HOST:PORT`` where the school's network needs one.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    school: str
    host: Host
    port: Annotated[int, Field(ge=1, le=65535)]
    proxy: Annotated[str, Field(pattern=r"^http://[^\s/]+:[0-9]{1,5}/?$")] | None = None


def proxy_refusal(connection: Connection, error: httpx.ProxyError) -> str:
    """Why the school's own proxy opens no way, and what to do; never with its password."""
    proxy = httpx.URL(connection.proxy or "").copy_with(userinfo=b"")
    if str(error).startswith(str(int(httpx.codes.PROXY_AUTHENTICATION_REQUIRED))):
        return (
            f"the proxy {proxy} asks for a login and does not take the one it was given, or was "
            "given none: ask your network's administrator for user and password, and give "
            "--proxy http://USER:PASSWORD@HOST:PORT (write @ as %40, : as %3A, / as %2F in them)"
        )
    return (
        f"the proxy {proxy} does not let us through to {connection.host}:{connection.port} "
        f"({error}): ask your network's administrator to allow CONNECT to it"
    )


def connection_to(school: str, server: str, proxy: str | None) -> Connection:
    """A connection from what a person types.

    Args:
        school: the school's name.
        server: ``HOST:PORT``.
        proxy: a proxy's URL, or None.

    Raises:
        ValueError: one of them has not that form.
    """
    host, _, port = server.rpartition(":")
    if not host or not port.isdecimal():
        raise ValueError(f"{server!r} is not HOST:PORT, as in fed.example.org:8443")
    try:
        return Connection(school=school, host=host, port=int(port), proxy=proxy)
    except ValidationError as error:
        where = str(error.errors()[0]["loc"][0])  # the value may hold a password
        wanted = {"proxy": "http://[USER:PASSWORD@]HOST:PORT", "port": "1 to 65535"}
        raise ValueError(f"{where} must be {wanted.get(where, 'a name or an address')}") from error


def connect(home: Path, connection: Connection, ca_certificate: bytes) -> NodeKey:
    """Write down where the consortium is and whom to trust, and make the node's key.

    Returns:
        The key; its public half goes to the consortium.

    Raises:
        OSError: a file cannot be written.
    """
    directory = private_directory(home / "network")
    write_private(directory / CA_FILE, ca_certificate, replace=True)
    content = connection.model_dump_json(indent=2).encode()  # 0600: a proxy may have a password
    write_private(directory / NODE_FILE, content, replace=True)
    return provision_node(directory)


def connection_of(home: Path) -> Connection:
    """Where a school's node connects to.

    Raises:
        NetworkError: it was never said, or the file is damaged.
    """
    path = home / "network" / NODE_FILE
    try:
        return Connection.model_validate_json(path.read_bytes())
    except FileNotFoundError as error:
        raise NetworkError(
            f"{home} does not know its consortium yet: run `fedtrace school join INVITE` first."
        ) from error
    except ValidationError as error:
        raise NetworkError(
            f"{path} is damaged: write it again with `fedtrace school connect HOST:PORT`."
        ) from error


def forget(home: Path) -> None:
    """Destroy the key that the node connects with, and what it knows of its consortium.

    Raises:
        OSError: a file cannot be removed.
    """
    for name in ("node.key", "node.pub", NODE_FILE, CA_FILE, JOINING_FILE):
        (home / "network" / name).unlink(missing_ok=True)


def reconnect(home: Path, server: str, proxy: str | None) -> Connection:
    """Another address of the same consortium, or another proxy; keys and trust stay.

    Raises:
        NetworkError: the school has not joined yet.
        ValueError: address or proxy has not the form that it needs.
        OSError: the file cannot be written; the old address is in force.
    """
    directory = home / "network"
    if not (directory / CA_FILE).exists():
        raise NetworkError(f"{home} has not joined yet: fedtrace school join INVITE")
    connection = connection_to(school_name(home), server, proxy)
    content = connection.model_dump_json(indent=2).encode()
    write_private(directory / NODE_FILE, content, replace=True)
    return connection


class SchoolService:
    """The running node: ``with SchoolService(home) as service``, then `tick` once a second.

    Args:
        home: the school's.

    Raises:
        NetworkError: the consortium is not known.
    """

    def __init__(self, home: Path) -> None:
        connection = connection_of(home)
        directory = home / "network"
        self._side = SchoolSide(
            name=connection.school,
            directory=directory,
            home=home,
            key=provision_node(directory),
            secret_file=provision_superexec_secret(directory / "superexec" / "secret"),
            ca_certificate=directory / CA_FILE,
            server_host=connection.host,
            server_port=connection.port,
            runtime_port=free_ports(1)[0],
            threads=os.cpu_count(),
            proxy=connection.proxy,
        )
        self._supervisor = Supervisor(directory / "logs", patience_seconds=_ANSWER_SECONDS)
        # A gate that ends leaves its SuperNode to wait a minute for the answer to the task which it
        # had claimed; a new one is handed the order again at once.
        names = gate_command(self._side).name, supernode_command(self._side).name
        self._keeper = Keeper(self._supervisor, along=dict([names]))
        self._is_connected: Probe = lambda: False
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        """Start the gate, then the connection.

        Raises:
            NotReadyError: the gate ended early or was not ready in time.
        """
        with ExitStack() as started:
            started.enter_context(self._supervisor)
            gate = self._supervisor.start(gate_command(self._side))
            ready = {gate.command.name: has_logged(gate, _GATE_READY)}
            self._supervisor.wait(ready, seconds=_GATE_SECONDS)
            # After the gate, so that its end does not count as the service's: the SuperLink lets a
            # node that was killed connect again only when the old connection has timed out.
            node = self._supervisor.start(supernode_command(self._side))
            self._is_connected = has_logged(node, SUPERNODE_CONNECTED)
            self._stack = started.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    def tick(self) -> tuple[str, ...]:
        """Start again what ended; returns the names."""
        return self._keeper.tick()

    @property
    def observed(self) -> Observation:
        """How the processes were a moment ago."""
        return self._keeper.observed

    def is_connected(self) -> bool:
        """Whether the consortium has accepted the node since it was started."""
        return self._is_connected()
