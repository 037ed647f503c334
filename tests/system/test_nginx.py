"""The front's form in nginx, asked by a real nginx for what it must not give."""

import re
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
import uvicorn
from support.doors import HOSTILE_METHODS, HOSTILE_PATHS
from support.nginx import NEEDS_NGINX, start_nginx

from fedtrace.deploy.enrolment.routes import ASK, AUTHORITY, LOOK
from fedtrace.deploy.network.certificates import client_context
from fedtrace.deploy.network.front import ROUTES
from fedtrace.deploy.network.ports import accepts, free_ports
from fedtrace.deploy.network.provisioning import ServerIdentity, provision_server

PULL = b"/v1/fleet/pull-messages"
PROTOBUF = b"content-type: application/protobuf\r\n"

pytestmark = [pytest.mark.system, NEEDS_NGINX]


@dataclass
class Behind:
    """Answers everything, and remembers it: what reaches it has come through nginx."""

    asked: list[tuple[str, bytes, dict[bytes, bytes], bytes]] = field(default_factory=list)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body, more = b"", True
        while more:
            event = await receive()
            if event["type"] == "http.disconnect":
                return
            body, more = body + event["body"], event["more_body"]
        headers = dict(scope["headers"])
        self.asked.append((scope["method"], scope["raw_path"], headers, body))
        length = [(b"content-length", b"6")]
        await send({"type": "http.response.start", "status": 200, "headers": length})
        await send({"type": "http.response.body", "body": b"answer"})


@dataclass
class Door:
    """A running nginx, and what stands behind it."""

    port: int
    identity: ServerIdentity
    behind: Behind

    def send(self, raw: bytes, context: ssl.SSLContext | None = None) -> bytes:
        """Bytes as they are; everything that comes back until the end of the connection."""
        context = context or client_context(self.identity.ca_certificate)
        plain = socket.create_connection(("127.0.0.1", self.port), timeout=10)
        with context.wrap_socket(plain, server_hostname="localhost") as connection:
            connection.sendall(raw)
            answer = b""
            try:
                while part := connection.recv(65536):
                    answer += part
            except (ConnectionError, ssl.SSLError):
                pass  # closed in the middle of an answer: what came is the answer
            return answer

    def ask(self, method: str, path: bytes, headers: bytes = PROTOBUF, body: bytes = b"x") -> bytes:
        head = method.encode() + b" " + path + b" HTTP/1.1\r\nhost: localhost\r\n"
        length = b"content-length: %d\r\nconnection: close\r\n\r\n" % len(body)
        return self.send(head + headers + length + body)


def status(answer: bytes) -> int:
    """0 for a connection that was closed without an answer."""
    found = re.match(rb"HTTP/1\.1 (\d{3}) ", answer)
    return int(found[1]) if found else 0


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    folder = tmp_path_factory.mktemp("nginx")
    identity = provision_server(folder / "network", hosts=["localhost"], now=datetime.now(UTC))
    public, inner = free_ports(2)
    behind = Behind()
    config = uvicorn.Config(
        behind,
        port=inner,
        ssl_certfile=identity.certificate,
        ssl_keyfile=identity.private_key,
        lifespan="off",
        ws="none",
        log_level="error",
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    process = start_nginx(folder, folder, public=f"127.0.0.1:{public}", inner=f"127.0.0.1:{inner}")
    try:
        until = time.monotonic() + 20
        while not (accepts(public) and accepts(inner)) and time.monotonic() < until:
            time.sleep(0.05)
        yield Door(public, identity, behind)
    finally:
        process.terminate()
        process.wait(10)
        server.should_exit = True
        thread.join(10)


@pytest.mark.parametrize(
    ("method", "path"),
    [*(("POST", path) for path in sorted(ROUTES | {ASK, LOOK})), ("GET", AUTHORITY)],
)
def test_what_is_published_passes_unchanged(door: Door, method: str, path: bytes) -> None:
    answer = door.ask(method, path)
    assert status(answer) == 200
    assert answer.endswith(b"answer")
    found = door.behind.asked[-1]
    assert (found[0], found[1], found[3]) == (method, path, b"x")


def nothing_reaches(door: Door, method: str, path: bytes, **changes: bytes) -> int:
    before = len(door.behind.asked)
    found = status(door.ask(method, path, **changes))
    assert len(door.behind.asked) == before
    return found


@pytest.mark.parametrize("path", HOSTILE_PATHS)
def test_nothing_else_does(door: Door, path: bytes) -> None:
    assert nothing_reaches(door, "POST", path) in (0, 400, 404)


@pytest.mark.parametrize("method", HOSTILE_METHODS)
def test_other_methods_do_not_pass(door: Door, method: str) -> None:
    assert nothing_reaches(door, method, PULL) in (0, 400, 404, 405)


@pytest.mark.parametrize("path", [PULL + b"?a=1", PULL + b"?", LOOK + b"?a=1", b"/v1/enrolment/x"])
def test_a_query_does_not_pass(door: Door, path: bytes) -> None:
    assert nothing_reaches(door, "POST", path) == 404


@pytest.mark.parametrize("headers", [b"", b"content-type: application/json\r\n"])
def test_other_content_does_not_pass(door: Door, headers: bytes) -> None:
    assert nothing_reaches(door, "POST", PULL, headers=headers) == 415


def test_bodies_over_the_limit_do_not_pass(door: Door) -> None:
    assert nothing_reaches(door, "POST", ASK, body=bytes(64 * 1024 + 1)) == 413
    head = b"POST " + PULL + b" HTTP/1.1\r\nhost: localhost\r\n" + PROTOBUF
    before = len(door.behind.asked)
    too_long = head + b"content-length: %d\r\nconnection: close\r\n\r\n" % (64 * 1024**2 + 1)
    assert status(door.send(too_long)) == 413
    assert len(door.behind.asked) == before


def test_only_headers_on_the_list_pass(door: Door) -> None:
    hostile = b"flwr-task-token: stolen\r\nauthorization: x\r\nx-forwarded-for: 127.0.0.1\r\n"
    answer = door.ask("POST", PULL, PROTOBUF + b"flwr-signature: c2ln\r\n" + hostile)
    asked = door.behind.asked[-1][2]
    assert asked[b"flwr-signature"] == b"c2ln"
    assert not {b"flwr-task-token", b"authorization", b"x-forwarded-for", b"cookie"} & set(asked)
    head = answer.partition(b"\r\n\r\n")[0].lower()
    assert b"strict-transport-security: max-age=" in head
    assert b"x-content-type-options: nosniff" in head
    assert b"\r\ndate: " in head  # a school compares its clock


def test_older_tls_fails(door: Door) -> None:
    older = client_context(door.identity.ca_certificate)
    older.minimum_version = ssl.TLSVersion.TLSv1_2
    older.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises((ssl.SSLError, ConnectionError)):
        door.send(b"GET / HTTP/1.1\r\n\r\n", older)
