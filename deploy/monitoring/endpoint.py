"""``/live``, ``/ready`` and ``/metrics`` on loopback, for a service manager and a Prometheus agent.

Never on the public port and never on another address: how much of its budget a consortium has
spent is nobody's business on a network. An agent on the same machine fetches it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from contextlib import AbstractContextManager
from http.server import BaseHTTPRequestHandler
from typing import Protocol

from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4, CollectorRegistry, generate_latest
from prometheus_client.core import Metric

from fedtrace.deploy.network.answering import answering
from fedtrace.deploy.network.ports import LOOPBACK

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


def endpoint(port: int, view: View) -> AbstractContextManager[None]:
    """Answer while the block lasts.

    Args:
        port: on loopback.
        view: what is shown.

    Raises:
        PortInUseError: when the block begins and the port is taken.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Described(view))
    handler = type("_Bound", (_Handler,), {"view": view, "registry": registry})
    return answering(LOOPBACK, port, handler, what="health and metrics")


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
