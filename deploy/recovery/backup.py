"""Taking a backup of a home while its services run, of one moment.

Under the write lock of every database the logs and small files are copied and a view of each
database is opened; then everybody writes on, and the views are copied at leisure. What a step
decides is in a database before it is in a log, so under the lock a log holds nothing that its
database does not know, and what it lacks is staged there.

A consortium on PostgreSQL keeps its database out of this file: the manifest says so, and
docs/runbook.md what to do.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Literal

from fedtrace.client.home import is_home, school_name
from fedtrace.deploy.network.address import ADDRESS_FILE, read_address
from fedtrace.deploy.passphrases import require_passphrase
from fedtrace.deploy.recovery.bundle import Manifest, Source, write_bundle
from fedtrace.deploy.recovery.contents import Inventory, Kind, take_inventory
from fedtrace.deploy.recovery.errors import BackupError
from fedtrace.deploy.recovery.standstill import standing_still, views_of
from fedtrace.governance.charter_history import CHARTER_FILE
from fedtrace.governance.locks import take_lock
from fedtrace.governance.log.note import NOTE_LIMIT_BYTES
from fedtrace.governance.log.storage import CHECKPOINT, COSIGNED, ENTRIES, LOCK, read_limited
from fedtrace.server.consortium import DATABASE_FILE, LOG_FOLDER, database_url, read_charter
from fedtrace.server.store import DATABASE_VARIABLE

_CONSENT_FILE = "consent.csv"
_BLOCK_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """A backup that was written.

    Attributes:
        manifest: what is in it.
        size_bytes: of the file.
        strangers: files of the home that nobody knows; they are not in it.
    """

    manifest: Manifest
    size_bytes: int
    strangers: tuple[str, ...]


def take_backup(
    home: Path, kind: Kind, to: Path, *, passphrase: str | None, now: datetime
) -> Taken:
    """Write a backup of a home, whose services may run.

    Args:
        home: of a school or a consortium.
        kind: which of them.
        to: a file that is not there yet, outside the home.
        passphrase: with it the secrets are in the backup, which is encrypted; None: they stay out.
        now: the time.

    Raises:
        BackupError: it is no such home, or the backup would not be worth anything.
        FileExistsError: there is something at ``to``.
        Corrupt: a database or a log is damaged: an older backup is the better one.
        TimeoutError: somebody wrote for longer than is waited.
        OSError: a file cannot be read or written; nothing is left.
    """
    _require_place(home, to)
    name = _owner(home, kind)
    database = _database_of(home) if kind == "consortium" else "sqlite"
    if passphrase is not None:
        require_passphrase(passphrase)
    with tempfile.TemporaryDirectory(dir=to.absolute().parent, prefix=f".{to.name}.") as folder:
        staged = Path(folder)
        with _still_log(home / LOG_FOLDER) if database == "postgresql" else nullcontext():
            inventory, secrets = _copy(home, kind, staged, with_keys=passphrase is not None)
        files = (path for path in staged.rglob("*") if path.is_file())
        sources = [Source(path=path.relative_to(staged).as_posix(), content=path) for path in files]
        sources += [Source(path=path, content=content) for path, content in secrets.items()]
        sources.sort(key=lambda source: source.path)
        manifest = Manifest(
            kind=kind,
            name=name,
            made_at=now,
            release=version("fedtrace"),
            with_keys=passphrase is not None,
            database=database,
            left_out=() if passphrase is not None else inventory.secrets,
            files=tuple(source.described() for source in sources),
        )
        size = write_bundle(to, manifest, sources, passphrase=passphrase)
    return Taken(manifest=manifest, size_bytes=size, strangers=inventory.strangers)


def _copy(
    home: Path, kind: Kind, staged: Path, *, with_keys: bool
) -> tuple[Inventory, dict[str, bytes]]:
    """Copy a home as it is at one moment; secrets stay in memory and touch no other disk."""
    databases = [home / path for path in take_inventory(home, kind).databases]
    with standing_still(databases) as lock:
        inventory = take_inventory(home, kind)
        for log in inventory.logs:
            _copy_log(home / log, staged / log)
        for path in inventory.kept:
            shutil.copyfile(home / path, _place(staged / path))
        secrets = {path: (home / path).read_bytes() for path in inventory.secrets if with_keys}
        with views_of(databases) as views:
            lock.close()  # from here on the services write again
            for database in databases:
                views.copy(database, _place(staged / database.relative_to(home)))
    return inventory, secrets


def _copy_log(log: Path, target: Path) -> None:
    """Copy a log that may be growing: first what signs its entries, then at least those entries."""
    cosigned = read_limited(log / COSIGNED, NOTE_LIMIT_BYTES)
    checkpoint = read_limited(log / CHECKPOINT, NOTE_LIMIT_BYTES)
    target.mkdir(mode=0o700, parents=True)
    for name, note in ((COSIGNED, cosigned), (CHECKPOINT, checkpoint)):
        if note is not None:
            (target / name).write_bytes(note)
    if not (log / ENTRIES).exists():
        return
    with (log / ENTRIES).open("rb") as entries, (target / ENTRIES).open("wb") as copy:
        left = os.fstat(entries.fileno()).st_size  # what comes after is signed by nothing here
        while left and (block := entries.read(min(left, _BLOCK_BYTES))):
            copy.write(block)
            left -= len(block)


def _place(path: Path) -> Path:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path


def _require_place(home: Path, to: Path) -> None:
    if to.exists():
        raise FileExistsError(f"{to} is there already; a backup never replaces another one")
    if home.absolute().resolve() in to.absolute().resolve().parents:
        raise BackupError(
            f"{to} lies in the home that is backed up, and would be lost with it: choose another "
            "place, on another disk"
        )


def _owner(home: Path, kind: Kind) -> str:
    """Whose home it is.

    Raises:
        BackupError: it is no such home, or it waits for somebody.
    """
    if kind == "consortium":
        if (home / CHARTER_FILE).exists():
            return read_charter(home).consortium
        if (home / ADDRESS_FILE).exists():
            return read_address(home).consortium
        raise BackupError(f"{home} is not a consortium's home: check --home")
    if not is_home(home):
        raise BackupError(
            f"{home} is not a school's home, or the school is not a member yet: check --home"
        )
    if (home / _CONSENT_FILE).exists():
        raise BackupError(
            f"there is a {_CONSENT_FILE} in {home} that nobody has imported, in which there may be "
            "a no: import it with fedtrace school consent import and move it away, then repeat"
        )
    return school_name(home)


def _database_of(home: Path) -> Literal["sqlite", "postgresql"]:
    """Where a consortium keeps its database.

    Raises:
        BackupError: it is not where a backup would look for it.
    """
    url = database_url(home)
    if url.startswith("postgresql"):
        return "postgresql"
    if url != f"sqlite:///{home / DATABASE_FILE}":
        raise BackupError(
            f"{DATABASE_VARIABLE} names another file than {home / DATABASE_FILE}, which would not "
            "be in the backup: move it there, or copy it yourself while the server is stopped"
        )
    if (home / CHARTER_FILE).exists() and not (home / DATABASE_FILE).exists():
        raise BackupError(
            f"there is no {DATABASE_FILE} in {home}: where the database is PostgreSQL, set "
            f"{DATABASE_VARIABLE} as for the server, and repeat"
        )
    return "sqlite"


@contextmanager
def _still_log(log: Path) -> Iterator[None]:
    """Nobody writes to the log within the block: a database elsewhere cannot be locked from here.

    Raises:
        BackupError: a job runs.
    """
    try:
        lock = take_lock(log / LOCK)
    except BlockingIOError as error:
        raise BackupError(
            "a job runs, and its database is not in this file: stop fedtrace consortium serve, "
            "take this backup and pg_dump's, then start it again"
        ) from error
    try:
        yield
    finally:
        os.close(lock)
