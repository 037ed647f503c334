"""``POST /add-checkpoint`` over HTTP (https://c2sp.org/tlog-witness).

It listens on loopback unless it is told otherwise; TLS is a front's business, and everything that
is answered is public and signed.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self

from fedtrace.deploy.network.ports import require_free
from fedtrace.governance.errors import Corrupt
from fedtrace.governance.log.proof import PROOF_LIMIT_BYTES
from fedtrace.governance.log.witness import TEXT_TYPE, Response, Witness

logger = logging.getLogger(__name__)

ADD_CHECKPOINT = "/add-checkpoint"
_REQUEST_SECONDS = 10.0


class WitnessService:
    """Answers while its ``with`` block lasts.

    Args:
        host: which address to listen on.
        port: which port.
        witness: what answers.
        now: the clock of the cosignatures.
    """

    def __init__(
        self, host: str, port: int, witness: Witness, *, now: Callable[[], datetime]
    ) -> None:
        self._host, self._port = host, port
        self._witness, self._now = witness, now
        self._server: ThreadingHTTPServer | None = None

    def __enter__(self) -> Self:
        """Begin to answer.

        Raises:
            PortInUseError: the port is taken.
        """
        require_free(self._port, "the witness", host=self._host)
        values = {"witness": self._witness, "now": staticmethod(self._now)}
        handler = type("_Bound", (_Handler,), values)
        self._server = ThreadingHTTPServer((self._host, self._port), handler)
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


class _Handler(BaseHTTPRequestHandler):
    """One path and nothing else."""

    witness: Witness
    now: Callable[[], datetime]
    timeout = _REQUEST_SECONDS
    server_version, sys_version = "fedtrace", ""

    def do_POST(self) -> None:
        if self.path != ADD_CHECKPOINT:
            self._answer(Response(status=404, body=f"POST {ADD_CHECKPOINT}\n".encode()))
            return
        length = self.headers.get("content-length", "")
        if not length.isdecimal() or int(length) > PROOF_LIMIT_BYTES:
            sentence = f"content-length must be a number up to {PROOF_LIMIT_BYTES}\n"
            self._answer(Response(status=400, body=sentence.encode()))
            return
        body = self.rfile.read(int(length))
        try:
            response = self.witness.add_checkpoint(body, now=self.now())
        except (Corrupt, OSError):
            logger.exception("nothing was cosigned: the witness cannot read or write its folder")
            response = Response(status=500, body=b"this witness needs a person\n")
        self._answer(response)

    def do_GET(self) -> None:
        self._answer(Response(status=404, body=f"POST {ADD_CHECKPOINT}\n".encode()))

    def _answer(self, response: Response) -> None:
        self.send_response(response.status)
        self.send_header("content-type", response.content_type or TEXT_TYPE)
        self.send_header("content-length", str(len(response.body)))
        self.send_header("cache-control", "no-store")
        self.send_header("connection", "close")
        self.end_headers()
        self.wfile.write(response.body)
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's name
        """What was cosigned stands in the folder; who asked is nobody's business."""
