"""The school's database: what it has spent, where each plan stands, which plans it accepted.

No student is in here. The privacy ledger is append-only except for the state of an entry, and it
*is* the round counter too: one row, on disk before training starts, says that a round is spent
and that it was asked for. So the two cannot disagree, and a crash anywhere leaves both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import (
    Column,
    Connection,
    DateTime,
    Float,
    Integer,
    LargeBinary,
    MetaData,
    Row,
    String,
    Table,
    delete,
    func,
    insert,
    select,
    update,
)

from fedtrace.client.sqlite import bring_up_to_date, open_database, reading, to_utc, writing
from fedtrace.governance.errors import Corrupt
from fedtrace.governance.facts import AnsweredRound
from fedtrace.governance.ledger import LedgerEntry, PrivacyEvent

VERSION = 1
"""Of the tables below."""

_metadata = MetaData()

_ledger = Table(
    "ledger",
    _metadata,
    Column("id", Integer, primary_key=True),
    Column("plan_digest", String, nullable=False, index=True),
    Column("run_id", String, nullable=False),
    Column("round", Integer, nullable=False),
    Column("kind", String, nullable=False),
    Column("noise_multiplier", Float, nullable=False),
    Column("sampling_rate", Float, nullable=False),
    Column("count", Integer, nullable=False),
    Column("trust_mode", String, nullable=False),
    Column("student_year", String, nullable=False, index=True),
    Column("order_digest", String, nullable=False, index=True),
    Column("checkpoint_digest", String, nullable=False),
    Column("state", String, nullable=False),
    Column("reserved_at", DateTime, nullable=False),
)

_replies = Table(
    "replies",
    _metadata,
    Column("reservation", Integer, primary_key=True),
    Column("name", String, primary_key=True),
    Column("value", LargeBinary, nullable=False),
)

_agreements = Table(
    "agreements",
    _metadata,
    Column("order_digest", String, primary_key=True),
    Column("survivors_digest", String, nullable=False),
)

_plans = Table(
    "plans",
    _metadata,
    Column("digest", String, primary_key=True),
    Column("accepted_at", DateTime, nullable=False),
)

_settings = Table(
    "settings",
    _metadata,
    Column("name", String, primary_key=True),
    Column("value", String, nullable=False),
)

_KILL_SWITCH, _LOGGED_KILL_SWITCH = "kill_switch", "logged_kill_switch"

_EVENT_FIELDS = (
    "plan_digest",
    "run_id",
    "round",
    "kind",
    "noise_multiplier",
    "sampling_rate",
    "count",
    "trust_mode",
    "student_year",
)
"""The columns of the ledger that are the privacy event itself, by the event's own names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptedPlan:
    """A plan that this school has accepted; its text is in ``plans/<digest>/``."""

    digest: str
    accepted_at: datetime


class SchoolStore:
    """The durable state of one school, safe to open in several processes at once.

    Guarantees: what a method wrote is on disk when it returns; no entry of the ledger goes away;
    rounds of a plan never go back.

    Args:
        path: the database file; created when it is not there.

    Raises:
        Corrupt: the file is not an intact database, or a newer program made it.
    """

    def __init__(self, path: Path) -> None:
        self._engine = open_database(path)
        bring_up_to_date(self._engine, _metadata, version=VERSION)

    def close(self) -> None:
        """Let the file go."""
        self._engine.dispose()

    # --- the privacy ledger and the round counter ---------------------------------------------

    def reserve(
        self, event: PrivacyEvent, *, order_digest: str, checkpoint_digest: str, now: datetime
    ) -> int:
        """Write down, before any training, that this event will be spent.

        Whether a round may be answered again is the decision's question; that it never goes back
        is guaranteed here, where two processes cannot both be right. What came before in this
        plan is over: an entry that is still open is marked as abandoned (and stays spent), and
        the stored answer is dropped, because only the newest can be asked for again.

        Returns:
            The reservation, for ``commit``.

        Raises:
            ValueError: the plan has reserved a later round already, or ``now`` has no time zone.
        """
        with writing(self._engine) as connection:
            last = _last_entry(connection, event.plan_digest)
            if last is not None and event.round < last.round:
                raise ValueError(f"round {event.round} comes before round {last.round}")
            before = _ledger.c.plan_digest == event.plan_digest
            still_open = before & (_ledger.c.state == "reserved")
            connection.execute(update(_ledger).where(still_open).values(state="abandoned"))
            old = select(_ledger.c.id).where(before)
            connection.execute(delete(_replies).where(_replies.c.reservation.in_(old)))
            row = {name: getattr(event, name) for name in _EVENT_FIELDS}
            row |= {
                "order_digest": order_digest,
                "checkpoint_digest": checkpoint_digest,
                "state": "reserved",
                "reserved_at": to_utc(now),
            }
            reservation: int = connection.execute(
                insert(_ledger).returning(_ledger.c.id), row
            ).scalar_one()
            return reservation

    def commit(self, reservation: int, *, reply: Mapping[str, bytes]) -> None:
        """Store the finished answer, before it is sent, and mark its event as committed.

        Raises:
            ValueError: the reservation is not open.
        """
        with writing(self._engine) as connection:
            still_open = (_ledger.c.id == reservation) & (_ledger.c.state == "reserved")
            changed = connection.execute(
                update(_ledger).where(still_open).values(state="committed")
            )
            if changed.rowcount != 1:
                raise ValueError(f"reservation {reservation} is not open")
            connection.execute(
                insert(_replies),
                [
                    {"reservation": reservation, "name": name, "value": value}
                    for name, value in reply.items()
                ],
            )

    def ledger(self) -> tuple[LedgerEntry, ...]:
        """Every entry, oldest first."""
        with reading(self._engine) as connection:
            rows = connection.execute(select(_ledger).order_by(_ledger.c.id)).all()
        return tuple(_entry(row) for row in rows)

    def open_entries(self) -> tuple[LedgerEntry, ...]:
        """Entries that are reserved: rounds that are being answered, or were when it crashed."""
        return tuple(entry for entry in self.ledger() if entry.state == "reserved")

    def ledger_rows(self) -> list[dict[str, Any]]:
        """Every entry with all that is stored about it, oldest first; times are in UTC."""
        with reading(self._engine) as connection:
            rows = connection.execute(select(_ledger).order_by(_ledger.c.id)).mappings().all()
        return [
            {name: value for name, value in row.items() if name != "id"}
            | {"reserved_at": row["reserved_at"].replace(tzinfo=UTC)}
            for row in rows
        ]

    def add_ledger_rows(self, rows: Sequence[Mapping[str, Any]]) -> int:
        """Add entries of an earlier database; one that is there already is left as it is.

        An entry is known by its order and the moment of its reservation. One that was open is
        over: its answer is not here.

        Returns:
            How many were added.
        """
        added = 0
        with writing(self._engine) as connection:
            known = {
                (row.order_digest, row.reserved_at)
                for row in connection.execute(select(_ledger.c.order_digest, _ledger.c.reserved_at))
            }
            for row in rows:
                moment = to_utc(row["reserved_at"])
                if (row["order_digest"], moment) in known:
                    continue
                state = "abandoned" if row["state"] == "reserved" else row["state"]
                values = {**row, "reserved_at": moment, "state": state}
                connection.execute(insert(_ledger).values(values))
                added += 1
        return added

    def last_round(self, plan_digest: str) -> AnsweredRound | None:
        """The newest round of a plan that was reserved, by any run and of any kind."""
        with reading(self._engine) as connection:
            row = _last_entry(connection, plan_digest)
            if row is None:
                return None
            stored = select(_replies.c.name).where(_replies.c.reservation == row.id).limit(1)
            # While an entry is open nothing has left: `commit` comes before the answer goes.
            may_have_left = (_ledger.c.plan_digest == plan_digest) & (
                (_ledger.c.id != row.id) | (_ledger.c.state != "reserved")
            )
            used = select(_ledger.c.order_digest).where(may_have_left, _ledger.c.round == row.round)
            return AnsweredRound(
                round=row.round,
                kind=row.kind,
                order_digest=row.order_digest,
                checkpoint_digest=row.checkpoint_digest,
                reply_stored=connection.execute(stored).first() is not None,
                used_orders=frozenset(connection.execute(used).scalars()),
            )

    def newest_entry_at(self) -> datetime | None:
        """When the ledger was last added to; None before that. A clock before it is wrong."""
        with reading(self._engine) as connection:
            newest = connection.execute(select(func.max(_ledger.c.reserved_at))).scalar()
        return None if newest is None else newest.replace(tzinfo=UTC)

    def reply_to(self, order_digest: str) -> dict[str, bytes] | None:
        """The stored answer to exactly this order, if it was the plan's last.

        A repeated order gets the same bytes again: a second training would spend a second time.
        """
        query = (
            select(_replies.c.name, _replies.c.value)
            .join(_ledger, _ledger.c.id == _replies.c.reservation)
            .where(_ledger.c.order_digest == order_digest)
        )
        with reading(self._engine) as connection:
            return {row.name: row.value for row in connection.execute(query)} or None

    def agree(self, order_digest: str, survivors_digest: str) -> bool:
        """Settle the one list of survivors of a round; False where another one was settled."""
        with writing(self._engine) as connection:
            query = select(_agreements.c.survivors_digest)
            settled = connection.execute(
                query.where(_agreements.c.order_digest == order_digest)
            ).scalar()
            if settled is None:
                row = {"order_digest": order_digest, "survivors_digest": survivors_digest}
                connection.execute(insert(_agreements), row)
            return settled in (None, survivors_digest)

    # --- plans and settings ---------------------------------------------------------------------

    def accept_plan(self, digest: str, *, now: datetime) -> None:
        """Register a plan; one that is registered already keeps its first date.

        Raises:
            ValueError: ``now`` has no time zone.
        """
        with writing(self._engine) as connection:
            known = connection.execute(select(_plans.c.digest).where(_plans.c.digest == digest))
            if known.first() is None:
                values = {"digest": digest, "accepted_at": to_utc(now)}
                connection.execute(insert(_plans).values(values))

    def plans(self) -> tuple[AcceptedPlan, ...]:
        """Every plan ever accepted, oldest first."""
        with reading(self._engine) as connection:
            rows = connection.execute(select(_plans).order_by(_plans.c.accepted_at)).all()
        return tuple(
            AcceptedPlan(digest=row.digest, accepted_at=row.accepted_at.replace(tzinfo=UTC))
            for row in rows
        )

    @property
    def kill_switch(self) -> bool:
        """True while a person at the school has stopped all training."""
        with reading(self._engine) as connection:
            return _is_on(connection, _KILL_SWITCH)

    @property
    def kill_switch_is_logged(self) -> bool:
        """Whether the school's log says how the kill switch stands now."""
        with reading(self._engine) as connection:
            return _is_on(connection, _KILL_SWITCH) == _is_on(connection, _LOGGED_KILL_SWITCH)

    def set_kill_switch(self, on: bool, *, logged: bool = False) -> None:
        """Stop all training, or allow it again.

        Args:
            on: whether training is stopped.
            logged: the school's log says so already.
        """
        names = (_KILL_SWITCH, _LOGGED_KILL_SWITCH) if logged else (_KILL_SWITCH,)
        with writing(self._engine) as connection:
            connection.execute(delete(_settings).where(_settings.c.name.in_(names)))
            if on:
                rows = [{"name": name, "value": "on"} for name in names]
                connection.execute(insert(_settings), rows)


def _is_on(connection: Connection, name: str) -> bool:
    query = select(_settings.c.value).where(_settings.c.name == name)
    return bool(connection.execute(query).scalar() == "on")


def _last_entry(connection: Connection, plan_digest: str) -> Row[Any] | None:
    query = select(_ledger).where(_ledger.c.plan_digest == plan_digest)
    newest = (_ledger.c.round.desc(), _ledger.c.id.desc())
    return connection.execute(query.order_by(*newest).limit(1)).first()


def _entry(row: Row[Any]) -> LedgerEntry:
    """A ledger row as governance knows it; a row that breaks its rules stops everything."""
    try:
        event = PrivacyEvent(**{name: getattr(row, name) for name in _EVENT_FIELDS})
        return LedgerEntry(event=event, state=row.state)
    except ValueError as error:
        raise Corrupt(f"entry {row.id} of the privacy ledger is damaged") from error
