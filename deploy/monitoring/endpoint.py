"""``/live``, ``/ready`` and ``/metrics`` on loopback, for a service manager and a Prometheus agent.

Never on the public port and never on another address: how much of its budget a consortium has
spent is nobody's business on a network. An agent on the same machine fetches it.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Protocol, Self

from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4, CollectorRegistry, generate_latest
from prometheus_client.core import Metric

from fedtrace.deploy.network.ports import LOOPBACK, require_free

logger = logging.getLogger(__name__)

_REQUEST_SECONDS = 5.0


class View(Protocol):
    """What is shown; asked from another thread than the service's own."""

    def is_alive(self) -> bool:
        """False where the service hangs and should be killed and started again."""
        ...

    def problems(self) -> tuple[str, ...]:
        """Why it cannot do its work now; empty where it can."""
        ...

    def collect(self) -> Iterable[Metric]:
        """Every metric, as `prometheus_client` registers collectors."""
        ...


class Endpoint:
    """Answers while its ``with`` block lasts.

    Args:
        port: on loopback.
        view: what is shown.
    """

    def __init__(self, port: int, view: View) -> None:
        self._port, self._view = port, view
        self._server: ThreadingHTTPServer | None = None

    def __enter__(self) -> Self:
        """Begin to answer.

        Raises:
            PortInUseError: the port is taken.
        """
        require_free(self._port, "health and metrics", host=LOOPBACK)
        registry = CollectorRegistry(auto_describe=False)
        registry.register(_Described(self._view))
        handler = type("_Bound", (_Handler,), {"view": self._view, "registry": registry})
        self._server = ThreadingHTTPServer((LOOPBACK, self._port), handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()


class _Described:
    """A collector that says nothing about itself before it is asked."""

    def __init__(self, view: View) -> None:
        self._view = view

    def collect(self) -> Iterable[Metric]:
        return self._view.collect()

    def describe(self) -> Iterable[Metric]:
        return ()


class _Handler(BaseHTTPRequestHandler):
    """Three paths and nothing else."""

    view: View
    registry: CollectorRegistry
    timeout = _REQUEST_SECONDS
    server_version, sys_version = "fedtrace", ""

    def do_GET(self) -> None:
        if self.path == "/live":
            alive = self.view.is_alive()
            self._answer(200 if alive else 503, b"alive\n" if alive else b"the service hangs\n")
        elif self.path == "/ready":
            problems = self.view.problems()
            said = "\n".join(problems) or "ready"
            self._answer(503 if problems else 200, f"{said}\n".encode())
        elif self.path == "/metrics":
            try:
                content = generate_latest(self.registry)
            except Exception:  # the view reads disks and databases
                logger.exception("the metrics could not be collected")
                self._answer(500, b"the metrics could not be collected; the log says why\n")
                return
            self._answer(200, content, CONTENT_TYPE_PLAIN_0_0_4)
        else:
            self._answer(404, b"/live, /ready or /metrics\n")

    def _answer(self, status: int, content: bytes, kind: str = "text/plain; charset=utf-8") -> None:
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(content)))
        self.send_header("cache-control", "no-store")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's name
        """A line a scrape says nothing new."""
