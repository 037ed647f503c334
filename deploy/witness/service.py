"""``POST /add-checkpoint`` over HTTP (https://c2sp.org/tlog-witness).

It listens on loopback unless it is told otherwise; TLS is a front's business, and everything that
is answered is public and signed.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import datetime
from http.server import BaseHTTPRequestHandler

from fedtrace.deploy.network.answering import answering
from fedtrace.governance.errors import Corrupt
from fedtrace.governance.log.proof import PROOF_LIMIT_BYTES
from fedtrace.governance.log.witness import TEXT_TYPE, Response, Witness

logger = logging.getLogger(__name__)

ADD_CHECKPOINT = "/add-checkpoint"
_REQUEST_SECONDS = 10.0


def witness_service(
    host: str, port: int, witness: Witness, *, now: Callable[[], datetime]
) -> AbstractContextManager[None]:
    """Answer while the block lasts.

    Args:
        host: which address to listen on.
        port: which port.
        witness: what answers.
        now: the clock of the cosignatures.

    Raises:
        PortInUseError: when the block begins and the port is taken.
    """
    handler = type("_Bound", (_Handler,), {"witness": witness, "now": staticmethod(now)})
    return answering(host, port, handler, what="the witness")


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
