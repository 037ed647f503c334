"""Where a consortium's server is reached: ``<home>/network/address.json``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fedtrace.client.files import write_private
from fedtrace.deploy.network.errors import NetworkError
from fedtrace.deploy.network.node import Host
from fedtrace.deploy.network.ports import LOOPBACK
from fedtrace.deploy.network.provisioning import private_directory
from fedtrace.governance.document import Name

ADDRESS_FILE = "network/address.json"


class Address(BaseModel):
    """Where schools find the server.

    Attributes:
        consortium: its name; its log's origin will be ``<name>/log``.
        hosts: names and addresses under which schools connect; the first goes into invites.
        port: the one public port.
        listen: the address that the server listens on.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    consortium: Name
    hosts: Annotated[tuple[Host, ...], Field(min_length=1, max_length=20)]
    port: Annotated[int, Field(ge=1, le=65535)] = 8443
    listen: str = "0.0.0.0"  # noqa: S104 - schools come from everywhere

    @property
    def certified(self) -> tuple[str, ...]:
        """What the certificate is for: the SuperLink shows it too, on loopback."""
        return (*self.hosts, LOOPBACK)


def address_from(name: str, hosts: tuple[str, ...], *, port: int, listen: str) -> Address:
    """An address from what a person types.

    Raises:
        ValueError: the name or a host has not the form that it needs.
    """
    try:
        return Address(consortium=name, hosts=hosts, port=port, listen=listen)
    except ValidationError as error:
        if error.errors()[0]["loc"][0] == "consortium":
            raise ValueError(
                f"{name!r} cannot be a consortium's name: letters, digits, dots, hyphens and "
                "underscores, at most 64"
            ) from error
        raise ValueError(f"{', '.join(hosts)}: a host is a name or an IP address") from error


def write_address(home: Path, address: Address) -> None:
    """Keep the address; certificates follow by themselves.

    Raises:
        OSError: it cannot be written; the old one is in force.
    """
    private_directory(home / "network")
    content = address.model_dump_json(indent=2).encode()
    write_private(home / ADDRESS_FILE, content, replace=True)


def read_address(home: Path) -> Address:
    """The address that was given to this home.

    Raises:
        NetworkError: none was given yet, or the file is damaged.
    """
    path = home / ADDRESS_FILE
    try:
        return Address.model_validate_json(path.read_bytes())
    except FileNotFoundError as error:
        raise NetworkError(
            f"{home} has no address yet: fedtrace consortium init --home {home} --name NAME --host "
            "NAME-OF-THIS-SERVER"
        ) from error
    except ValidationError as error:
        raise NetworkError(f"{path} is damaged: write it again with consortium init") from error
