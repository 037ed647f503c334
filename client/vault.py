"""Where a school keeps its students' interactions: one encrypted record a student.

Every student has a data key of their own (AES-256-GCM); the data keys, wrapped by the school's
key, live in a second small file. Destroying one wrapped key makes one record unreadable wherever
copies of the big file may be, backups included; ``erase`` then also removes the row and proves it.

A student is known inside by a random token. The way from the school's own student number to the
token is a keyed hash under a key that stays in the school, so a later import meets the same token
and nobody without the key can try numbers. The file layout is in docs/formats/vault.md.
"""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from itertools import islice
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar

from sqlalchemy import Connection, select
from sqlalchemy.dialects.sqlite import insert

from fedtrace.client.cohorts import CohortBook
from fedtrace.client.consents import ConsentBook
from fedtrace.client.destruction import destroy
from fedtrace.client.erasure import Erasure, require_absent
from fedtrace.client.holds import HoldBook
from fedtrace.client.journal import Journal, stage
from fedtrace.client.sealing import AnswerArray, SkillArray, StudentRecord
from fedtrace.client.sqlite import reading, to_utc, writing
from fedtrace.client.vault_tables import (
    drop_deleted,
    open_files,
    students,
    tombstones,
    with_key,
    wrapped_keys,
)
from fedtrace.governance.consent import Terms, is_eligible
from fedtrace.governance.log.entries import ImportCompleted, RecordErased
from fedtrace.governance.refusals import RefusalCode, Refused

_Item = TypeVar("_Item")

_CHUNK_STUDENTS = 500
_TOKEN_BYTES = 16


class Fold(StrEnum):
    """What a student's records are for; decided once, at the first import."""

    TRAIN = "train"
    VALIDATION = "validation"
    TEST = "test"


_NO_FOLDS: Mapping[str, Fold] = MappingProxyType({})


class UnknownStudentError(ValueError):
    """A person named a student of whom there is no record."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Filed:
    """How one record is filed.

    Attributes:
        fold: what it is for.
        retain_until: when it must be destroyed.
        catalogue_digest: of the catalogue that its skills are ids of.
    """

    fold: Fold
    retain_until: datetime
    catalogue_digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class VaultSummary:
    """What a school may be told about its vault: numbers of students, nothing about any."""

    students: int
    by_fold: Mapping[Fold, int]
    past_retention: int


class Vault:
    """The encrypted records of one school's students.

    Guarantees: no student number, answer or skill is in the files in clear; tokens come back in
    one fixed order that says nothing about the import; a student's fold never changes.

    Args:
        directory: holds ``students.db`` and ``keys.db``; created when it is not there.
        school_key: 32 secret bytes; see ``fedtrace.client.sealing``.

    Raises:
        Corrupt: a file is not an intact database.
        ValueError: the key has another length.
    """

    def __init__(self, directory: Path, school_key: bytes) -> None:
        self.files = open_files(directory, school_key)
        self.journal = Journal(self.files)
        self.consents = ConsentBook(self.files)
        self.holds = HoldBook(self.files)
        self.cohorts = CohortBook(self.files)
        self._engine, self._sealer = self.files.engine, self.files.sealer

    def __repr__(self) -> str:
        return f"Vault({len(self)} students)"

    def __len__(self) -> int:
        """The number of students whose record can be read."""
        with reading(self._engine) as connection:
            return len(connection.execute(with_key(select(students.c.token))).all())

    def close(self) -> None:
        """Let the files go."""
        self._engine.dispose()

    def add(
        self,
        records: Iterable[StudentRecord],
        *,
        retain_until: datetime,
        catalogue_digest: str,
        folds: Mapping[str, Fold] = _NO_FOLDS,
        entry: ImportCompleted | None = None,
    ) -> tuple[str, ...]:
        """Store records; a student who is here already keeps token and fold, the record is new.

        An import says everything the school knows about the students it names: it replaces, so
        that importing one file twice changes nothing. It is one transaction, all or nothing.

        Args:
            records: one a student; read as a stream.
            retain_until: when these records must be erased.
            catalogue_digest: of the catalogue that the skills are ids of.
            folds: fold by external id, for measurements. Everybody else's is drawn from secret
                coins: 70 % train, 10 % validation, 20 % test.
            entry: what the log will say of this import, staged with it.

        Returns:
            The tokens, in the order of the records; students who were erased are left out.

        Raises:
            ValueError: a fold is given that contradicts the one at first import, or
                ``retain_until`` has no time zone.
            Corrupt: the records here were sealed with another school's key.
        """
        self.require_key()
        tokens: list[str] = []
        common = {"retain_until": to_utc(retain_until), "catalogue_digest": catalogue_digest}
        with writing(self._engine) as connection:
            for chunk in _chunks(records):
                tokens.extend(self._add_chunk(connection, chunk, common, folds))
            if entry is not None:
                stage(connection, entry, tokens)
        return tuple(tokens)

    def cohort(
        self, *, now: datetime, terms: Terms, catalogue_digest: str, fold: Fold | None = None
    ) -> tuple[str, ...]:
        """The students who may take part now, by token, in sorted order; nobody under a hold.

        Tokens are random, so the order is fixed without telling anything.

        Args:
            now: with a time zone.
            terms: what the plan needs a consent for.
            catalogue_digest: the plan's; the ids of another catalogue would mean other skills.
            fold: only its students; None for all.

        Raises:
            ValueError: ``now`` has no time zone.
            Corrupt: what is on file about consent does not open.
        """
        query = with_key(select(students.c.token, students.c.retain_until))
        query = query.where(
            students.c.retain_until > to_utc(now),
            students.c.catalogue_digest == catalogue_digest,
        )
        if fold is not None:
            query = query.where(students.c.fold == fold.value)
        with reading(self._engine) as connection:
            rows = connection.execute(query.order_by(students.c.token)).all()
            histories = self.consents.histories(connection)
            held = self.holds.held(connection)
        return tuple(
            row.token
            for row in rows
            if not {row.token, None} & held
            and is_eligible(
                histories.get(row.token, ()),
                terms,
                retention_until=row.retain_until.replace(tzinfo=UTC),
                now=now,
            )
        )

    def read(self, tokens: Sequence[str]) -> list[tuple[SkillArray, AnswerArray]]:
        """Decrypt the records of a cohort.

        Returns:
            (skills int32, correct int8) a student, each in time order, in the order of ``tokens``.

        Raises:
            LookupError: a student is not here any more, for instance erased a moment ago.
            Corrupt: a record does not open: the file was changed, or the key is another school's.
        """
        records = []
        query = with_key(select(students.c.token, students.c.record, wrapped_keys.c.wrapped_key))
        with reading(self._engine) as connection:
            for chunk in _chunks(tokens):
                rows = connection.execute(query.where(students.c.token.in_(chunk)))
                found = {token: (record, key) for token, record, key in rows}
                for token in chunk:
                    if token not in found:
                        raise LookupError("a student of the cohort is not in the vault any more")
                    record, key = found[token]
                    records.append(self._sealer.open(token, key, record))
        return records

    def require_key(self) -> None:
        """Make sure that the records were sealed with this school's key; one stands for all.

        Another key would hash student numbers to others, so an import would add every student a
        second time.

        Raises:
            Corrupt: the key is another one, or that record is damaged.
        """
        with reading(self._engine) as connection:
            token = connection.execute(with_key(select(students.c.token)).limit(1)).scalar()
        if token is not None:
            self.read([token])

    def token_of(self, external_id: str) -> str | None:
        """The token of a student by the school's own number, or None."""
        query = select(students.c.token).where(
            students.c.external_id_hash == self._sealer.hash_of(external_id)
        )
        with reading(self._engine) as connection:
            token: str | None = connection.execute(query).scalar()
        return token

    def filed(self, token: str) -> Filed:
        """How a student's record is filed.

        Raises:
            LookupError: there is no such student.
        """
        query = select(students.c.fold, students.c.retain_until, students.c.catalogue_digest)
        with reading(self._engine) as connection:
            row = connection.execute(query.where(students.c.token == token)).first()
        if row is None:
            raise LookupError("there is no such student in the vault")
        return Filed(
            fold=Fold(row.fold),
            retain_until=row.retain_until.replace(tzinfo=UTC),
            catalogue_digest=row.catalogue_digest,
        )

    def find(self, external_id: str) -> str:
        """The token of a student whom a person names by the school's own number.

        Raises:
            UnknownStudentError: no record of this student is here.
        """
        token = self.token_of(external_id)
        if token is None:
            raise UnknownStudentError(
                "no record of a student with this number is here: check the number as it stands "
                "in the export, or import the records first."
            )
        return token

    def summary(self, now: datetime) -> VaultSummary:
        """How many students there are, by fold, and how many should have been erased by now.

        Raises:
            ValueError: ``now`` has no time zone.
        """
        query = with_key(select(students.c.fold, students.c.retain_until))
        with reading(self._engine) as connection:
            rows = connection.execute(query).all()
        folds = Counter(Fold(row.fold) for row in rows)
        return VaultSummary(
            students=len(rows),
            by_fold={fold: folds[fold] for fold in Fold},
            past_retention=sum(row.retain_until <= to_utc(now) for row in rows),
        )

    def is_erased(self, external_id: str) -> bool:
        """Whether the record of a student whom the school names so was erased here."""
        query = select(tombstones.c.hash).where(
            tombstones.c.hash == self._sealer.tombstone_of(external_id)
        )
        with reading(self._engine) as connection:
            return connection.execute(query).first() is not None

    def finish_erasure(self, external_id: str) -> Erasure:
        """Empty the journals again after an erasure that another reader held up.

        Raises:
            TimeoutError: another process is still reading.
            Corrupt: the student's hash is still in the files.
        """
        drop_deleted(self.files)
        return require_absent(self.files.directory, [self._sealer.hash_of(external_id)])

    def erase(
        self, token: str, *, external_id: str | None = None, entry: RecordErased | None = None
    ) -> Erasure:
        """Destroy one student's record and search the files for it; see `client.destruction`.

        When the journals could not be emptied, calling again empties them, whatever it finds of
        the student.

        Args:
            token: the student's.
            external_id: the school's own number; later imports leave that student out.
            entry: what the log will say of it, staged with the deletion of the row.

        Raises:
            Refused: R18, the records are under a hold.
            LookupError: there is no such student.
            TimeoutError: another process is reading; the key is gone already, so repeat it later.
            Corrupt: bytes of the record are still in the files.
        """
        if self.holds.is_held(token):
            raise Refused(RefusalCode.R18, "hold.student")
        grave = None if external_id is None else self._sealer.tombstone_of(external_id)
        self._require_row(token)
        return destroy(
            self.files,
            [token],
            graves=[] if grave is None else [grave],
            entries={} if entry is None else {token: entry},
        )

    def erase_again(self, tokens: Sequence[str]) -> Erasure:
        """Destroy records that were erased before and came back with older files.

        Raises:
            TimeoutError, Corrupt, OSError: as `destroy`.
        """
        query = select(students.c.token, students.c.external_id_hash)
        with reading(self._engine) as connection:
            hashes = {row.token: row.external_id_hash for row in connection.execute(query)}
        graves = [self._sealer.tombstone_from(hashes[token]) for token in tokens if token in hashes]
        return destroy(self.files, tokens, graves=graves)

    def tokens(self) -> tuple[str, ...]:
        """Every student of whom there is a row, also one whose key is gone, in sorted order."""
        with reading(self._engine) as connection:
            return tuple(connection.execute(select(students.c.token).order_by("token")).scalars())

    def _require_row(self, token: str) -> None:
        query = select(students.c.token).where(students.c.token == token)
        with reading(self._engine) as connection:
            if connection.execute(query).first() is not None:
                return
        drop_deleted(self.files)
        raise LookupError("there is no such student in the vault")

    def _add_chunk(
        self,
        connection: Connection,
        records: Sequence[StudentRecord],
        common: Mapping[str, object],
        folds: Mapping[str, Fold],
    ) -> list[str]:
        records = self._without_erased(connection, records)
        if not records:
            return []
        hashes = [self._sealer.hash_of(record.external_id) for record in records]
        query = select(students.c.external_id_hash, students.c.token, students.c.fold)
        query = query.where(students.c.external_id_hash.in_(hashes))
        known = {hashed: (token, fold) for hashed, token, fold in connection.execute(query)}
        tokens = [token for token, _ in known.values()]
        query = select(wrapped_keys).where(wrapped_keys.c.token.in_(tokens))
        keys: dict[str, bytes] = {row.token: row.wrapped_key for row in connection.execute(query)}
        new_keys: dict[str, bytes] = {}
        rows = {}
        for record, hashed in zip(records, hashes, strict=True):
            given = folds.get(record.external_id)
            if hashed not in known:
                known[hashed] = (secrets.token_hex(_TOKEN_BYTES), given or _draw_fold())
            token, fold = known[hashed]
            if given is not None and given != fold:
                raise ValueError(f"a student's fold is {fold} since the first import, not {given}")
            if token not in keys:
                keys[token] = new_keys[token] = self._sealer.new_wrapped_key(token)
            rows[token] = {
                "token": token,
                "external_id_hash": hashed,
                "fold": str(fold),
                "record": self._sealer.seal(token, keys[token], record),
                **common,
            }
        if new_keys:
            pairs = [{"token": token, "wrapped_key": key} for token, key in new_keys.items()]
            connection.execute(insert(wrapped_keys), pairs)
        upsert = insert(students)
        upsert = upsert.on_conflict_do_update(
            index_elements=["token"],
            set_={name: upsert.excluded[name] for name in ("record", *common)},
        )
        connection.execute(upsert, list(rows.values()))
        return [known[hashed][0] for hashed in hashes]

    def _without_erased(
        self, connection: Connection, records: Sequence[StudentRecord]
    ) -> Sequence[StudentRecord]:
        """An export of last week still has the student who was erased yesterday."""
        graves = set(connection.execute(select(tombstones.c.hash)).scalars())
        if not graves:
            return records
        return [r for r in records if self._sealer.tombstone_of(r.external_id) not in graves]


def _draw_fold() -> Fold:
    """70 % train, 10 % validation, 20 % test, by a coin that nobody outside can predict."""
    coin = secrets.randbelow(10)
    return Fold.TRAIN if coin < 7 else Fold.VALIDATION if coin < 8 else Fold.TEST


def _chunks(items: Iterable[_Item]) -> Iterator[list[_Item]]:
    iterator = iter(items)
    while chunk := list(islice(iterator, _CHUNK_STUDENTS)):
        yield chunk
