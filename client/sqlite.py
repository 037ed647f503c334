"""How a school opens an SQLite file: durable at every commit, private to its owner.

A commit that returned has reached the disk (WAL with ``synchronous=FULL``), because a privacy
reservation that a power cut can undo would be a promise broken. Write transactions take the
write lock at once, so that two processes of one school queue instead of failing half-way.
"""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType

from sqlalchemy import Connection, Engine, MetaData, create_engine, event
from sqlalchemy.exc import DatabaseError, OperationalError
from sqlalchemy.pool import ConnectionPoolEntry

from fedtrace.governance.errors import Corrupt

BUSY_TIMEOUT_SECONDS = 10
"""How long a second process waits for the first one's transaction."""

_PRAGMAS = (
    "journal_mode=WAL",
    "synchronous=FULL",
    "foreign_keys=ON",
    "secure_delete=ON",  # zeroes what is deleted inside the file; the journal still needs emptying
    "temp_store=MEMORY",  # VACUUM must not leave a copy in the system's temporary folder
)
_FILES = "PRAGMA database_list"  # number, schema, path
_NOTHING_ATTACHED: Mapping[str, Path] = MappingProxyType({})


def open_database(path: Path, *, attached: Mapping[str, Path] = _NOTHING_ATTACHED) -> Engine:
    """Open a database file, creating it readable by its owner alone.

    Args:
        path: the main file.
        attached: further files by schema name; one transaction covers them all.

    Raises:
        Corrupt: a file exists and is not an intact SQLite database.
        TimeoutError: another process keeps a file locked.
        OSError: a file cannot be created or opened.
    """
    for file in (path, *attached.values()):
        os.close(os.open(file, os.O_RDWR | os.O_CREAT, 0o600))
    engine = create_engine(
        f"sqlite:///{path}",
        connect_args={"timeout": BUSY_TIMEOUT_SECONDS},
        hide_parameters=True,  # the text of an error must not carry what was being stored
    )

    @event.listens_for(engine, "connect")
    def _configure(connection: sqlite3.Connection, _: ConnectionPoolEntry) -> None:
        connection.isolation_level = None  # transactions begin below, not by the driver's guess
        for schema, file in attached.items():
            connection.execute("ATTACH DATABASE ? AS ?", (str(file), schema))
        for pragma in _PRAGMAS:
            connection.execute(f"PRAGMA {pragma}")
        for schema in attached:
            connection.execute(f"PRAGMA {schema}.journal_mode=WAL")
            connection.execute(f"PRAGMA {schema}.synchronous=FULL")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get("fedtrace_writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    try:
        with _plain_errors():
            _require_intact(engine, ("main", *attached))
    except DatabaseError as error:
        engine.dispose()
        raise Corrupt(f"{path.name} is not an intact database") from error
    except (Corrupt, OSError):
        engine.dispose()
        raise
    return engine


def bring_up_to_date(
    engine: Engine, metadata: MetaData, *, version: int, schemas: Sequence[str] = ("main",)
) -> None:
    """Make the tables that are not there, in one transaction.

    A file says in its header (``PRAGMA user_version``) which version of the tables it has; 0 is
    a new file, or one from before versions were written, whose tables are those of version 1.

    Args:
        engine: of `open_database`.
        metadata: the tables.
        version: of the tables that this code reads and writes.
        schemas: the files, by the names under which they are attached.

    Raises:
        Corrupt: a file was made by a newer program; nothing was changed, the engine is closed.
        OSError: it cannot be written.
    """
    try:
        with writing(engine) as connection:
            files = {row[1]: Path(row[2]).name for row in connection.exec_driver_sql(_FILES)}
            found = {schema: _version(connection, schema) for schema in schemas}
            for schema, number in found.items():
                if number > version:
                    raise Corrupt(
                        f"{files[schema]} has version {number}, this program knows versions up to "
                        f"{version}: start the newer program, or restore the backup made before "
                        "the upgrade"
                    )
            metadata.create_all(connection)
            for schema, number in found.items():
                if number != version:
                    connection.exec_driver_sql(f"PRAGMA {schema}.user_version = {version:d}")
    except BaseException:
        engine.dispose()
        raise


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """One consistent view of the database."""
    with engine.connect() as connection, connection.begin():
        yield connection


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """One transaction: on disk when the block ends, undone when it raises.

    Raises:
        TimeoutError: another process kept writing.
        OSError: the disk is full or cannot be written.
    """
    with _plain_errors(), engine.connect() as connection:
        connection.execution_options(fedtrace_writes=True)
        with connection.begin():
            yield connection


def drop_deleted_pages(engine: Engine, schemas: Sequence[str]) -> None:
    """Rewrite the files without what was deleted, and empty their journals.

    In WAL mode deleted rows stay readable in the journal until a checkpoint, even with
    ``secure_delete``; and a rewrite goes through the journal too, so the checkpoint comes last.

    Raises:
        TimeoutError: another process is reading; its journal cannot be emptied under it.
    """
    pooled = engine.raw_connection()
    try:
        cursor = pooled.cursor()
        for schema in schemas:
            cursor.execute(f"VACUUM {schema}")
            cursor.execute(f"PRAGMA {schema}.wal_checkpoint(TRUNCATE)")
            busy = cursor.fetchone()
            if busy is None or busy[0]:
                raise TimeoutError("another process is reading the database: repeat when it ends")
    finally:
        pooled.close()


def to_utc(moment: datetime) -> datetime:
    """SQLite keeps no time zones: what is stored is UTC, without one.

    Raises:
        ValueError: the moment has no time zone, so its UTC time is unknown.
    """
    if moment.tzinfo is None:
        raise ValueError("a moment needs a time zone")
    return moment.astimezone(UTC).replace(tzinfo=None)


def _version(connection: Connection, schema: str) -> int:
    return int(connection.exec_driver_sql(f"PRAGMA {schema}.user_version").scalar_one())


def _require_intact(engine: Engine, schemas: tuple[str, ...]) -> None:
    with reading(engine) as connection:
        for schema in schemas:
            verdict = connection.exec_driver_sql(f"PRAGMA {schema}.quick_check(1)").scalar_one()
            if verdict != "ok":
                raise Corrupt(f"the database {schema} is damaged: restore it from a backup")


@contextmanager
def _plain_errors() -> Iterator[None]:
    """What the disk or another process is to blame for, in the words of Python and of people."""
    try:
        yield
    except OperationalError as error:
        code = getattr(error.orig, "sqlite_errorcode", 0) & 0xFF  # without the extended bits
        if code == sqlite3.SQLITE_BUSY:
            raise TimeoutError(
                f"another process kept the database locked for {BUSY_TIMEOUT_SECONDS} s"
            ) from error
        if code == sqlite3.SQLITE_FULL:
            raise OSError(errno.ENOSPC, "the disk is full: nothing was stored") from error
        raise OSError(errno.EIO, f"the database cannot be used: {error.orig}") from error
