"""What is different about our SuperNode, seen at Flower's own functions."""

from __future__ import annotations

import shutil
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from flwr.proto.fleet_pb2 import (
    ActivateNodeRequest,
    ActivateNodeResponse,
    DeactivateNodeRequest,
    DeactivateNodeResponse,
)
from flwr.supercore.protobuf.client import ProtobufCall, ProtobufRequestContext
from flwr.supercore.retry import make_simple_http_retry_invoker
from flwr.supernode import fleet_http_connection, start_client_internal
from flwr.supernode.fleet_http_client import FleetHttpClient

from fedtrace.deploy.network import supernode
from fedtrace.deploy.network.provisioning import provision_server

TRIES = 3
HELLO_BYTES = 4096
CLOSE_WITH_RESET = struct.pack("ii", 1, 0)
"""SO_LINGER: on, zero seconds."""


@pytest.fixture(autouse=True)
def _repaired() -> Iterator[None]:
    """What was changed in Flower is put back afterwards."""
    with pytest.MonkeyPatch.context() as before:
        before.setattr(
            fleet_http_connection, "make_simple_http_retry_invoker", make_simple_http_retry_invoker
        )
        for name in ("_pull_and_store_message", "_push_messages"):
            before.setattr(start_client_internal, name, getattr(start_client_internal, name))
        before.setattr(FleetHttpClient, "ActivateNode", FleetHttpClient.ActivateNode)
        supernode.repair()
        supernode.repair()
        yield


def tries(meet: Callable[[socket.socket], None]) -> int:
    """How often a SuperNode connects to a server that does this with every connection."""
    met: list[socket.socket] = []

    def serve() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listening.accept()
                met.append(connection)
                with suppress(OSError):
                    meet(connection)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve)
        thread.start()
        invoker = fleet_http_connection.make_simple_http_retry_invoker()
        invoker.max_tries, invoker.wait_function = TRIES, lambda _: None
        url = f"https://localhost:{listening.getsockname()[1]}"
        with pytest.raises(httpx.TransportError), httpx.Client(timeout=0.2) as client:
            invoker.invoke(client.get, url)
        listening.shutdown(socket.SHUT_RDWR)
        thread.join()
    for connection in met:
        connection.close()
    return len(met)


def test_a_line_that_stalls_in_the_handshake_is_tried_again() -> None:
    assert tries(lambda connection: None) == TRIES


def test_a_line_that_ends_in_the_handshake_is_tried_again() -> None:
    def end(connection: socket.socket) -> None:
        connection.recv(HELLO_BYTES)
        connection.close()

    assert tries(end) == TRIES


def test_a_line_that_breaks_in_the_handshake_is_tried_again() -> None:
    def reset(connection: socket.socket) -> None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, CLOSE_WITH_RESET)
        connection.close()

    assert tries(reset) == TRIES


def test_a_certificate_that_is_not_trusted_is_not_tried_again(tmp_path: Path) -> None:
    identity = provision_server(tmp_path, hosts=["localhost"], now=datetime.now(UTC))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(identity.certificate, identity.private_key)

    def greet(connection: socket.socket) -> None:
        context.wrap_socket(connection, server_side=True).close()

    assert tries(greet) == 1


def test_a_server_that_speaks_no_tls_is_not_tried_again() -> None:
    def answer(connection: socket.socket) -> None:
        connection.recv(HELLO_BYTES)
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    assert tries(answer) == 1


NODE_ID = 7


class SuperLink:
    """Lets a node connect that is not online, and go by its own id only, as Flower's does."""

    def __init__(self) -> None:
        self.online = False
        self.asked: list[str] = []

    def intercept(self, context: ProtobufRequestContext, call_next: ProtobufCall) -> httpx.Response:
        del call_next
        self.asked.append(type(context.message).__name__)
        if isinstance(context.message, DeactivateNodeRequest):
            self.online = self.online and context.message.node_id != NODE_ID
            return _answer(context, DeactivateNodeResponse())
        if self.online:
            return httpx.Response(httpx.codes.BAD_REQUEST, request=context.request)
        self.online = True
        return _answer(context, ActivateNodeResponse(node_id=NODE_ID))

    def activate(self) -> int:
        """A SuperNode's first request."""
        with FleetHttpClient.from_server_address("localhost:1", True, None, [self]) as client:
            answer: int = client.ActivateNode(ActivateNodeRequest(public_key=b"a key")).node_id
        return answer


def _answer(
    context: ProtobufRequestContext, message: ActivateNodeResponse | DeactivateNodeResponse
) -> httpx.Response:
    headers = {"content-type": "application/protobuf"}
    content = message.SerializeToString()
    return httpx.Response(200, headers=headers, content=content, request=context.request)


@pytest.fixture
def superlink(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SuperLink:
    monkeypatch.setenv("FLWR_HOME", str(tmp_path))
    return SuperLink()


def test_a_killed_supernodes_place_is_taken_at_once(superlink: SuperLink) -> None:
    assert [superlink.activate(), superlink.activate()] == [NODE_ID, NODE_ID]
    activate, deactivate = "ActivateNodeRequest", "DeactivateNodeRequest"
    assert superlink.asked == [activate, activate, deactivate, activate]


@pytest.mark.parametrize("elsewhere", ["another machine", "another home", "after a power cut"])
def test_a_copys_is_not(
    superlink: SuperLink, elsewhere: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    superlink.activate()
    if elsewhere == "another machine":
        monkeypatch.setattr(socket, "gethostname", lambda: "copy")
    elif elsewhere == "another home":
        copy = shutil.copytree(tmp_path, tmp_path / "copy")
        monkeypatch.setenv("FLWR_HOME", str(copy))
    else:
        (tmp_path / "boot_id").write_text("another start")
        monkeypatch.setattr(supernode, "_BOOT", tmp_path / "boot_id")
    with pytest.raises(httpx.HTTPStatusError):
        superlink.activate()
    assert superlink.online
    assert "DeactivateNodeRequest" not in superlink.asked


@pytest.mark.parametrize("content", [None, b"", b"[]", b"{}", b'{"node": "x"}', b"\xff"])
def test_nor_one_of_which_nothing_is_known(
    superlink: SuperLink, content: bytes | None, tmp_path: Path
) -> None:
    superlink.activate()
    (tmp_path / "last-node.json").unlink()
    if content is not None:
        (tmp_path / "last-node.json").write_bytes(content)
    with pytest.raises(httpx.HTTPStatusError):
        superlink.activate()
    assert superlink.online


def test_where_the_disk_is_full_it_connects_all_the_same(
    superlink: SuperLink, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLWR_HOME", str(tmp_path / "no-such-folder"))
    assert superlink.activate() == NODE_ID


def test_a_system_that_does_not_say_when_it_was_started_waits_as_flower_does(
    superlink: SuperLink, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supernode, "_BOOT", tmp_path / "not-there")
    assert superlink.activate() == NODE_ID
    with pytest.raises(httpx.HTTPStatusError):
        superlink.activate()
    assert list(tmp_path.iterdir()) == []
