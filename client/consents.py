"""What is on file about consent, sealed under each student's own data key.

A student's history is one sealed record: nobody without the key reads who said no, and the
erasure of the student takes it along. Records are added, never changed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from pydantic import ValidationError
from sqlalchemy import Connection, select
from sqlalchemy.dialects.sqlite import insert

from fedtrace.client.journal import stage
from fedtrace.client.sealing import CONSENT
from fedtrace.client.sqlite import reading, writing
from fedtrace.client.vault_tables import VaultFiles, consents, wrapped_keys
from fedtrace.governance.consent import ConsentRecord, ConsentState, require_possible, standing
from fedtrace.governance.document import Section
from fedtrace.governance.errors import Corrupt
from fedtrace.governance.log.entries import ConsentChanged, size_bucket

History = tuple[ConsentRecord, ...]


class ConsentHistory(Section):
    """Everything on file about one student, oldest first."""

    records: History


class ConsentBook:
    """The consents of a vault."""

    def __init__(self, files: VaultFiles) -> None:
        self._files = files

    def record(
        self, changes: Mapping[str, Sequence[ConsentRecord]], *, request: str, now: datetime
    ) -> None:
        """Add records by token, all or none; in force from the next cohort on.

        Raises:
            LookupError: a student is not in the vault.
            ValueError: a change that cannot follow on what stands.
            Corrupt: what is on file does not open.
            OSError: it cannot be written; nothing was changed.
        """
        with writing(self._files.engine) as connection:
            for token, records in changes.items():
                history = self._history(connection, token)
                stands = standing(history)
                for record in records:
                    require_possible(stands.get((record.purpose, record.item)), record, now)
                self._write(connection, token, (*history, *records))
            states = [record.state for records in changes.values() for record in records]
            entry = ConsentChanged(
                request=request,
                students=size_bucket(len(changes)),
                **{str(state): size_bucket(states.count(state)) for state in ConsentState},
            )
            stage(connection, entry, changes)

    def history(self, token: str) -> History:
        """What is on file about one student.

        Raises:
            LookupError: there is no such student.
            Corrupt: it does not open.
        """
        with reading(self._files.engine) as connection:
            return self._history(connection, token)

    def all(self) -> dict[str, History]:
        """As `histories`, as of now."""
        with reading(self._files.engine) as connection:
            return self.histories(connection)

    def histories(self, connection: Connection) -> dict[str, History]:
        """What is on file about every student of whom anything is.

        Raises:
            Corrupt: one does not open.
        """
        query = select(consents, wrapped_keys.c.wrapped_key)
        query = query.join(wrapped_keys, wrapped_keys.c.token == consents.c.token)
        return {
            row.token: self._open(row.token, row.wrapped_key, row.history)
            for row in connection.execute(query)
        }

    def _history(self, connection: Connection, token: str) -> History:
        sealed = select(consents.c.history).where(consents.c.token == token)
        history = connection.execute(sealed).scalar()
        key = self._key(connection, token)
        return () if history is None else self._open(token, key, history)

    def _key(self, connection: Connection, token: str) -> bytes:
        query = select(wrapped_keys.c.wrapped_key).where(wrapped_keys.c.token == token)
        key: bytes | None = connection.execute(query).scalar()
        if key is None:
            raise LookupError("there is no such student in the vault")
        return key

    def _open(self, token: str, wrapped_key: bytes, sealed: bytes) -> History:
        plain = self._files.sealer.open_bytes(CONSENT, token, wrapped_key, sealed)
        try:
            return ConsentHistory.model_validate_json(plain).records
        except ValidationError as error:
            raise Corrupt("a consent on file is not one that this release understands") from error

    def _write(self, connection: Connection, token: str, history: History) -> None:
        key = self._key(connection, token)
        plain = ConsentHistory(records=history).model_dump_json().encode()
        sealed = self._files.sealer.seal_bytes(CONSENT, token, key, plain)
        upsert = insert(consents).values(token=token, history=sealed)
        upsert = upsert.on_conflict_do_update(
            index_elements=["token"], set_={"history": upsert.excluded.history}
        )
        connection.execute(upsert)
