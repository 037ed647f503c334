"""The consortium's database: one transaction a round, and a head that only one process can swap.

Every step of a job ends in one call of `ConsortiumStore.swap`. It writes what the step produced
and moves the job's head from one version to the next, all or nothing; where another process moved
the head first, nothing is written. What is decided but must still reach the audit log lies staged
in the same transaction (see `fedtrace.server.publishing`).

SQLite by default; ``FEDTRACE_DATABASE_URL`` names another database, PostgreSQL for one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, Row, create_engine, delete, event, insert, select, update
from sqlalchemy.exc import DatabaseError, IntegrityError

from fedtrace.governance.errors import Corrupt
from fedtrace.governance.ledger import PrivacyEvent
from fedtrace.server import tables
from fedtrace.server.codec import decode_sum, encode_sum
from fedtrace.server.head import Head, OpenRound
from fedtrace.server.outcome import Receipt, RoundOutcome

BUSY_TIMEOUT_SECONDS = 10
"""How long a second process waits for the first one's transaction (SQLite)."""

DATABASE_VARIABLE = "FEDTRACE_DATABASE_URL"
"""Environment variable with an SQLAlchemy URL; the consortium's SQLite file where it is unset."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishedRound:
    """A round that is over, closed or given up, with the aggregator's signed record of it."""

    outcome: RoundOutcome
    record: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredCheckpoint:
    """A checkpoint as bytes: parameters and optimiser state, both safetensors."""

    round: int
    parameters: bytes
    optimiser: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Writes:
    """What one step adds to the database besides the new head.

    Attributes:
        receipts: what became of the answers to one attempt.
        round: the round and
        attempt: the attempt that they belong to.
        finished: the round, where this step finished it.
        checkpoint: the checkpoint that the round left.
        keep_from: checkpoints of earlier rounds are no longer needed.
        histograms: noised score histograms, school -> safetensors bytes.
        event: the privacy event of the round that this step opens.
        staged: log entries by log index.
        published: how long the log is; staged entries below that index are dropped.
    """

    receipts: tuple[Receipt, ...] = ()
    round: int = 0
    attempt: int = 0
    finished: FinishedRound | None = None
    checkpoint: StoredCheckpoint | None = None
    keep_from: int = 0
    histograms: Mapping[str, bytes] = field(default_factory=dict)
    event: PrivacyEvent | None = None
    staged: Mapping[int, bytes] = field(default_factory=dict)
    published: int = 0


class ConsortiumStore:
    """The consortium's database.

    Raises:
        Corrupt: from any method, where the stored state contradicts itself.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        tables.metadata.create_all(engine)

    @classmethod
    def open(cls, url: str) -> ConsortiumStore:
        """Open the database at an SQLAlchemy URL and create the tables that are missing.

        Raises:
            Corrupt: the file is there and is no intact database.
        """
        engine = create_engine(url)
        if engine.dialect.name == "sqlite":
            event.listen(engine, "connect", _configure_sqlite)
            if engine.url.database:
                Path(engine.url.database).touch(mode=0o600)
        try:
            return cls(engine)
        except DatabaseError as error:
            engine.dispose()
            raise Corrupt("the consortium's database cannot be read: restore a backup") from error

    def close(self) -> None:
        """Give the connections back."""
        self._engine.dispose()

    def head(self, plan_digest: str) -> Head | None:
        """Where the job of a plan stands, or None where it was never opened."""
        with self._engine.connect() as connection:
            row = connection.execute(
                select(tables.runs).where(tables.runs.c.plan_digest == plan_digest)
            ).one_or_none()
        return None if row is None else _head(row)

    def begin(self, head: Head, writes: Writes) -> None:
        """Open a job.

        Raises:
            Corrupt: another process opened it first.
        """
        try:
            with self._engine.begin() as connection:
                connection.execute(insert(tables.runs).values(_columns(head)))
                _write(connection, head.run_id, writes)
        except IntegrityError as error:
            raise Corrupt(
                f"the run of plan {head.plan_digest} was opened by another aggregator at the same "
                "time: stop one of them"
            ) from error

    def swap(self, head: Head, writes: Writes) -> None:
        """Move the job from the version before ``head`` to ``head``, with everything it wrote.

        Raises:
            Corrupt: the stored head is not the version before; nothing was written.
        """
        with self._engine.begin() as connection:
            swapped = connection.execute(
                update(tables.runs)
                .where(tables.runs.c.run_id == head.run_id)
                .where(tables.runs.c.version == head.version - 1)
                .values(_columns(head))
            )
            if swapped.rowcount != 1:
                raise Corrupt(
                    f"run {head.run_id} is no longer at version {head.version - 1}: another "
                    "aggregator works on it, or the database was set back"
                )
            _write(connection, head.run_id, writes)

    def checkpoint(self, run_id: str, round_number: int) -> StoredCheckpoint:
        """The checkpoint that a round left, as stored; nothing is verified here.

        Raises:
            Corrupt: it is not there.
        """
        table = tables.checkpoints
        with self._engine.connect() as connection:
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
        with self._engine.connect() as connection:
            rows = connection.execute(
                select(table).where(table.c.run_id == run_id).order_by(table.c.round)
            ).all()
            came = _receipts(connection, run_id)
        return tuple(
            FinishedRound(
                outcome=RoundOutcome(
                    round=row.round,
                    kind=row.kind,
                    closed=bool(row.closed),
                    attempts=row.attempts,
                    start_seconds=row.start_seconds,
                    end_seconds=row.end_seconds,
                    checkpoint_digest=row.checkpoint_digest,
                    receipts=tuple(came.get(row.round, ())),
                ),
                record=row.record,
            )
            for row in rows
        )

    def receipts(self, run_id: str, round_number: int) -> tuple[Receipt, ...]:
        """The receipts of one round, over all its attempts so far."""
        with self._engine.connect() as connection:
            return tuple(_receipts(connection, run_id).get(round_number, ()))

    def events(self, run_id: str) -> tuple[PrivacyEvent, ...]:
        """The run's privacy events in the order of its rounds."""
        table = tables.events
        with self._engine.connect() as connection:
            rows = connection.execute(
                select(table).where(table.c.run_id == run_id).order_by(table.c.round)
            ).all()
        return tuple(PrivacyEvent(**row._asdict()) for row in rows)

    def histograms(self, run_id: str) -> dict[str, bytes]:
        """School -> its noised score histograms, safetensors bytes."""
        table = tables.histograms
        with self._engine.connect() as connection:
            rows = connection.execute(
                select(table.c.school, table.c.payload)
                .where(table.c.run_id == run_id)
                .order_by(table.c.school)
            ).all()
        return {row.school: row.payload for row in rows}

    def staged(self) -> dict[int, bytes]:
        """Log entries that may not be in the log yet, by log index."""
        table = tables.staged_entries
        with self._engine.connect() as connection:
            rows = connection.execute(select(table).order_by(table.c.log_index)).all()
        return {row.log_index: row.entry for row in rows}


def _configure_sqlite(connection: Any, _: object) -> None:
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")  # a commit that returned has reached the disk
    connection.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_SECONDS * 1000}")


def _columns(head: Head) -> dict[str, object]:
    opened = head.open
    return {
        "run_id": head.run_id,
        "plan_digest": head.plan_digest,
        "version": head.version,
        "state": head.state,
        "reason": head.reason,
        "round": head.round,
        "checkpoint_digest": head.checkpoint_digest,
        "record_digest": head.record_digest,
        "model_digest": head.model_digest,
        "started_at": head.started_at.isoformat(),
        "ended_at": head.ended_at.isoformat() if head.ended_at else "",
        "resumed": head.resumed,
        "open_order": opened.order if opened else None,
        "open_attempt": opened.attempt if opened else 0,
        "open_at": opened.opened_at.isoformat() if opened else "",
        "open_sum": None if opened is None or opened.carried is None else encode_sum(opened.carried),
    }


def _head(row: Row[Any]) -> Head:
    opened = None
    if row.open_order is not None:
        opened = OpenRound(
            order=row.open_order,
            attempt=row.open_attempt,
            opened_at=datetime.fromisoformat(row.open_at),
            carried=None if row.open_sum is None else decode_sum(row.open_sum),
        )
    return Head(
        run_id=row.run_id,
        plan_digest=row.plan_digest,
        version=row.version,
        state=row.state,
        reason=row.reason,
        round=row.round,
        checkpoint_digest=row.checkpoint_digest,
        record_digest=row.record_digest,
        model_digest=row.model_digest,
        started_at=datetime.fromisoformat(row.started_at),
        ended_at=datetime.fromisoformat(row.ended_at) if row.ended_at else None,
        resumed=row.resumed,
        open=opened,
    )


def _receipts(connection: Connection, run_id: str) -> dict[int, list[Receipt]]:
    """Round -> receipts; the fields of a row that follow the key are those of a receipt."""
    table = tables.receipts
    rows = connection.execute(
        select(table)
        .where(table.c.run_id == run_id)
        .order_by(table.c.round, table.c.attempt, table.c.position)
    ).all()
    came: dict[int, list[Receipt]] = {}
    for row in rows:
        came.setdefault(row.round, []).append(
            Receipt(
                school=row.school,
                disposition=row.disposition,
                code=row.code,
                digest=row.digest,
                received_bytes=row.received_bytes,
                received_seconds=row.received_seconds,
            )
        )
    return came


def _write(connection: Connection, run_id: str, writes: Writes) -> None:
    if writes.receipts:
        connection.execute(
            insert(tables.receipts),
            [
                {
                    "run_id": run_id,
                    "round": writes.round,
                    "attempt": writes.attempt,
                    "position": position,
                    "school": receipt.school,
                    "disposition": receipt.disposition,
                    "code": receipt.code,
                    "digest": receipt.digest,
                    "received_bytes": receipt.received_bytes,
                    "received_seconds": receipt.received_seconds,
                }
                for position, receipt in enumerate(writes.receipts)
            ],
        )
    if writes.finished:
        outcome = writes.finished.outcome
        connection.execute(
            insert(tables.rounds).values(
                run_id=run_id,
                round=outcome.round,
                kind=outcome.kind,
                closed=int(outcome.closed),
                attempts=outcome.attempts,
                start_seconds=outcome.start_seconds,
                end_seconds=outcome.end_seconds,
                checkpoint_digest=outcome.checkpoint_digest,
                record=writes.finished.record,
            )
        )
    if writes.checkpoint:
        table = tables.checkpoints
        connection.execute(
            insert(table).values(
                run_id=run_id,
                round=writes.checkpoint.round,
                parameters=writes.checkpoint.parameters,
                optimiser=writes.checkpoint.optimiser,
            )
        )
        connection.execute(
            delete(table).where(table.c.run_id == run_id, table.c.round < writes.keep_from)
        )
    if writes.histograms:
        connection.execute(
            insert(tables.histograms),
            [
                {"run_id": run_id, "round": writes.round, "school": school, "payload": payload}
                for school, payload in writes.histograms.items()
            ],
        )
    if writes.event:
        connection.execute(insert(tables.events).values(_event_columns(writes.event)))
    staged = tables.staged_entries
    connection.execute(delete(staged).where(staged.c.log_index < writes.published))
    if writes.staged:
        connection.execute(
            insert(staged),
            [{"log_index": index, "entry": entry} for index, entry in writes.staged.items()],
        )


def _event_columns(spent: PrivacyEvent) -> dict[str, object]:
    return {column.name: getattr(spent, column.name) for column in tables.events.columns}
