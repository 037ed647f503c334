"""The store on SQLite and on a real PostgreSQL: the same tables, the same job, the same end."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy import create_engine, event, inspect, text
from support.postgres import PostgreSQL, running_postgresql
from support.scripted_schools import World, build_world

from fedtrace.governance.errors import Corrupt, PolicyError
from fedtrace.server import tables
from fedtrace.server.consortium import Consortium
from fedtrace.server.migrations.upgrade import NEWEST
from fedtrace.server.outcome import JobOutcome
from fedtrace.server.round import run_job
from fedtrace.server.store import DATABASE_VARIABLE, ConsortiumStore, StoreUnavailable


class Died(BaseException):
    """As final for the code under test as a power cut."""


@pytest.fixture(scope="module")
def postgresql() -> Iterator[PostgreSQL]:
    with running_postgresql() as server:
        yield server


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> World:
    """A consortium that has not run yet; its database is still to be made."""
    world = build_world(
        tmp_path_factory.mktemp("databases") / "home", schools=2, rounds=2, parameters=3
    )
    for path in world.home.glob("consortium.db*"):
        path.unlink()
    return world


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database of either kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'consortium.db'}"
    server: PostgreSQL = request.getfixturevalue("postgresql")
    return server.new_database()


@pytest.fixture
def world(template: World, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setenv(DATABASE_VARIABLE, url)
    return copied(template, tmp_path / "home")


def copied(world: World, home: Path) -> World:
    shutil.copytree(world.home, home)
    return World(home, world.plan, world.keys, world.plan_digest, world.log_keys)


def run(world: World, consortium: Consortium, *, fault: Any = None) -> JobOutcome:
    return run_job(
        consortium,
        world.plan_digest,
        world.transport(fault),
        world.clock,
        progress=lambda event: None,
    )


@pytest.fixture(scope="module")
def calm(template: World, tmp_path_factory: pytest.TempPathFactory) -> JobOutcome:
    """What the job comes to on SQLite, undisturbed."""
    world = copied(template, tmp_path_factory.mktemp("calm") / "home")
    with closing(world.open()) as consortium:
        return run(world, consortium)


def test_the_newest_version_is_what_the_code_uses(url: str) -> None:
    store = ConsortiumStore.open(url)
    with closing(store), store._engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, tables.metadata) == []
        assert context.get_current_revision() == NEWEST


def test_a_job_ends_the_same_on_every_database(world: World, calm: JobOutcome) -> None:
    with closing(world.open()) as consortium:
        outcome = run(world, consortium)
    assert outcome.model_digest == calm.model_digest
    with closing(world.open()) as consortium:
        assert run(world, consortium) == outcome


@pytest.mark.system
def test_death_at_commits_and_statements_loses_nothing(
    template: World, postgresql: PostgreSQL, calm: JobOutcome, tmp_path: Path
) -> None:
    """On PostgreSQL; test_resume.py does SQLite's, at every one."""
    at, deaths = 0, 0
    while True:
        at += 5
        world = copied(template, tmp_path / f"{at}")
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv(DATABASE_VARIABLE, postgresql.new_database())
            died = dies(world, at)
            deaths += died
            with closing(world.open()) as consortium:
                assert run(world, consortium).model_digest == calm.model_digest, at
        if not died:
            break
    assert deaths > 4


def dies(world: World, at: int) -> bool:
    """Run until the statement or commit of that number, counted from the job's first."""
    count = 0
    with closing(world.open()) as consortium, suppress(Died):
        engine = consortium.store._engine
        commit = engine.dialect.do_commit

        def tick(*_: object) -> None:
            nonlocal count
            count += 1
            if count == at:
                raise Died

        def dying_commit(connection: Any) -> None:
            tick()
            commit(connection)

        def on_statement(_c: Any, _cursor: Any, statement: str, *_: Any) -> None:
            if not statement.startswith("SELECT"):
                tick()

        event.listen(engine, "before_cursor_execute", on_statement)
        engine.dialect.do_commit = dying_commit  # type: ignore[assignment, method-assign]
        run(world, consortium)
        return False
    return True


@pytest.mark.system
def test_a_server_that_restarts_is_used_again(
    template: World,
    postgresql: PostgreSQL,
    calm: JobOutcome,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(DATABASE_VARIABLE, postgresql.new_database())
    world = copied(template, tmp_path / "home")
    restarted: list[bool] = []

    def restart(school: str, order: Any, reply: Any) -> Any:
        if order.round == 2 and not restarted:
            postgresql.stop()
            postgresql.start()
            restarted.append(True)
        return [reply]

    with closing(world.open()) as consortium:
        assert run(world, consortium, fault=restart).model_digest == calm.model_digest
    assert restarted


def test_a_server_that_is_away_ends_the_process_and_loses_nothing(
    template: World,
    postgresql: PostgreSQL,
    calm: JobOutcome,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(DATABASE_VARIABLE, postgresql.new_database())
    world = copied(template, tmp_path / "home")
    stopped: list[bool] = []

    def stop(school: str, order: Any, reply: Any) -> Any:
        if order.round == 2 and not stopped:
            postgresql.stop()
            stopped.append(True)
        return [reply]

    try:
        with (
            pytest.raises(StoreUnavailable, match="cannot be reached"),
            closing(world.open()) as consortium,
        ):
            run(world, consortium, fault=stop)
        with pytest.raises(StoreUnavailable):
            world.open()
    finally:
        postgresql.start()
    with closing(world.open()) as consortium:
        again = run(world, consortium)
    assert again.resumed == 1
    assert again.model_digest == calm.model_digest


def test_of_two_aggregators_on_one_database_one_stops(
    template: World,
    postgresql: PostgreSQL,
    calm: JobOutcome,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of two homes, one a copy of the other: no lock on the log keeps the second out."""
    monkeypatch.setenv(DATABASE_VARIABLE, postgresql.new_database())
    first = copied(template, tmp_path / "1")
    overtaken: list[JobOutcome] = []

    def overtake(school: str, order: Any, reply: Any) -> Any:
        if order.round == 2 and not overtaken:
            second = copied(first, tmp_path / "2")
            with closing(second.open()) as consortium:
                overtaken.append(run(second, consortium))
        return [reply]

    with closing(first.open()) as consortium, pytest.raises(Corrupt, match="another aggregator"):
        run(first, consortium, fault=overtake)
    assert overtaken[0].model_digest == calm.model_digest


def test_a_migration_that_dies_leaves_nothing(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    create_table, made = Operations.create_table, []

    def dying(self: Operations, name: str, *columns: Any, **options: Any) -> Any:
        if name == "receipts":
            raise Died
        made.append(name)
        return create_table(self, name, *columns, **options)

    monkeypatch.setattr(Operations, "create_table", dying)
    with pytest.raises(Died):
        ConsortiumStore.open(url)
    assert made
    monkeypatch.undo()
    ConsortiumStore.open(url).close()


@pytest.mark.parametrize(
    ("statement", "sentence"),
    [
        ("UPDATE alembic_version SET version_num = '0999'", "has version 0999.*newer program"),
        ("DROP TABLE alembic_version", "a database of its own"),
    ],
)
def test_a_database_of_another_version_is_left_alone(
    url: str, statement: str, sentence: str
) -> None:
    store = ConsortiumStore.open(url)
    with closing(store), store._engine.begin() as connection:
        connection.execute(text(statement))
        before = sorted(inspect(connection).get_table_names())
    with pytest.raises(Corrupt, match=sentence):
        ConsortiumStore.open(url)
    engine = create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    assert sorted(inspect(engine).get_table_names()) == before
    engine.dispose()


@pytest.mark.parametrize("url", ["mysql://u:secret@host/db", "secret", "postgresql+asyncpg://a/b"])
def test_a_url_of_another_kind(url: str) -> None:
    with pytest.raises(PolicyError, match="known are sqlite:///FILE") as error:
        ConsortiumStore.open(url)
    assert "secret" not in str(error.value)
