"""The aggregator dies at every write, starts again, and ends where it would have ended."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, text
from support.scripted_schools import World, build_world, order_in

from fedtrace.governance.errors import Corrupt
from fedtrace.governance.log.storage import DirectoryFiles
from fedtrace.server import files, registry
from fedtrace.server.consortium import Consortium
from fedtrace.server.outcome import JobOutcome
from fedtrace.server.round import run_job
from fedtrace.server.store import StoreUnavailable

WRITING = ("INSERT INTO runs", "UPDATE runs", "INSERT INTO staged_entries")
"""The first and the last statement of every transaction; those between share its fate."""


class Died(BaseException):
    """As final for the code under test as a power cut."""


class Doom:
    """Counts writes and dies at one of them."""

    def __init__(self, at: int) -> None:
        self.at = at
        self.count = 0

    def tick(self, *_: object) -> None:
        self.count += 1
        if self.count == self.at:
            raise Died


@contextmanager
def doomed(doom: Doom, consortium: Consortium) -> Iterator[None]:
    """Die before any statement, commit, step of the log or file; after one is before the next."""
    patch = pytest.MonkeyPatch()
    engine = consortium.store._engine

    def on_statement(_c: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith(WRITING):
            doom.tick()

    def before(owner: Any, name: str) -> None:
        inner: Callable[..., Any] = getattr(owner, name)

        def wrapped(*args: Any, **kwargs: Any) -> Any:
            doom.tick()
            return inner(*args, **kwargs)

        patch.setattr(owner, name, wrapped)

    append = DirectoryFiles.append

    def torn_append(self: DirectoryFiles, lines: Sequence[bytes]) -> None:
        doom.tick()
        try:
            doom.tick()
        except Died:
            append(self, [*lines[:1], b'{"torn'])
            raise
        append(self, lines)

    event.listen(engine, "before_cursor_execute", on_statement)
    before(engine.dialect, "do_commit")
    before(DirectoryFiles, "publish")
    before(files, "flush_directory")
    before(registry, "flush_directory")
    patch.setattr(DirectoryFiles, "append", torn_append)
    try:
        yield
    finally:
        patch.undo()
        event.remove(engine, "before_cursor_execute", on_statement)


def run(world: World, *, doom: Doom | None = None) -> JobOutcome | None:
    """One life of the aggregator; None if it died."""
    consortium = world.open()
    with closing(consortium), doomed(doom or Doom(0), consortium):
        try:
            return run_job(
                consortium,
                world.plan_digest,
                world.transport(),
                world.clock,
                progress=lambda event: None,
            )
        except Died:
            return None


def copied(world: World, home: Path) -> World:
    shutil.copytree(world.home, home)
    return World(home, world.plan, world.keys, world.plan_digest, world.log_keys)


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> World:
    """A consortium that has not run yet, small so that it can run often."""
    home = tmp_path_factory.mktemp("resume") / "home"
    return build_world(home, schools=2, rounds=2, parameters=3)


@pytest.fixture(scope="module")
def calm(fresh: World, tmp_path_factory: pytest.TempPathFactory) -> tuple[JobOutcome, int]:
    """The undisturbed outcome, and the number of writes that it took."""
    doom = Doom(0)
    outcome = run(copied(fresh, tmp_path_factory.mktemp("calm") / "home"), doom=doom)
    assert outcome is not None
    return outcome, doom.count


def require_consistent_log(world: World) -> None:
    lines = (world.home / "log" / "entries.jsonl").read_bytes().splitlines()
    types = [json.loads(line)["type"] for line in lines]
    closed = [json.loads(line)["data"]["round"] for line in lines if b'"round.closed"' in line]
    assert closed == [1, 2]
    assert types.count("model.released") == types.count("run.closed") == 1


@pytest.mark.parametrize(
    ("first", "later"),
    [
        pytest.param(1, 0, id="odd, at once"),
        pytest.param(2, 3600, id="even, after the deadline", marks=pytest.mark.system),
    ],
)
def test_death_at_every_write_changes_nothing_in_the_end(
    first: int, later: int, fresh: World, calm: tuple[JobOutcome, int], tmp_path: Path
) -> None:
    outcome, writes = calm
    assert writes > 25
    for at in range(first, writes + 1, 2):
        world = copied(fresh, tmp_path / f"{at}")
        assert run(world, doom=Doom(at)) is None
        world.clock.time += timedelta(seconds=later)
        again = run(world)
        assert again is not None, at
        assert again.model_digest == outcome.model_digest, at
        assert again.model_path is not None
        assert outcome.model_path is not None
        assert again.model_path.read_bytes() == outcome.model_path.read_bytes()
        assert [r.checkpoint_digest for r in again.rounds] == [
            r.checkpoint_digest for r in outcome.rounds
        ]
        require_consistent_log(world)


def test_death_twice_in_a_row(fresh: World, calm: tuple[JobOutcome, int], tmp_path: Path) -> None:
    for at in range(10, calm[1], 17):
        world = copied(fresh, tmp_path / f"{at}")
        assert run(world, doom=Doom(at)) is None
        assert run(world, doom=Doom(3)) is None or at > calm[1] - 12
        again = run(world)
        assert again is not None
        assert again.model_digest == calm[0].model_digest


def test_a_finished_job_is_not_run_again(fresh: World, tmp_path: Path) -> None:
    world = copied(fresh, tmp_path / "home")
    first = run(world)
    size = world.home.joinpath("log", "entries.jsonl").stat().st_size
    assert run(world) == first
    assert world.home.joinpath("log", "entries.jsonl").stat().st_size == size


def test_the_same_order_goes_out_again_while_it_is_valid(fresh: World, tmp_path: Path) -> None:
    world = copied(fresh, tmp_path / "home")

    def die(school: str, order: Any, reply: Any) -> Any:
        if order.round == 2:
            raise Died
        return [reply]

    orders = []
    for fault in (die, None):
        transport = world.transport(fault)
        with closing(world.open()) as consortium, suppress(Died):
            outcome = run_job(
                consortium, world.plan_digest, transport, world.clock, progress=lambda e: None
            )
        orders.append([order for order in transport.orders if order_in(order).round == 2])
    assert orders[0] == orders[1]
    assert outcome.resumed == 1
    assert outcome.rounds[1].closed


CHANGES = {
    "a checkpoint": "UPDATE checkpoints SET parameters = zeroblob(length(parameters))",
    "an optimiser state": "UPDATE checkpoints SET optimiser = zeroblob(length(optimiser))",
    "a checkpoint that is gone": "DELETE FROM checkpoints",
    "a checkpoint digest": "UPDATE runs SET checkpoint_digest = 'sha256:' || hex(zeroblob(32))",
    "a round number": "UPDATE runs SET round = 0",
    "a seal": "UPDATE runs SET seal = zeroblob(10)",
    "a round that is gone": "DELETE FROM rounds",
    "a record": "UPDATE rounds SET record = zeroblob(10)",
    "an order": "UPDATE runs SET open_order = zeroblob(10)",
    "a time": "UPDATE runs SET started_at = 'yesterday'",
    "a sum": "UPDATE runs SET open_sum = zeroblob(24)",
    "a staged entry": "UPDATE staged_entries SET entry = zeroblob(10)",
}


@pytest.fixture(scope="module")
def half_way(fresh: World, tmp_path_factory: pytest.TempPathFactory) -> World:
    """A consortium whose aggregator died while it asked for round 2."""
    world = copied(fresh, tmp_path_factory.mktemp("half") / "home")

    def die(school: str, order: Any, reply: Any) -> Any:
        if order.round == 2:
            raise Died
        return [reply]

    with closing(world.open()) as consortium, pytest.raises(Died):
        run_job(
            consortium,
            world.plan_digest,
            world.transport(die),
            world.clock,
            progress=lambda e: None,
        )
    return world


@pytest.mark.parametrize("statement", CHANGES.values(), ids=CHANGES)
def test_a_changed_database_is_noticed_before_anyone_is_asked(
    statement: str, half_way: World, tmp_path: Path
) -> None:
    world = copied(half_way, tmp_path / "home")
    with closing(world.open()) as consortium, consortium.store._engine.begin() as connection:
        assert connection.execute(text(statement)).rowcount > 0
    transport = world.transport()
    with pytest.raises(Corrupt), closing(world.open()) as consortium:
        run_job(consortium, world.plan_digest, transport, world.clock, progress=lambda e: None)
    assert transport.asked == []


def test_a_log_that_lost_its_end_is_noticed(half_way: World, tmp_path: Path) -> None:
    world = copied(half_way, tmp_path / "home")
    path = world.home / "log" / "entries.jsonl"
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))
    with pytest.raises(Corrupt):
        world.open()


def test_a_log_that_was_set_back_whole_is_noticed(
    fresh: World, half_way: World, tmp_path: Path
) -> None:
    world = copied(half_way, tmp_path / "home")
    shutil.rmtree(world.home / "log")
    shutil.copytree(fresh.home / "log", world.home / "log")
    with pytest.raises(Corrupt, match="lost"):
        world.open()


def test_a_database_that_was_set_back_is_noticed(
    fresh: World, half_way: World, tmp_path: Path
) -> None:
    """A restored backup that knows nothing of the run: the plan's second run is not started."""
    world = copied(half_way, tmp_path / "home")
    backup = copied(half_way, tmp_path / "backup")
    assert run(world) is not None
    for name in world.home.glob("consortium.db*"):
        name.unlink()
    for name in backup.home.glob("consortium.db*"):
        shutil.copy(name, world.home)
    with pytest.raises(Corrupt):
        run(world)


def test_a_database_that_is_no_database(fresh: World, tmp_path: Path) -> None:
    world = copied(fresh, tmp_path / "home")
    for name in world.home.glob("consortium.db*"):
        name.unlink()
    (world.home / "consortium.db").write_bytes(b"not a database" * 100)
    with pytest.raises(Corrupt, match="backup"):
        world.open()


def test_two_aggregators_cannot_both_go_on(half_way: World, tmp_path: Path) -> None:
    world = copied(half_way, tmp_path / "home")
    with closing(world.open()), pytest.raises(OSError, match="another process"):
        world.open()


def test_a_full_disk_ends_the_process_and_loses_nothing(tmp_path: Path) -> None:
    world = build_world(tmp_path / "home", schools=2, rounds=2, parameters=2000)
    calm = run(copied(world, tmp_path / "calm"))
    with closing(world.open()) as consortium:
        with consortium.store._engine.connect() as connection:
            pages = connection.execute(text("PRAGMA page_count")).scalar_one()
            connection.execute(text(f"PRAGMA max_page_count = {pages + 15}"))
        with pytest.raises(StoreUnavailable, match="full disk"):
            run_job(
                consortium,
                world.plan_digest,
                world.transport(),
                world.clock,
                progress=lambda e: None,
            )
    again = run(world)
    assert again is not None
    assert calm is not None
    assert again.resumed == 1
    assert again.model_digest == calm.model_digest
