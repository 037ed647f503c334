"""What is different about our SuperLink, seen at Flower's own classes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from flwr.server.superlink.linkstate.sql_linkstate import SqlLinkState
from flwr.supercore import sql_mixin
from flwr.supercore.corestate import sql_corestate
from flwr.supercore.object_store.sql_object_store import SqlObjectStore
from flwr.superlink.federation import NoOpFederationManager
from sqlalchemy import event, text
from sqlalchemy.exc import OperationalError

from fedtrace.deploy.network import superlink
from fedtrace.deploy.network.front import FrontSettings

pytestmark = pytest.mark.filterwarnings(  # flwr's alembic.ini
    "ignore:.*path_separator:DeprecationWarning"
)


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SqlLinkState]:
    """A SuperLink's state in a file; what was changed in Flower is put back afterwards."""
    core = sql_corestate.SqlCoreState
    with pytest.MonkeyPatch.context() as before:
        before.setattr(sql_mixin, "SQLITE_PRAGMAS", sql_mixin.SQLITE_PRAGMAS)
        before.setattr(sql_mixin.SqlMixin, "session", sql_mixin.SqlMixin.session)
        before.setattr(core, "_cleanup_expired_task_tokens", core._cleanup_expired_task_tokens)
        before.setattr(sql_corestate, "OBJECT_PUSH_SESSION_TTL_SECONDS", 180)
        superlink.repair()
        superlink.repair()
        database = str(tmp_path_factory.mktemp("superlink") / "superlink.db")
        made = SqlLinkState(database, NoOpFederationManager(), SqlObjectStore(database))
        made.initialize()
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
