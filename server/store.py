"""The consortium's database: one transaction a round, and a head that only one process can swap.

Every step of a job ends in one call of `ConsortiumStore.swap`. It writes what the step produced
and moves the job's head from one version to the next, all or nothing; where another process moved
the head first, nothing is written. What is decided but must still reach the audit log lies staged
in the same transaction (`fedtrace.server.publishing`).

SQLite by default; ``FEDTRACE_DATABASE_URL`` names a PostgreSQL database instead.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import (
    Connection,
    Engine,
    create_engine,
    event,
    insert,
    make_url,
    select,
    update,
)
from sqlalchemy.exc import ArgumentError, DatabaseError, IntegrityError, OperationalError

from fedtrace.governance.errors import Corrupt, PolicyError
from fedtrace.governance.ledger import PrivacyEvent
from fedtrace.server import tables
from fedtrace.server.head import Head
from fedtrace.server.migrations.upgrade import bring_up_to_date
from fedtrace.server.outcome import Receipt
from fedtrace.server.rows import (
    FinishedRound,
    StoredCheckpoint,
    Writes,
    event_of,
    finished_of,
    head_columns,
    head_of,
    receipt_of,
    write,
)

DATABASE_VARIABLE = "FEDTRACE_DATABASE_URL"
"""Environment variable with a database URL; the consortium's SQLite file where it is unset."""

_KNOWN_URLS = "known are sqlite:///FILE and postgresql://USER:PASSWORD@HOST/DATABASE"

BUSY_TIMEOUT_SECONDS = 10
"""How long a second process waits for the first one's transaction (SQLite)."""


class StoreUnavailable(OSError):  # noqa: N818 - says what is
    """The database did not answer: full disk, lock, lost connection. Nothing of a step was kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredHead:
    """A head as it lies in the database, with its seal; not yet verified."""

    head: Head
    seal: bytes


class ConsortiumStore:
    """The consortium's database.

    Raises:
        Corrupt: from any method, where what is stored cannot be read or contradicts itself.
        StoreUnavailable: from any method, where the database cannot be reached or written.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        with _reported():
            bring_up_to_date(engine)

    @classmethod
    def open(cls, url: str) -> ConsortiumStore:
        """Open the database at a URL, bring its tables up to date.

        Args:
            url: ``sqlite:///FILE`` or ``postgresql://USER:PASSWORD@HOST/DATABASE``; libpq's own
                settings (``?sslmode=verify-full``, ``PGPASSFILE``) hold for the latter.

        Raises:
            PolicyError: no such URL.
        """
        engine = _engine(url)
        if engine.dialect.name == "postgresql":
            event.listen(engine, "connect", _configure_postgresql)
        else:
            event.listen(engine, "connect", _configure_sqlite)
            event.listen(engine, "begin", _begin_sqlite)
            if engine.url.database:
                Path(engine.url.database).touch(mode=0o600)
        try:
            return cls(engine)
        except BaseException:
            engine.dispose()
            raise

    def close(self) -> None:
        """Give the connections back."""
        self._engine.dispose()

    def head(self, plan_digest: str) -> StoredHead | None:
        """Where the job of a plan stands, or None where it was never opened."""
        table = tables.runs
        with self._reading() as connection:
            row = connection.execute(
                select(table).where(table.c.plan_digest == plan_digest)
            ).one_or_none()
            return None if row is None else StoredHead(head=head_of(row), seal=row.seal)

    def plan_digests(self) -> tuple[str, ...]:
        """The plans whose jobs were ever opened, the oldest first."""
        table = tables.runs
        with self._reading() as connection:
            query = select(table.c.plan_digest).order_by(table.c.started_at)
            return tuple(connection.execute(query).scalars())

    def begin(self, head: Head, seal: bytes, writes: Writes) -> None:
        """Open a job.

        Raises:
            Corrupt: another process opened it first.
        """
        try:
            with _available(), self._engine.begin() as connection:
                connection.execute(insert(tables.runs).values(head_columns(head, seal)))
                write(connection, head.run_id, writes, seal)
        except IntegrityError as error:
            raise Corrupt(
                f"the job of plan {head.plan_digest} was opened by another aggregator at the same "
                "time: stop one of them"
            ) from error

    def swap(self, head: Head, seal: bytes, writes: Writes) -> None:
        """Move the job from the version before ``head`` to ``head``, with everything it wrote.

        Raises:
            Corrupt: the stored head is not the version before; nothing was written.
        """
        table = tables.runs
        with _available(), self._engine.begin() as connection:
            swapped = connection.execute(
                update(table)
                .where(table.c.run_id == head.run_id, table.c.version == head.version - 1)
                .values(head_columns(head, seal))
            )
            if swapped.rowcount != 1:
                raise Corrupt(
                    f"run {head.run_id} is no longer at version {head.version - 1}: another "
                    "aggregator works on it, or the database was set back"
                )
            write(connection, head.run_id, writes, seal)

    def checkpoint(self, run_id: str, round_number: int) -> StoredCheckpoint:
        """The checkpoint that a round left, as stored; nothing is verified here.

        Raises:
            Corrupt: it is not there.
        """
        table = tables.checkpoints
        with self._reading() as connection:
            row = connection.execute(
                select(table).where(table.c.run_id == run_id, table.c.round == round_number)
            ).one_or_none()
        if row is None:
            raise Corrupt(f"the checkpoint of round {round_number} of run {run_id} is gone")
        return StoredCheckpoint(
            round=round_number, parameters=row.parameters, optimiser=row.optimiser
        )

    def finished(self, run_id: str) -> tuple[FinishedRound, ...]:
        """Every finished round, in order, with its receipts."""
        table = tables.rounds
        with self._reading() as connection:
            rows = connection.execute(
                select(table).where(table.c.run_id == run_id).order_by(table.c.round)
            ).all()
            came = _receipts(connection, run_id)
            return tuple(finished_of(row, tuple(came.get(row.round, ()))) for row in rows)

    def receipts(self, run_id: str, round_number: int) -> tuple[Receipt, ...]:
        """The receipts of one round, over all its attempts so far."""
        with self._reading() as connection:
            return tuple(_receipts(connection, run_id).get(round_number, ()))

    def events(self, run_id: str) -> tuple[PrivacyEvent, ...]:
        """The run's privacy events in the order of its orders."""
        table = tables.events
        with self._reading() as connection:
            rows = connection.execute(
                select(table)
                .where(table.c.run_id == run_id)
                .order_by(table.c.round, table.c.attempt)
            ).all()
            return tuple(event_of(row) for row in rows)

    def histograms(self, run_id: str) -> dict[str, bytes]:
        """School -> its noised score histograms, safetensors bytes."""
        table = tables.histograms
        with self._reading() as connection:
            rows = connection.execute(
                select(table.c.school, table.c.payload)
                .where(table.c.run_id == run_id)
                .order_by(table.c.school)
            ).all()
        return {row.school: row.payload for row in rows}

    def staged(self) -> dict[int, bytes]:
        """Log entries that may not be in the log yet, by log index."""
        table = tables.staged_entries
        with self._reading() as connection:
            rows = connection.execute(select(table).order_by(table.c.log_index)).all()
        return {row.log_index: row.entry for row in rows}

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        with _reported(), self._engine.connect() as connection:
            yield connection


@contextmanager
def _available() -> Iterator[None]:
    """A database that is full, busy or away is the operator's business, and says so."""
    try:
        yield
    except OperationalError as error:
        raise StoreUnavailable(
            "the consortium's database cannot be reached or written (full disk, lock or lost "
            "connection); nothing of this step was kept: repair that and start the job again"
        ) from error


@contextmanager
def _reported() -> Iterator[None]:
    """What is there and cannot be read is `Corrupt`."""
    with _available():
        try:
            yield
        except OperationalError:
            raise
        except (DatabaseError, ValueError, TypeError) as error:
            raise Corrupt("the consortium's database cannot be read: restore a backup") from error


def _engine(url: str) -> Engine:
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        # The URL may hold a password, so it is not repeated.
        raise PolicyError(f"{DATABASE_VARIABLE} is no database URL; {_KNOWN_URLS}") from error
    drivers = {"sqlite": "sqlite", "postgresql": "postgresql+psycopg"}
    if parsed.drivername not in drivers:
        raise PolicyError(
            f"{DATABASE_VARIABLE} names a database of the kind {parsed.drivername}; {_KNOWN_URLS}"
        )
    # A connection that a restart of the database cut is noticed before it is used.
    return create_engine(parsed.set(drivername=drivers[parsed.drivername]), pool_pre_ping=True)


def _configure_postgresql(connection: Any, _: object) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET synchronous_commit TO on")  # whatever the server's default is
    connection.commit()


def _begin_sqlite(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN")


def _configure_sqlite(connection: Any, _: object) -> None:
    connection.isolation_level = None  # or Python would commit before it makes or alters a table
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")  # a commit that returned has reached the disk
    connection.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_SECONDS * 1000}")


def _receipts(connection: Connection, run_id: str) -> dict[int, list[Receipt]]:
    table = tables.receipts
    rows = connection.execute(
        select(table)
        .where(table.c.run_id == run_id)
        .order_by(table.c.round, table.c.attempt, table.c.position)
    ).all()
    came: dict[int, list[Receipt]] = {}
    for row in rows:
        came.setdefault(row.round, []).append(receipt_of(row))
    return came
