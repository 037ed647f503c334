"""The school's database: what is spent stays spent, rounds only rise, answers go out once."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from fedtrace.client.store import SchoolStore
from fedtrace.governance.errors import Corrupt
from fedtrace.governance.ledger import LedgerEntry, PrivacyEvent

NOW = datetime(2026, 11, 2, 8, tzinfo=UTC)
PLAN, OTHER_PLAN = "sha256:" + "a" * 64, "sha256:" + "b" * 64
EVENT = PrivacyEvent(
    plan_digest=PLAN,
    run_id="run-1",
    round=1,
    kind="train",
    noise_multiplier=1.25,
    sampling_rate=0.3,
    count=1,
    trust_mode="local",
    student_year="2026/27",
)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SchoolStore]:
    opened = SchoolStore(tmp_path / "school.db")
    yield opened
    opened.close()


def reserve(store: SchoolStore, event: PrivacyEvent = EVENT, order: str = "sha256:1") -> int:
    return store.reserve(event, order_digest=order, checkpoint_digest="sha256:c", now=NOW)


def test_reserved_committed_abandoned(store: SchoolStore) -> None:
    first = reserve(store)
    assert store.ledger() == (LedgerEntry(event=EVENT, state="reserved"),)
    store.commit(first, reply={"manifest": b"m", "payload": b"p"})
    second, third = replace(EVENT, round=2), replace(EVENT, round=3)
    lost = reserve(store, second, "sha256:2")
    reserve(store, third, "sha256:3")
    assert store.ledger() == (
        LedgerEntry(event=EVENT, state="committed"),
        LedgerEntry(event=second, state="abandoned"),
        LedgerEntry(event=third, state="reserved"),
    )
    with pytest.raises(ValueError, match="not open"):
        store.commit(lost, reply={})
    assert store.newest_entry_at() == NOW


def test_an_entry_closes_once(store: SchoolStore) -> None:
    reservation = reserve(store)
    store.commit(reservation, reply={"manifest": b"m"})
    with pytest.raises(ValueError, match="not open"):
        store.commit(reservation, reply={})
    with pytest.raises(ValueError, match="not open"):
        store.commit(99, reply={})


def test_a_crash_leaves_the_round_spent(store: SchoolStore, tmp_path: Path) -> None:
    reserve(store)
    # No close: what a second process sees is what a crash would have left.
    after = SchoolStore(tmp_path / "school.db")
    assert [entry.state for entry in after.ledger()] == ["reserved"]
    last = after.last_round(PLAN)
    assert last is not None
    assert (last.round, last.kind, last.reply_stored) == (1, "train", False)
    assert (last.order_digest, last.checkpoint_digest) == ("sha256:1", "sha256:c")
    assert after.reply_to("sha256:1") is None
    after.close()


def test_an_order_is_used_up_once_its_answer_may_have_left(store: SchoolStore) -> None:
    def used() -> frozenset[str]:
        last = store.last_round(PLAN)
        assert last is not None
        return last.used_orders

    first = reserve(store)
    assert used() == set()
    store.commit(first, reply={"manifest": b"m"})
    assert used() == {"sha256:1"}
    reserve(store, order="sha256:2")
    assert used() == {"sha256:1"}
    reserve(store, order="sha256:2")  # it crashed before; after a second crash nobody is sure
    assert used() == {"sha256:1", "sha256:2"}
    moved = [row | {"order_digest": "sha256:3", "round": 2} for row in store.ledger_rows()[:1]]
    store.add_ledger_rows(moved)  # its answer stayed in another database
    assert used() == {"sha256:3"}


def test_rounds_of_a_plan_never_go_back(store: SchoolStore) -> None:
    assert store.last_round(PLAN) is None
    reserve(store, replace(EVENT, round=3))
    for run in ("run-1", "run-2"):
        with pytest.raises(ValueError, match="round 2 comes before round 3"):
            reserve(store, replace(EVENT, round=2, run_id=run))
    reserve(store, replace(EVENT, plan_digest=OTHER_PLAN))
    reserve(store, replace(EVENT, round=3, kind="evaluate"), "sha256:2")
    last = store.last_round(PLAN)
    assert last is not None
    assert last.order_digest == "sha256:2"


def test_only_the_newest_answer_of_a_plan_is_kept(store: SchoolStore) -> None:
    reply = {"manifest": b"\x00m", "payload": bytes(100_000)}
    store.commit(reserve(store), reply=reply)
    other = replace(EVENT, plan_digest=OTHER_PLAN)
    store.commit(reserve(store, other, "sha256:other"), reply={"manifest": b"o"})
    assert store.reply_to("sha256:1") == reply
    assert store.reply_to("sha256:unknown") is None
    last = store.last_round(PLAN)
    assert last is not None
    assert last.reply_stored
    reserve(store, replace(EVENT, round=2), "sha256:2")
    assert store.reply_to("sha256:1") is None
    assert store.reply_to("sha256:2") is None
    assert store.reply_to("sha256:other") == {"manifest": b"o"}


def test_settings_and_plans(store: SchoolStore, tmp_path: Path) -> None:
    assert not store.kill_switch
    store.set_kill_switch(True)
    store.set_kill_switch(True)
    store.accept_plan(PLAN, now=NOW)
    store.accept_plan(PLAN, now=NOW.replace(year=2027))
    again = SchoolStore(tmp_path / "school.db")
    assert again.kill_switch
    assert [(plan.digest, plan.accepted_at) for plan in again.plans()] == [(PLAN, NOW)]
    again.set_kill_switch(False)
    assert not store.kill_switch
    again.close()


def test_a_moment_needs_a_time_zone(store: SchoolStore) -> None:
    with pytest.raises(ValueError, match="time zone"):
        store.accept_plan(PLAN, now=NOW.replace(tzinfo=None))


def test_every_commit_reaches_the_disk(store: SchoolStore, tmp_path: Path) -> None:
    del store
    with_defaults = SchoolStore(tmp_path / "school.db")
    with with_defaults._engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2  # FULL
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
    with_defaults.close()


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "school.db").write_bytes(b"this is a letter to the school board" * 100)
    with pytest.raises(Corrupt, match=r"school\.db is not an intact database"):
        SchoolStore(tmp_path / "school.db")


def test_a_database_of_a_newer_program_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "school.db"
    SchoolStore(path).close()
    version(path, 2)
    before = path.read_bytes()
    with pytest.raises(
        Corrupt, match=r"school\.db has version 2, this program knows versions up to 1"
    ):
        SchoolStore(path)
    assert path.read_bytes() == before


def test_a_database_from_before_versions_is_given_one(tmp_path: Path) -> None:
    path = tmp_path / "school.db"
    store = SchoolStore(path)
    reserve(store)
    store.close()
    version(path, 0)
    store = SchoolStore(path)
    assert len(store.ledger()) == 1
    store.close()
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (1,)


def version(path: Path, number: int) -> None:
    """As another release of the program would have left it."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA user_version = {number}")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def test_a_damaged_ledger_stops_everything(store: SchoolStore, tmp_path: Path) -> None:
    reserve(store)
    database = sqlite3.connect(tmp_path / "school.db")
    database.execute("UPDATE ledger SET sampling_rate = -1")
    database.commit()
    database.close()
    with pytest.raises(Corrupt, match="entry 1 of the privacy ledger"):
        store.ledger()
