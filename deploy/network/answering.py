"""A small HTTP server of this process, which answers while a block lasts."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from fedtrace.deploy.network.ports import require_free

_LOOK_SECONDS = 0.05
"""How soon it notices that the block has ended."""


@contextmanager
def answering(
    host: str, port: int, handler: type[BaseHTTPRequestHandler], *, what: str
) -> Iterator[None]:
    """Answer on an address, in threads of its own, until the block ends.

    Args:
        host: the address to listen on.
        port: the port.
        handler: what answers a request.
        what: what it is, for a person whose port is taken.

    Raises:
        PortInUseError: the port is taken.
    """
    require_free(port, what, host=host)
    with ThreadingHTTPServer((host, port), handler) as server:
        threading.Thread(target=server.serve_forever, args=(_LOOK_SECONDS,), daemon=True).start()
        try:
            yield
        finally:
            server.shutdown()
