"""What is different about our SuperNode, seen at Flower's own functions."""

from __future__ import annotations

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
from flwr.supercore.retry import make_simple_http_retry_invoker
from flwr.supernode import fleet_http_connection, start_client_internal

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
        before.setattr(start_client_internal, "pull_objects", start_client_internal.pull_objects)
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
