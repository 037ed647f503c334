"""SQLite files of a running home as they all were at one moment.

The services go on writing while a backup is taken. For the moment in which the logs are copied,
this holds the write lock of every database and opens a view of each; then everybody writes on,
and the views are copied at leisure (SQLite's online backup). What a step writes is one transaction
first and then the log's entries, so under the lock a log holds nothing that a database does not.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

from fedtrace.governance.errors import Corrupt

WAIT_SECONDS = 10.0
"""How long a transaction of the running services is waited for; the same as they wait for us."""


class Views:
    """A view of each database, of the same moment.

    Args:
        readers: file -> a connection within a reading transaction.
    """

    def __init__(self, readers: dict[Path, sqlite3.Connection]) -> None:
        self._readers = readers

    def copy(self, database: Path, target: Path) -> None:
        """Write a database as it was at that moment into a new file.

        Raises:
            Corrupt: it is damaged.
            OSError: the file cannot be written.
        """
        target.touch(mode=0o600)
        with _plain_errors(database), closing(sqlite3.connect(target)) as copy:
            # The view's own transaction is what is read, however much was written since.
            self._readers[database].backup(copy)


@contextmanager
def standing_still(databases: Sequence[Path]) -> Iterator[ExitStack]:
    """Nobody writes to any of these files within the block.

    Args:
        databases: always in the same order as those who write several of them.

    Raises:
        Corrupt: a file is not a database.
        TimeoutError: somebody wrote for longer than is waited.
    """
    with ExitStack() as locks:
        for database in databases:
            connection = locks.enter_context(closing(_connect(database)))
            with _plain_errors(database):
                connection.execute("BEGIN IMMEDIATE")
        yield locks


@contextmanager
def views_of(databases: Sequence[Path]) -> Iterator[Views]:
    """Open a view of each database as it is now; inside `standing_still` of one moment.

    Raises:
        Corrupt: a file is not a database.
    """
    with ExitStack() as stack:
        readers = {}
        for database in databases:
            reader = readers[database] = stack.enter_context(closing(_connect(database)))
            with _plain_errors(database):
                reader.execute("BEGIN")
                reader.execute("SELECT count(*) FROM sqlite_master").fetchone()
        yield Views(readers)


def require_intact(database: Path) -> None:
    """Read a database from end to end.

    Raises:
        Corrupt: it is damaged.
    """
    with closing(_connect(database)) as connection, _plain_errors(database):
        verdict = connection.execute("PRAGMA integrity_check(1)").fetchone()
    if verdict != ("ok",):
        raise Corrupt(f"{database.name} is not an intact database")


def _connect(database: Path) -> sqlite3.Connection:
    """An existing file; it is never made."""
    address = f"{database.absolute().as_uri()}?mode=rw"
    with _plain_errors(database):
        return sqlite3.connect(address, uri=True, timeout=WAIT_SECONDS, isolation_level=None)


@contextmanager
def _plain_errors(database: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            raise TimeoutError(
                f"{database.name} was being written for more than {WAIT_SECONDS:g} s: take the "
                "backup again"
            ) from error
        raise OSError(f"{database.name} cannot be copied ({error})") from error
    except sqlite3.DatabaseError as error:
        raise Corrupt(f"{database.name} is not an intact database") from error
