"""The door, called as its server calls it: paths are bytes here, as they are on the wire."""

import asyncio
import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import gettempdir
from typing import Any

import httpx
import pytest
import uvicorn
from support.doors import HOSTILE_METHODS, HOSTILE_PATHS

from fedtrace.deploy.network.front import ROUTES, Front, FrontSettings
from fedtrace.deploy.network.impatience import ImpatientProtocol
from fedtrace.deploy.network.ports import free_ports

PULL = b"/v1/fleet/pull-messages"
PROTOBUF = (b"content-type", b"application/protobuf")


@dataclass
class SuperLink:
    """A SuperLink that answers from a list and remembers what it was asked."""

    answers: list[httpx.Response | Exception] = field(default_factory=list)
    requests: list[httpx.Request] = field(default_factory=list)

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        await request.aread()
        self.requests.append(request)
        if not self.answers:
            return httpx.Response(200, content=b"answer")
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


Header = tuple[bytes, bytes]
Answer = tuple[int, dict[bytes, bytes], bytes]
"""Status, headers and body."""


def settings(**changes: Any) -> FrontSettings:
    where = {"ca_certificate": Path("not-read"), "spool": Path(gettempdir())}
    return FrontSettings(upstream="https://127.0.0.1:1", **{**where, **changes})


async def ask(
    front: Front,
    path: bytes,
    *,
    method: str = "POST",
    query: bytes = b"",
    headers: Sequence[Header] = (PROTOBUF,),
    body: Sequence[bytes | None] = (b"request",),
    pause: float = 0.0,
    hangs_up: bool = False,
) -> Answer:
    """One request whose parts come with pauses; returns status, headers and body of the answer."""
    parts = list(body)
    sent: list[Any] = []

    async def receive() -> Any:
        if parts:
            part = parts.pop(0)
            await asyncio.sleep(pause)
            if part is None:
                await asyncio.sleep(3600)
            return {"type": "http.request", "body": part, "more_body": bool(parts)}
        return {"type": "http.disconnect"} if hangs_up else await asyncio.sleep(3600)

    async def send(event: Any) -> None:
        sent.append(event)

    scope = {
        "type": "http",
        "method": method,
        "path": path.decode("latin-1"),
        "raw_path": path,
        "query_string": query,
        "headers": list(headers),
        "http_version": "1.1",
        "scheme": "https",
        "server": ("localhost", 1),
        "client": ("127.0.0.1", 2),
    }
    await front(scope, receive, send)
    answer = b"".join(event.get("body", b"") for event in sent[1:])
    return sent[0]["status"], dict(sent[0]["headers"]), answer


def run(
    superlink: Callable[[httpx.Request], Any],
    *requests: tuple[Sequence[Any], Mapping[str, Any]],
    **changes: Any,
) -> list[Answer]:
    async def conversation() -> list[Answer]:
        front = Front(settings(**changes), transport=httpx.MockTransport(superlink))
        return [await ask(front, *args, **named) for args, named in requests]

    return asyncio.run(conversation())


@pytest.mark.parametrize("path", sorted(ROUTES))
def test_routes_of_a_supernode_pass(path: bytes) -> None:
    superlink = SuperLink()
    (answer,) = run(superlink, ((path,), {}))
    assert answer == (200, {b"content-length": b"6"}, b"answer")
    assert superlink.requests[0].url.raw_path == path
    assert superlink.requests[0].content == b"request"


@pytest.mark.parametrize("path", HOSTILE_PATHS)
def test_nothing_else_does(path: bytes) -> None:
    superlink = SuperLink()
    assert run(superlink, ((path,), {}))[0][0] == 404
    assert not superlink.requests


@pytest.mark.parametrize("method", HOSTILE_METHODS)
def test_other_methods_do_not_pass(method: str) -> None:
    superlink = SuperLink()
    assert run(superlink, ((PULL,), {"method": method}))[0][0] == 404
    assert not superlink.requests


def test_a_query_does_not_pass() -> None:
    superlink = SuperLink()
    assert run(superlink, ((PULL,), {"query": b"a=1"}))[0][0] == 404
    assert not superlink.requests


@pytest.mark.parametrize("headers", [(), ((b"content-type", b"application/json"),)])
def test_other_content_does_not_pass(headers: Sequence[Header]) -> None:
    superlink = SuperLink()
    assert run(superlink, ((PULL,), {"headers": headers}))[0][0] == 415
    assert not superlink.requests


def test_only_headers_on_the_list_pass_either_way() -> None:
    superlink = SuperLink(
        [httpx.Response(200, content=b"m", headers={"set-cookie": "a", "server": "uvicorn"})]
    )
    headers = (
        PROTOBUF,
        (b"flwr-signature", b"c2ln"),
        (b"x-forwarded-for", b"127.0.0.1"),
        (b"flwr-task-token", b"stolen"),
        (b"flwr-superexec-signature", b"guess"),
        (b"authorization", b"Bearer x"),
        (b"transfer-encoding", b"chunked"),
    )
    ((status, answered, _),) = run(superlink, ((PULL,), {"headers": headers}))
    asked = superlink.requests[0].headers
    assert status == 200
    assert asked["flwr-signature"] == "c2ln"
    assert not {
        "x-forwarded-for",
        "flwr-task-token",
        "flwr-superexec-signature",
        "authorization",
        "transfer-encoding",
    } & set(asked)
    assert set(answered) == {b"content-length"}


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ((PROTOBUF, (b"content-length", b"11")), (b"x",)),
        ((PROTOBUF, (b"content-length", b"-1")), (b"x",)),
        ((PROTOBUF,), (b"123456", b"78901")),
    ],
)
def test_a_body_over_the_limit_is_not_read_to_its_end(
    headers: Sequence[Header], body: Sequence[bytes]
) -> None:
    superlink = SuperLink()
    asked = ((PULL,), {"headers": headers, "body": (*body, None)})
    assert run(superlink, asked, largest_body_bytes=10)[0][0] == 413
    assert not superlink.requests


def test_a_body_that_does_not_come() -> None:
    assert run(SuperLink(), ((PULL,), {"body": (b"x", None)}), body_seconds=0.02)[0][0] == 408


@pytest.mark.parametrize(
    ("failure", "status"), [(httpx.ReadTimeout("late"), 504), (httpx.ConnectError("gone"), 502)]
)
def test_a_superlink_that_fails(failure: Exception, status: int) -> None:
    assert run(SuperLink([failure]), ((b"/v1/fleet/get-run",), {})) == [
        (status, {b"content-length": b"0"}, b"")
    ]


def test_an_empty_answer_is_held_until_there_is_a_message() -> None:
    superlink = SuperLink([httpx.Response(200), httpx.Response(200)])
    ((status, _, body),) = run(superlink, ((PULL,), {}), pulls_per_second=200.0)
    assert (status, body, len(superlink.requests)) == (200, b"answer", 3)


def test_but_not_for_ever() -> None:
    async def empty(_request: httpx.Request) -> httpx.Response:
        return httpx.Response(200)

    started = time.monotonic()
    ((status, _, body),) = run(empty, ((PULL,), {}), hold_seconds=0.05, pulls_per_second=200.0)
    assert (status, body) == (200, b"")
    assert 0.05 <= time.monotonic() - started < 2.0


def test_for_a_school_that_hung_up_nothing_more_is_asked() -> None:
    """Its message would go nowhere; it comes at the next pull."""
    superlink = SuperLink([httpx.Response(200)] * 9)
    with suppress(IndexError):  # nothing is sent to it
        run(superlink, ((PULL,), {"hangs_up": True}), pulls_per_second=200.0)
    assert len(superlink.requests) == 1


def test_nobody_is_asked_for_at_the_end_of_its_patience() -> None:
    superlink = SuperLink([httpx.Response(200)] * 9)
    started = time.monotonic()
    (answer,) = run(superlink, ((PULL,), {}), hold_seconds=0.1, pulls_per_second=0.1)
    assert answer[0] == 200
    assert len(superlink.requests) == 1
    assert time.monotonic() - started < 5


def test_other_routes_are_not_held() -> None:
    superlink = SuperLink([httpx.Response(200)])
    ((status, _, body),) = run(superlink, ((b"/v1/fleet/deactivate-node",), {}))
    assert (status, body, len(superlink.requests)) == (200, b"", 1)


def test_a_refusal_of_the_superlink_is_passed_on_at_once() -> None:
    superlink = SuperLink([httpx.Response(401, content=b"{}")])
    assert run(superlink, ((PULL,), {}))[0][0] == 401


def test_when_one_school_gets_work_all_look_again() -> None:
    """A round is posted to all schools at once, so nobody waits for a turn of its own."""
    posted = asyncio.Event()

    async def superlink(_request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, content=b"work" if posted.is_set() else b"")

    async def conversation() -> tuple[list[Answer], float]:
        front = Front(settings(pulls_per_second=2.0), transport=httpx.MockTransport(superlink))
        schools = [asyncio.create_task(ask(front, PULL)) for _ in range(20)]
        await asyncio.sleep(0.05)
        posted.set()
        started = time.monotonic()
        answers = await asyncio.gather(*schools)
        return answers, time.monotonic() - started

    answers, seconds = asyncio.run(conversation())
    assert {body for _, _, body in answers} == {b"work"}
    assert seconds < 1.5  # the first one's turn; twenty turns at 2 a second would take 10 s


def test_a_head_that_does_not_come_ends_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a silent client nor one that drips bytes keeps its place; a working one does."""
    monkeypatch.setattr("fedtrace.deploy.network.impatience.HEAD_SECONDS", 0.3)
    head = b"POST /v1/fleet/get-run HTTP/1.1\r\nhost: x\r\ncontent-type: application/protobuf\r\n"

    async def slow_superlink(_request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(0.6)
        return httpx.Response(200, content=b"answer")

    async def send(port: int, *parts: bytes) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        answer = b""
        with suppress(ConnectionError):  # the server has closed it while we still write
            for part in parts:
                writer.write(part)
                await asyncio.sleep(0.05)
            answer = await asyncio.wait_for(reader.read(), 5)
        writer.close()
        return answer

    async def conversation() -> tuple[bytes, bytes, bytes]:
        (port,) = free_ports(1)
        app = Front(settings(), transport=httpx.MockTransport(slow_superlink))
        server = uvicorn.Server(
            uvicorn.Config(app, port=port, http=ImpatientProtocol, log_level="error", ws="none")
        )
        serving = asyncio.create_task(server.serve())
        while not server.started:
            await asyncio.sleep(0.01)
        answers = await asyncio.gather(
            send(port),
            send(port, *[bytes([byte]) for byte in head[:12]]),
            send(port, head + b"connection: close\r\ncontent-length: 1\r\n\r\nx"),
        )
        server.should_exit = True
        await serving
        return answers

    silent, dripping, working = asyncio.run(conversation())
    assert (silent, dripping) == (b"", b"")
    assert working.startswith(b"HTTP/1.1 200 ")


PUSH, GIVE = b"/v1/fleet/push-object", b"/v1/fleet/pull-object"
LARGE: dict[str, Any] = {"body": (b"x" * 200_000,)}


def test_a_model_passes_either_way(tmp_path: Path) -> None:
    sent, answered = os.urandom(700_001), os.urandom(600_007)
    superlink = SuperLink([httpx.Response(200, content=answered)])
    parts = [sent[start : start + 50_000] for start in range(0, len(sent), 50_000)]
    (answer,) = run(superlink, ((PUSH,), {"body": parts}), spool=tmp_path)
    assert answer == (200, {b"content-length": b"600007"}, answered)
    assert superlink.requests[0].content == sent
    assert superlink.requests[0].headers["content-length"] == "700001"
    assert not list(tmp_path.iterdir())


def test_a_disk_that_takes_no_more(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    superlink = SuperLink()
    asked = ((PUSH,), {"body": (b"x" * 200_000,)})
    ((status, _, _),) = run(superlink, asked, spool=tmp_path / "gone")
    assert status == 503
    assert not superlink.requests
    assert "takes no more" in caplog.text


@pytest.mark.parametrize(("path", "asked"), [(PUSH, LARGE), (GIVE, {})])
def test_few_models_at_a_time_pass_and_all_get_there(path: bytes, asked: dict[str, Any]) -> None:
    inside, most = 0, 0

    async def superlink(request: httpx.Request) -> httpx.Response:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        await request.aread()
        await asyncio.sleep(0.005)
        inside -= 1
        return httpx.Response(200, content=b"stored")

    async def conversation() -> list[Answer]:
        front = Front(settings(large_at_once=3), transport=httpx.MockTransport(superlink))
        return await asyncio.gather(*(ask(front, path, **asked) for _ in range(20)))

    assert {(status, body) for status, _, body in asyncio.run(conversation())} == {(200, b"stored")}
    assert most == 3


def test_who_waits_too_long_for_its_turn_is_to_come_back() -> None:
    """502, 503 and 504 are what a SuperNode tries again after."""
    busy, free = asyncio.Event(), asyncio.Event()

    async def superlink(request: httpx.Request) -> httpx.Response:
        if len(await request.aread()) > 100_000:
            busy.set()
            await free.wait()
        return httpx.Response(200, content=b"stored")

    async def conversation() -> list[Answer]:
        front = Front(
            settings(large_at_once=1, turn_seconds=0.02), transport=httpx.MockTransport(superlink)
        )
        first = asyncio.create_task(ask(front, PUSH, **LARGE))
        await asyncio.wait_for(busy.wait(), 10)
        answers = [await ask(front, PUSH, **LARGE)]
        answers += [await ask(front, path) for path in (PUSH, GIVE, b"/v1/fleet/get-run")]
        free.set()
        return [*answers, await first, await ask(front, PUSH, **LARGE)]

    assert [status for status, _, _ in asyncio.run(conversation())] == [
        503,
        200,
        200,
        200,
        200,
        200,
    ]


@pytest.mark.parametrize(("least", "status"), [(1_000_000, 408), (1000, 200)])
def test_a_long_body_has_the_time_it_needs_on_a_slow_line(least: int, status: int) -> None:
    slow = ((PUSH,), {"body": (b"x" * 1000,) * 10, "pause": 0.02})
    limits = {"body_seconds": 0.05, "least_bytes_per_second": least}
    assert run(SuperLink(), slow, **limits)[0][0] == status
