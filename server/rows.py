"""Values to rows and back: the one place that knows how a job looks in the database."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, delete, insert

from fedtrace.governance.ledger import PrivacyEvent
from fedtrace.server import tables
from fedtrace.server.codec import decode_sum, encode_sum
from fedtrace.server.head import Head, OpenRound
from fedtrace.server.outcome import Receipt, RoundOutcome

_OUTCOME_COLUMNS = tuple(f.name for f in fields(RoundOutcome) if f.name != "receipts")
_RECEIPT_COLUMNS = tuple(f.name for f in fields(Receipt))
_EVENT_COLUMNS = tuple(f.name for f in fields(PrivacyEvent))


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
        finished: that round, where this step finished it.
        checkpoint: the checkpoint that the round left.
        keep_from: checkpoints of earlier rounds are no longer needed.
        histograms: noised score histograms, school -> safetensors bytes.
        event: what the order that this step signs will cost, and
        event_attempt: the attempt that the order opens.
        staged: log entries by log index.
        published: how long the log is; staged entries below that index are dropped.
    """

    receipts: tuple[Receipt, ...] = ()
    round: int = 0
    attempt: int = 0
    finished: RoundOutcome | None = None
    checkpoint: StoredCheckpoint | None = None
    keep_from: int = 0
    histograms: Mapping[str, bytes] = field(default_factory=dict)
    event: PrivacyEvent | None = None
    event_attempt: int = 0
    staged: Mapping[int, bytes] = field(default_factory=dict)
    published: int = 0


def head_columns(head: Head, seal: bytes) -> dict[str, object]:
    """The row of a head and its seal."""
    opened = head.open
    carried = opened.carried if opened else None
    return {
        "run_id": head.run_id,
        "plan_digest": head.plan_digest,
        "version": head.version,
        "state": head.state,
        "reason": head.reason,
        "round": head.round,
        "finished": head.finished,
        "checkpoint_digest": head.checkpoint_digest,
        "optimiser_digest": head.optimiser_digest,
        "model_digest": head.model_digest,
        "previous_record_digest": head.previous_record_digest,
        "started_at": head.started_at.isoformat(),
        "ended_at": head.ended_at.isoformat() if head.ended_at else None,
        "resumed": head.resumed,
        "open_order": opened.order if opened else None,
        "open_attempt": opened.attempt if opened else None,
        "opened_at": opened.opened_at.isoformat() if opened else None,
        "open_sum": None if carried is None else encode_sum(carried),
        "seal": seal,
    }


def head_of(row: Row[Any]) -> Head:
    """The head in a row.

    Raises:
        ValueError: an instant or a sum that cannot be read.
    """
    opened = None
    if row.open_order is not None:
        opened = OpenRound(
            order=row.open_order,
            attempt=row.open_attempt,
            opened_at=datetime.fromisoformat(row.opened_at),
            carried=None if row.open_sum is None else decode_sum(row.open_sum),
        )
    return Head(
        run_id=row.run_id,
        plan_digest=row.plan_digest,
        version=row.version,
        state=row.state,
        reason=row.reason,
        round=row.round,
        finished=row.finished,
        checkpoint_digest=row.checkpoint_digest,
        optimiser_digest=row.optimiser_digest,
        model_digest=row.model_digest,
        previous_record_digest=row.previous_record_digest,
        started_at=datetime.fromisoformat(row.started_at),
        ended_at=datetime.fromisoformat(row.ended_at) if row.ended_at else None,
        resumed=row.resumed,
        open=opened,
    )


def finished_of(row: Row[Any], receipts: tuple[Receipt, ...]) -> FinishedRound:
    """The finished round in a row, with the receipts that belong to it."""
    columns = {name: getattr(row, name) for name in _OUTCOME_COLUMNS}
    return FinishedRound(outcome=RoundOutcome(**columns, receipts=receipts), record=row.record)


def receipt_of(row: Row[Any]) -> Receipt:
    """The receipt in a row."""
    return Receipt(**{name: getattr(row, name) for name in _RECEIPT_COLUMNS})


def event_of(row: Row[Any]) -> PrivacyEvent:
    """The privacy event in a row."""
    return PrivacyEvent(**{name: getattr(row, name) for name in _EVENT_COLUMNS})


def write(connection: Connection, run_id: str, writes: Writes, seal: bytes) -> None:
    """Add everything that one step wrote; the caller's transaction makes it one."""
    if writes.receipts:
        key = {"run_id": run_id, "round": writes.round, "attempt": writes.attempt}
        connection.execute(
            insert(tables.receipts),
            [
                {**key, "position": position, **_plain(receipt, _RECEIPT_COLUMNS)}
                for position, receipt in enumerate(writes.receipts)
            ],
        )
    if writes.finished:
        row = _plain(writes.finished, _OUTCOME_COLUMNS)
        connection.execute(insert(tables.rounds).values(run_id=run_id, record=seal, **row))
    if writes.checkpoint:
        table = tables.checkpoints
        row = _plain(writes.checkpoint, ("round", "parameters", "optimiser"))
        connection.execute(insert(table).values(run_id=run_id, **row))
        outdated = (table.c.run_id == run_id) & (table.c.round < writes.keep_from)
        connection.execute(delete(table).where(outdated))
    if writes.histograms:
        key = {"run_id": run_id, "round": writes.round}
        connection.execute(
            insert(tables.histograms),
            [{**key, "school": school, "payload": p} for school, p in writes.histograms.items()],
        )
    if writes.event:
        row = _plain(writes.event, _EVENT_COLUMNS)
        connection.execute(insert(tables.events).values(attempt=writes.event_attempt, **row))
    staged = tables.staged_entries
    connection.execute(delete(staged).where(staged.c.log_index < writes.published))
    if writes.staged:
        connection.execute(
            insert(staged),
            [{"log_index": index, "entry": entry} for index, entry in writes.staged.items()],
        )


def _plain(value: object, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: getattr(value, name) for name in names}
