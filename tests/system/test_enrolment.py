"""From nothing to members by the commands of people: invite, join, approve, found, run, revoke."""

from __future__ import annotations

import json
import ssl
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from support.commands import approve, consortium_status, fedtrace, service, until
from support.proxy import proxy_with_login

from fedtrace.deploy.enrolment.invites import read_invite
from fedtrace.deploy.network.certificates import client_context
from fedtrace.deploy.network.ports import free_ports
from fedtrace.server.consortium import read_charter

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]


OUTSIDE = "fed.example"  # a name that only a school's proxy can reach


@dataclass(frozen=True)
class Server:
    """A consortium that serves and has no charter yet."""

    home: Path
    port: int

    def invite(self, school: str) -> str:
        return fedtrace("consortium", "invite", school, "--home", self.home)

    def states(self) -> dict[str, str]:
        listed = json.loads(fedtrace("consortium", "members", "--home", self.home, "--json"))
        return {row["school"]: row["state"] for row in listed}

    def schools(self) -> dict[str, bool | None]:
        """Member -> whether its node is connected."""
        found: dict[str, bool | None] = consortium_status(self.home)["schools"]
        return found


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    home = tmp_path_factory.mktemp("west") / "consortium"
    (port,) = free_ports(1)
    fedtrace(
        *("consortium", "init", "--home", home, "--name", "west", "--host", "localhost"),
        *("--host", OUTSIDE, "--port", port, "--listen", "127.0.0.1"),
    )
    with service("consortium", "serve", "--home", home, ready="authority"):
        yield Server(home, port)


def test_an_invite_for_another_server_sends_nothing(server: Server, tmp_path: Path) -> None:
    read = read_invite(server.invite("east"), now=datetime.now(UTC))
    forged = read.model_copy(update={"authority": "sha256:" + "0" * 64})
    said = fedtrace("school", "join", forged.to_line(), "--home", tmp_path / "east", expect=4)
    assert "it is another server, or somebody stands between" in said
    assert not (tmp_path / "east").exists()
    assert server.states()["east"].startswith("invited until")


def test_what_a_school_can_reach_before_it_is_a_member(server: Server) -> None:
    context = client_context(server.home / "network" / "ca.pem")
    with httpx.Client(verify=context, base_url=f"https://localhost:{server.port}") as client:
        for path in ("/v1/control/list-nodes", "/v1/enrolment/", "/charter.json", "/"):
            assert client.get(path).status_code == 404
            assert client.post(path, json={}).status_code == 404
        assert client.post("/v1/enrolment/ask", content=b"x" * 70_000).status_code == 413
        assert client.post("/v1/enrolment/ask", content=b"x").status_code == 400
    anybody = ssl.create_default_context()  # trusts the authorities of the web, not this one
    with httpx.Client(verify=anybody) as client, pytest.raises(httpx.HTTPError):
        client.get(f"https://localhost:{server.port}/v1/enrolment/authority")


def test_two_schools_become_members_and_one_leaves(server: Server, tmp_path: Path) -> None:
    """Each school types two commands, ``join`` and ``run``; the second one waits for the people."""
    homes = {name: tmp_path / name for name in ("north", "south")}
    invites: list[str] = []
    with ExitStack() as running:
        for name, home in homes.items():
            invite = server.invite(name)
            first = fedtrace("school", "join", invite, "--home", home)
            assert fedtrace("school", "join", invite, "--home", home) == first
            said = fedtrace("school", "join", invite, "--home", tmp_path / "thief", expect=4)
            assert "used with other keys" in said
            invites.append(invite)
            running.enter_context(service("school", "run", "--home", home, ready="says: asked"))
            assert not (home / "school.toml").exists()
        key = (homes["south"] / "network" / "node.key").read_bytes()
        fedtrace("school", "join", invites[0], "--home", homes["south"], expect=4)
        assert (homes["south"] / "network" / "node.key").read_bytes() == key, "nothing is lost"
        for name in homes:
            approve(server.home, name)
        fedtrace("consortium", "revoke", "east", "--home", server.home)
        charter = fedtrace("consortium", "found", "--home", server.home).split()[5]
        until(lambda: server.schools() == {"north": True, "south": True})
        assert server.states() == {"east": "revoked", "north": "member", "south": "member"}
        assert read_charter(server.home).digest() == charter
        for home in homes.values():
            assert (home / "charter.json").read_bytes() == (
                server.home / "charter.json"
            ).read_bytes()

        before = (server.home / "network" / "ca.pem").read_bytes()
        shown = ssl.get_server_certificate(("127.0.0.1", server.port))
        fedtrace("consortium", "renew", "--home", server.home)
        until(lambda: certificate(server) not in (shown, None))
        assert (server.home / "network" / "ca.pem").read_bytes() == before
        until(lambda: server.schools() == {"north": True, "south": True})

        said = fedtrace("school", "leave", "--home", homes["south"], expect=2)
        assert "add --yes" in said
        fedtrace("school", "leave", "--home", homes["south"], "--yes")
        fedtrace("consortium", "revoke", "south", "--home", server.home)
        until(lambda: server.schools() == {"north": True, "south": None})


def test_a_school_behind_a_proxy_with_a_login(server: Server, tmp_path: Path) -> None:
    """The wrong password costs one sentence; with the right one, joining and waiting go through."""
    home = tmp_path / "west"
    read = read_invite(server.invite("hill"), now=datetime.now(UTC))
    invite = read.model_copy(update={"host": OUTSIDE}).to_line()
    join = ("school", "join", invite, "--home", home, "--proxy")
    with proxy_with_login("it:room@12") as proxy:
        said = fedtrace(*join, proxy.url("it:wrong"), expect=4)
        assert "does not take the one it was given" in said
        assert "wrong" not in said
        assert not home.exists(), "nothing is made before the way is open"
        fedtrace(*join, proxy.url("it:room%4012"))
        asked = len(proxy.opened)
        assert set(proxy.opened) == {f"{OUTSIDE}:{server.port}"}
        with service("school", "run", "--home", home, ready="says: asked"):
            assert len(proxy.opened) > asked
    fedtrace("consortium", "revoke", "hill", "--home", server.home)


def certificate(server: Server) -> str | None:
    """What the front shows now; None in the moment in which it starts again."""
    try:
        return ssl.get_server_certificate(("127.0.0.1", server.port))
    except OSError:
        return None
