"""The one door that schools can reach: TLS, ten routes of Flower's Fleet API, three for joining.

A SuperLink serves three APIs on one port. Schools need one of them; the Control API, which starts
and stops runs, has no authentication at all. So the SuperLink listens on loopback and this proxy
stands in front of it. A request is passed on only if its method, its path byte for byte and its
content type are those of a route that a SuperNode uses; its query is not passed on, its headers
are those on a list, and its body is counted while it is read.

Models and updates pass through the disk, and a few at a time go to the SuperLink and come from
there. So neither the memory of the front nor that of the SuperLink grows with the number of
schools, and a slow school holds nobody up.

The front also shortens the wait for work. A SuperNode that finds no message sleeps 3 s, which
cannot be changed; the front therefore holds an empty answer back and asks the SuperLink again
for it, so that a message is handed over a moment after it was posted.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import ssl
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import httpx
import uvicorn
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from fedtrace.deploy.enrolment.routes import LARGEST_BODY_BYTES, PREFIX, EnrolmentRoutes
from fedtrace.deploy.network.certificates import client_context
from fedtrace.deploy.network.impatience import ImpatientProtocol
from fedtrace.deploy.network.spool import Spool

logger = logging.getLogger(__name__)

ROUTES = frozenset(
    f"/v1/fleet/{name}".encode("ascii")
    for name in (
        "activate-node",
        "deactivate-node",
        "send-node-heartbeat",
        "pull-messages",
        "push-messages",
        "get-run",
        "get-fab",
        "push-object",
        "pull-object",
        "confirm-message-received",
    )
)
"""All that is published. Registering a node is not: the consortium does that, on its side."""

_PULL = b"/v1/fleet/pull-messages"
_GIVE = b"/v1/fleet/pull-object"

_CONNECTIONS = 32
_MEDIA_TYPE = "application/protobuf"
_REQUEST_HEADERS = frozenset(
    {
        "accept",
        "content-type",
        "flwr-public-key",
        "flwr-timestamp",
        "flwr-signature",
        "flwr-package-name",
        "flwr-package-version",
        "flwr-component-name",
    }
)
_RESPONSE_HEADERS = frozenset({"content-type", "flwr-version-incompatibility-message"})


@dataclass(frozen=True, slots=True, kw_only=True)
class FrontSettings:
    """The limits of the door.

    Attributes:
        upstream: ``https://127.0.0.1:PORT`` of the SuperLink.
        ca_certificate: The CA that issued the SuperLink's certificate.
        spool: The folder whose disk takes what does not belong into memory.
        largest_body_bytes: A longer request is answered 413 and not read to its end.
        body_seconds: A request that takes longer to arrive is answered 408, where long ones have
            the time that they need at ``least_bytes_per_second`` besides.
        least_bytes_per_second: 128 kbit/s.
        large_at_once: How many updates the SuperLink takes at a time, and how many parts of
            models and other messages it gives.
        turn_seconds: Who waits longer for its turn is answered 503 and comes back by itself.
        upstream_seconds: A SuperLink that takes longer is answered for with 504.
        hold_seconds: How long an empty answer to a pull is held back; well below the 30 s after
            which a SuperNode gives a request up, and the 300 s for which its signature holds.
        pulls_per_second: How often the SuperLink is asked for all held schools together.
    """

    upstream: str
    ca_certificate: Path
    spool: Path
    largest_body_bytes: int = 64 * 1024 * 1024
    body_seconds: float = 60.0
    least_bytes_per_second: int = 16 * 1024
    large_at_once: int = 4
    turn_seconds: float = 20.0
    upstream_seconds: float = 25.0
    hold_seconds: float = 15.0
    pulls_per_second: float = 6.0


class Front:
    """The ASGI application; see the module's text for what it lets through.

    Args:
        settings: Limits, and where the SuperLink is.
        enrolment: Answers schools that want to join; None where nobody can.
        transport: How it is reached; None for TLS that trusts the consortium's CA alone.
    """

    def __init__(
        self,
        settings: FrontSettings,
        *,
        enrolment: EnrolmentRoutes | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._settings, self._enrolment = settings, enrolment
        self._held = 0  # schools that wait for work at this moment
        self._work = asyncio.Event()  # set, and replaced, when one of them has got some
        self._taking = asyncio.Semaphore(settings.large_at_once)
        self._giving = asyncio.Semaphore(settings.large_at_once)
        self._client = httpx.AsyncClient(
            base_url=settings.upstream,
            timeout=settings.upstream_seconds,
            trust_env=False,
            transport=transport
            or httpx.AsyncHTTPTransport(
                verify=client_context(settings.ca_certificate),
                trust_env=False,
                # Few that stay open: each is a handshake for both, and a thread over there.
                limits=httpx.Limits(
                    max_connections=_CONNECTIONS, max_keepalive_connections=_CONNECTIONS
                ),
            ),
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one connection event of the server."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "http":
            with (
                suppress(ClientDisconnect),
                Spool(self._settings.spool) as body,
                Spool(self._settings.spool) as answered,
            ):
                response = await self._answer(Request(scope, receive), body, answered)
                await response(scope, receive, send)
        else:
            await send({"type": "websocket.close", "code": 1008})

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self._client.aclose()
        await send({"type": "lifespan.shutdown.complete"})

    async def _answer(self, request: Request, body: Spool, answered: Spool) -> Response:
        """The answer; its content, where it comes from the SuperLink, is in `answered`."""
        path: bytes = request.scope["raw_path"]
        if path.startswith(PREFIX) and self._enrolment is not None:
            return await self._enrol(request, path, body, self._enrolment)
        if request.method != "POST" or path not in ROUTES or request.scope["query_string"]:
            return Response(status_code=404)
        if request.headers.get("content-type") != _MEDIA_TYPE:
            return Response(status_code=415)
        try:
            refused = await self._read_in_time(request, self._settings.largest_body_bytes, body)
            return refused or await self._pass_on(request, path, body, answered)
        except httpx.TimeoutException:
            return Response(status_code=504)
        except httpx.HTTPError:
            logger.exception("the SuperLink cannot be reached")
            return Response(status_code=502)
        except OSError as error:
            logger.error("%s takes no more: %s", self._settings.spool, error.strerror)
            return Response(status_code=503)

    async def _enrol(
        self, request: Request, path: bytes, body: Spool, routes: EnrolmentRoutes
    ) -> Response:
        """Files are read and written, so not on the thread that serves everybody else."""
        refused = await self._read_in_time(request, LARGEST_BODY_BYTES, body)
        if refused is not None:
            return refused
        content = await body.content()
        answer = await asyncio.to_thread(routes.answer, request.method, path, content)
        if answer is None:
            return Response(status_code=404)
        headers = {"content-type": answer.content_type, "cache-control": "no-store"}
        return Response(answer.content, status_code=answer.status, headers=headers)

    async def _read_in_time(self, request: Request, largest: int, body: Spool) -> Response | None:
        """Fill the body; the answer to one that is too long or does not come."""
        declared = request.headers.get("content-length", "0")
        if not declared.isdecimal() or int(declared) > largest:
            return Response(status_code=413)
        last = asyncio.get_running_loop().time() + self._settings.body_seconds
        try:
            async with asyncio.timeout_at(last) as limit:
                async for part in request.stream():
                    if len(body) + len(part) > largest:
                        return Response(status_code=413)
                    await body.write(part)
                    limit.reschedule(last + len(body) / self._settings.least_bytes_per_second)
        except TimeoutError:
            return Response(status_code=408)
        return None

    async def _pass_on(
        self, request: Request, path: bytes, body: Spool, answered: Spool
    ) -> Response:
        """Ask the SuperLink with the headers on the list and return its answer likewise."""
        headers = {k: v for k, v in request.headers.items() if k in _REQUEST_HEADERS}
        if path == _PULL:
            return await self._pull(request, body, headers, answered)
        turns = self._giving if path == _GIVE else self._taking
        if path != _GIVE and not body.large:
            return await self._post(path, body, headers, answered)
        try:
            async with asyncio.timeout(self._settings.turn_seconds):
                await turns.acquire()
        except TimeoutError:
            return Response(status_code=503)
        try:
            return await self._post(path, body, headers, answered)
        finally:
            turns.release()

    async def _pull(
        self, request: Request, body: Spool, headers: Mapping[str, str], answered: Spool
    ) -> Response:
        """Ask for a school's next message, and again for a while as long as there is none."""
        deadline = time.monotonic() + self._settings.hold_seconds
        while True:
            answer = await self._post(_PULL, body, headers, answered)
            if answer.status_code != httpx.codes.OK:
                return answer
            if len(answered):
                self._wake()
                return answer
            left = deadline - time.monotonic()
            if left <= 0 or not await self._turn_comes(within=left):
                return answer
            if await request.is_disconnected():
                raise ClientDisconnect

    async def _turn_comes(self, *, within: float) -> bool:
        """Wait for this school's turn, or until another has got work: rounds go to all at once.

        Nobody is asked for who would be gone before the answer: its message would go nowhere, and
        come again at its next pull.
        """
        self._held += 1
        pause = self._held / self._settings.pulls_per_second
        try:
            async with asyncio.timeout(min(pause, within)):
                await self._work.wait()
        except TimeoutError:
            return pause <= within
        finally:
            self._held -= 1
        return True

    def _wake(self) -> None:
        self._work.set()
        self._work = asyncio.Event()

    async def _post(
        self, path: bytes, body: Spool, headers: Mapping[str, str], answered: Spool
    ) -> Response:
        """Fill `answered` before the school takes any of it: it may be slow."""
        length = {"content-length": str(len(body))}
        async with self._client.stream(
            "POST", path.decode("ascii"), content=body.parts(), headers={**headers, **length}
        ) as response:
            async for part in response.aiter_bytes():
                await answered.write(part)
        kept = {k: v for k, v in response.headers.items() if k in _RESPONSE_HEADERS}
        return StreamingResponse(
            answered.parts(),
            status_code=response.status_code,
            headers={**kept, "content-length": str(len(answered))},
        )


def main() -> None:
    """Run the front: the entry point of its process."""
    options = _options()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)  # one line a request says nothing new
    settings = FrontSettings(
        upstream=options.upstream,
        ca_certificate=options.ca_certificate,
        spool=options.ca_certificate.parent,
    )
    routes = EnrolmentRoutes(
        options.home, options.ca_certificate.read_bytes(), lambda: datetime.now(UTC)
    )
    config = uvicorn.Config(
        Front(settings, enrolment=routes),
        host=options.host,
        port=options.port,
        ssl_certfile=options.certificate,
        ssl_keyfile=options.private_key,
        http=ImpatientProtocol,
        lifespan="on",
        access_log=False,
        server_header=False,
        date_header=True,  # a school compares its clock
        proxy_headers=False,
        ws="none",
        limit_concurrency=1024,
        timeout_keep_alive=60,
        timeout_graceful_shutdown=1,
    )
    config.load()
    if config.ssl is not None:
        config.ssl.minimum_version = ssl.TLSVersion.TLSv1_3
    uvicorn.Server(config).run()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Publish a SuperLink's Fleet API to schools.")
    parser.add_argument("--host", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--certificate", type=Path, required=True)
    parser.add_argument("--private-key", type=Path, required=True)
    parser.add_argument("--upstream", required=True, metavar="https://127.0.0.1:PORT")
    parser.add_argument("--ca-certificate", type=Path, required=True)
    parser.add_argument("--home", type=Path, required=True)
    return parser.parse_args()
