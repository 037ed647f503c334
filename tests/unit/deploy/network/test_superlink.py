"""What is different about our SuperLink, seen at Flower's own classes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from flwr.app import ConfigRecord
from flwr.server.superlink.linkstate.sql_linkstate import SqlLinkState
from flwr.supercore import sql_mixin
from flwr.supercore.corestate import sql_corestate
from flwr.supercore.inflatable.inflatable_object import get_object_tree
from flwr.superlink import main as app
from sqlalchemy import event, text
from sqlalchemy.exc import OperationalError
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from support.superlink import repaired_state

from fedtrace.deploy.network import superlink
from fedtrace.deploy.network.front import FrontSettings

pytestmark = pytest.mark.filterwarnings(  # flwr's alembic.ini
    "ignore:.*path_separator:DeprecationWarning"
)


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SqlLinkState]:
    with repaired_state(tmp_path_factory.mktemp("superlink")) as made:
        yield made


def test_its_database_waits_and_keeps_no_models(state: SqlLinkState) -> None:
    with state.session() as session:
        found = {
            name: session.execute(text(f"PRAGMA {name}")).scalar()
            for name in ("busy_timeout", "cache_size", "mmap_size", "journal_mode", "foreign_keys")
        }
    assert found == {
        "busy_timeout": superlink.BUSY_SECONDS * 1000,
        "cache_size": -4000,
        "mmap_size": 0,
        "journal_mode": "wal",
        "foreign_keys": 1,
    }
    assert len(dict(sql_mixin.SQLITE_PRAGMAS)) == len(sql_mixin.SQLITE_PRAGMAS)


def test_one_at_a_time_has_the_database_and_may_go_on_in_it(state: SqlLinkState) -> None:
    inside, most = 0, 0

    def work(_number: int) -> None:
        nonlocal inside, most
        with state.session(), state.object_store.session() as session:
            inside += 1
            most = max(most, inside)
            session.execute(text("UPDATE run SET run_id = run_id"))
            time.sleep(0.002)
            inside -= 1

    with ThreadPoolExecutor(8) as threads:
        assert len(list(threads.map(work, range(16)))) == 16
    assert most == 1


def test_a_failure_leaves_the_database_to_the_next(state: SqlLinkState) -> None:
    with pytest.raises(OperationalError), state.session() as session:
        session.execute(text("SELECT * FROM no_such_table"))
    with state.session() as session:
        assert session.execute(text("SELECT 1")).scalar() == 1


def test_an_object_that_is_there_may_be_sent_again(state: SqlLinkState) -> None:
    record, other = ConfigRecord({"update": b"bytes"}), ConfigRecord({"update": b"others"})
    for each in (record, other):
        state.object_store.preregister(1, get_object_tree(each))
    state.object_store.put(record.object_id, record.deflate())
    assert state.store_object(1, "a-session-that-is-over", record.object_id, record.deflate())
    assert not state.store_object(1, "a-session-that-is-over", other.object_id, other.deflate())


def test_silent_tasks_are_looked_for_once_a_second(
    state: SqlLinkState, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    event.listen(state._engine, "before_cursor_execute", lambda *given: said.append(given[2]))
    for _ in range(50):
        state._cleanup_expired_task_tokens()
    assert len([each for each in said if each.startswith("UPDATE task")]) == 2  # one look has two
    later = time.monotonic() + superlink.LOOK_SECONDS
    monkeypatch.setattr(time, "monotonic", lambda: later)
    state._cleanup_expired_task_tokens()
    assert len([each for each in said if each.startswith("UPDATE task")]) == 4


@pytest.mark.usefixtures("state")
def test_an_upload_has_as_long_as_the_front_gives_it() -> None:
    limits = FrontSettings(upstream="", ca_certificate=Path(), spool=Path())
    slowest = limits.body_seconds + limits.largest_body_bytes / limits.least_bytes_per_second
    assert slowest < sql_corestate.OBJECT_PUSH_SESSION_TTL_SECONDS == superlink.UPLOAD_SECONDS


CONTROL, FLEET, RUNTIME, UNKNOWN = "/v1/control/x", "/v1/fleet/x", "/v1/runtime/x", "/v1/x"


@pytest.mark.usefixtures("state")
@pytest.mark.parametrize(
    ("layer", "concerned"),
    [
        (app.ControlSensitiveResponseMiddleware, {CONTROL, UNKNOWN}),
        (app.ControlAuthenticationMiddleware, {CONTROL, UNKNOWN}),
        (app.ControlLicenseMiddleware, {CONTROL, UNKNOWN}),
        (app.ControlEventLogMiddleware, {CONTROL, UNKNOWN}),
        (app.RuntimeTracingMiddleware, {RUNTIME, UNKNOWN}),
        (app.NodeAuthMiddleware, {FLEET, UNKNOWN}),
        (app.FleetEventLogMiddleware, {FLEET, UNKNOWN}),
        (app.ProtobufTranslationMiddleware, {CONTROL, FLEET, RUNTIME, UNKNOWN}),
    ],
)
def test_a_request_goes_around_the_layers_of_others(
    layer: type, concerned: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    reached: list[str] = []

    async def dispatch(_layer: object, request: Request, call_next: Any) -> Any:
        reached.append(request.url.path)
        return await call_next(request)

    async def inner(scope: Scope, receive: Receive, send: Send) -> None:
        await Response()(scope, receive, send)

    async def conversation() -> None:
        made = next(
            each for each in app._get_middleware() if layer in (each.cls, _inside(each.kwargs))
        )
        through = httpx.ASGITransport(made.cls(inner, *made.args, **made.kwargs))
        async with httpx.AsyncClient(transport=through, base_url="https://server") as client:
            for path in (CONTROL, FLEET, RUNTIME, UNKNOWN):
                assert (await client.get(path)).status_code == 200

    monkeypatch.setattr(layer, "dispatch", dispatch)
    asyncio.run(conversation())
    assert set(reached) == concerned


def _inside(kwargs: Mapping[str, Any]) -> Any:
    return kwargs["layer"].cls if "layer" in kwargs else None


@pytest.mark.usefixtures("state")
def test_all_of_flowers_layers_are_there_in_their_order() -> None:
    plain = [each.cls for each in superlink._layers()]
    assert [_inside(each.kwargs) or each.cls for each in app._get_middleware()] == plain
    assert set(superlink._CONCERNS) <= set(plain)
