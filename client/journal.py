"""What has been done and is not yet in the school's log.

A change and the entry that tells of it are one transaction of the vault; the entry goes into the
log as soon as this process, or the gate, can write there. So a withdrawal counts at once, also
while the gate has the log open, and no crash can keep it out of the log or put it in twice.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import Connection, delete, insert, select

from fedtrace.client.sqlite import reading, writing
from fedtrace.client.vault_tables import VaultFiles, requests, unlogged
from fedtrace.governance.log.entries import ENTRY_TYPES, Entry
from fedtrace.governance.log.log import Log


def stage(connection: Connection, entry: Entry, tokens: Iterable[str] = ()) -> None:
    """Remember, within a change's transaction, what the log must say of it.

    Args:
        connection: the transaction.
        entry: has a ``request``.
        tokens: the students it is about; only the vault knows.
    """
    connection.execute(insert(unlogged), {"type": entry.type, "data": entry.model_dump_json()})
    rows = [{"token": token, "request": request_of(entry)} for token in tokens]
    if rows:
        connection.execute(insert(requests).prefix_with("OR IGNORE"), rows)


def request_of(entry: Entry) -> str:
    """The request that an entry is about.

    Raises:
        TypeError: entries of its type are about none.
    """
    request = getattr(entry, "request", None)
    if not isinstance(request, str):
        raise TypeError(f"an entry {entry.type} names no request")
    return request


class Journal:
    """The entries of a vault that wait for the log."""

    def __init__(self, files: VaultFiles) -> None:
        self._engine = files.engine

    def __len__(self) -> int:
        """How many wait."""
        with reading(self._engine) as connection:
            return len(connection.execute(select(unlogged.c.id)).all())

    def write(self, log: Log, *, now: datetime) -> None:
        """Put into the log what waits, each entry once, in the order of the changes.

        Raises:
            Corrupt, OSError: the log cannot be written; everything still waits.
        """
        with reading(self._engine) as connection:
            rows = connection.execute(select(unlogged).order_by(unlogged.c.id)).all()
        if not rows:
            return
        waiting = [ENTRY_TYPES[row.type].model_validate_json(row.data) for row in rows]
        log.append_many([each for each in waiting if not is_logged(log, each)], now=now)
        with writing(self._engine) as connection:
            ids = [row.id for row in rows]
            connection.execute(delete(unlogged).where(unlogged.c.id.in_(ids)))


def is_logged(log: Log, entry: Entry) -> bool:
    """Whether the log holds this entry: a crash came between the log and the journal."""
    return bool(indices_of(log, {request_of(entry)}, kind=type(entry)))


def indices_of(log: Log, wanted: set[str], *, kind: type[Entry] = Entry) -> list[int]:
    """Where in the log entries about these requests are."""
    found = []
    for index in range(len(log)):
        line = log.line(index)
        if b'"request":"' in line:
            entry = log.entry(index).entry
            if isinstance(entry, kind) and request_of(entry) in wanted:
                found.append(index)
    return found
