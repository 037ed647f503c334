"""An HTTP proxy with a login, as schools have one: it opens tunnels (RFC 9110, section 9.3.6)."""

from __future__ import annotations

import base64
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from socketserver import StreamRequestHandler, ThreadingTCPServer
from typing import cast


@dataclass(slots=True)
class Proxy:
    """A proxy on loopback that knows every name as this machine.

    Attributes:
        port: where it listens.
        login: ``USER:PASSWORD`` that it asks for.
        opened: the targets it opened a tunnel to, in order.
        refused: the targets it opened none to, because the login was wrong or missing.
    """

    port: int
    login: str
    opened: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)

    def url(self, login: str | None = None) -> str:
        """What a school gives as ``--proxy``."""
        return f"http://{self.login if login is None else login}@127.0.0.1:{self.port}"


class _Server(ThreadingTCPServer):
    daemon_threads = True
    proxy: Proxy


class _Tunnel(StreamRequestHandler):
    def handle(self) -> None:
        proxy = cast("_Server", self.server).proxy
        method, target, _ = self.rfile.readline().decode("ascii").split()
        headers = {}
        while line := self.rfile.readline().decode("ascii").strip():
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        wanted = "Basic " + base64.b64encode(proxy.login.encode()).decode()
        if method != "CONNECT" or headers.get("proxy-authorization") != wanted:
            proxy.refused.append(target)
            self.wfile.write(
                b"HTTP/1.1 407 Proxy Authentication Required\r\n"
                b'Proxy-Authenticate: Basic realm="school"\r\nContent-Length: 0\r\n\r\n'
            )
            return
        port = int(target.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port)) as upstream:
            proxy.opened.append(target)
            self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            back = threading.Thread(target=_copy, args=(upstream, self.connection), daemon=True)
            back.start()
            _copy(self.connection, upstream)
            back.join()


def _copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while part := source.recv(65536):
            target.sendall(part)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)


@contextmanager
def proxy_with_login(login: str = "it:room-12") -> Iterator[Proxy]:
    """A proxy that runs until the block ends."""
    with _Server(("127.0.0.1", 0), _Tunnel) as server:
        server.proxy = Proxy(port=server.server_address[1], login=login)
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield server.proxy
        finally:
            server.shutdown()
            thread.join()
