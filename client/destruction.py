"""The way a student's record is destroyed, in steps that no crash can turn around.

First the tombstone, so that no import brings the student back wherever this is cut off; then the
key on its own, so that from then on the record is unreadable whatever happens, in backups of the
big file too; then the row; then the journals, which keep deleted pages until they are emptied,
and the free pages. Then the files are searched for what might be left.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from sqlalchemy import delete, select
from sqlalchemy.dialects.sqlite import insert

from fedtrace.client.erasure import Erasure, pieces, require_absent
from fedtrace.client.journal import stage
from fedtrace.client.sqlite import reading, writing
from fedtrace.client.vault_tables import (
    VaultFiles,
    consents,
    drop_deleted,
    requests,
    students,
    tombstones,
    wrapped_keys,
)
from fedtrace.governance.log.entries import RecordErased

_NO_ENTRIES: Mapping[str, RecordErased] = MappingProxyType({})
_AT_ONCE = 500  # SQLite takes no more than so many values in one statement without thought


def destroy(
    files: VaultFiles,
    tokens: Sequence[str],
    *,
    graves: Sequence[bytes] = (),
    entries: Mapping[str, RecordErased] = _NO_ENTRIES,
) -> Erasure:
    """Destroy records; cut off anywhere, calling again finishes it.

    Args:
        files: the vault's.
        tokens: whose records; one that is not there is no error.
        graves: tombstones to set, so that later imports leave these students out.
        entries: what the log will say, by token, staged with the deletion of the row.

    Returns:
        What was searched, in vain.

    Raises:
        TimeoutError: another process is reading; the keys are gone already, so repeat it later.
        Corrupt: bytes of a record are still in the files.
        OSError: a file cannot be written.
    """
    needles = _what_will_be_searched_for(files, tokens)
    if graves:
        with writing(files.engine) as connection:
            statement = insert(tombstones).on_conflict_do_nothing()
            connection.execute(statement, [{"hash": grave} for grave in graves])
    with writing(files.engine) as connection:
        for some in _batches(tokens):
            connection.execute(delete(wrapped_keys).where(wrapped_keys.c.token.in_(some)))
    with writing(files.engine) as connection:
        for some in _batches(tokens):
            for table in (students, consents, requests):
                connection.execute(delete(table).where(table.c.token.in_(some)))
        for token in tokens:
            if token in entries:
                stage(connection, entries[token])
    drop_deleted(files)
    return require_absent(files.directory, needles)


def _what_will_be_searched_for(files: VaultFiles, tokens: Sequence[str]) -> list[bytes]:
    needles: list[bytes] = []
    with reading(files.engine) as connection:
        for some in _batches(tokens):
            rows = select(students.c.token, students.c.external_id_hash, students.c.record)
            for row in connection.execute(rows.where(students.c.token.in_(some))):
                needles += [row.token.encode(), row.external_id_hash, *pieces(row.record)]
            keys = select(wrapped_keys.c.wrapped_key).where(wrapped_keys.c.token.in_(some))
            needles += connection.execute(keys).scalars()
    return needles


def _batches(tokens: Sequence[str]) -> list[Sequence[str]]:
    return [tokens[first : first + _AT_ONCE] for first in range(0, len(tokens), _AT_ONCE)]
