"""What lies in a vault's two files, and how they are opened; see docs/formats/vault.md."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import (
    Column,
    DateTime,
    Engine,
    Integer,
    LargeBinary,
    MetaData,
    Select,
    String,
    Table,
)

from fedtrace.client.sealing import Sealer
from fedtrace.client.sqlite import bring_up_to_date, drop_deleted_pages, open_database

VERSION = 1
"""Of the tables below."""

metadata = MetaData()

students = Table(
    "students",
    metadata,
    Column("token", String, primary_key=True),
    Column("external_id_hash", LargeBinary, nullable=False, unique=True),
    Column("fold", String, nullable=False),
    Column("retain_until", DateTime, nullable=False),
    Column("catalogue_digest", String, nullable=False),
    Column("record", LargeBinary, nullable=False),
)

consents = Table(
    "consents",
    metadata,
    Column("token", String, primary_key=True),
    Column("history", LargeBinary, nullable=False),
)

requests = Table(
    "requests",
    metadata,
    Column("token", String, primary_key=True),
    Column("request", String, primary_key=True),
)

holds = Table(
    "holds",
    metadata,
    Column("request", String, primary_key=True),
    Column("token", String),  # none: the whole school's records
    Column("matter", String, nullable=False),
    Column("placed_at", DateTime, nullable=False),
)

cohorts = Table(
    "cohorts",
    metadata,
    Column("root", String, primary_key=True),
    Column("plan_digest", String, nullable=False),
    Column("run_id", String, nullable=False),
    Column("round", Integer, nullable=False),
    Column("kind", String, nullable=False),
    Column("secret", LargeBinary, nullable=False),
    Column("pseudonyms", LargeBinary, nullable=False),
    Column("frozen_at", DateTime, nullable=False),
)

tombstones = Table(
    "tombstones",
    metadata,
    Column("hash", LargeBinary, primary_key=True),
)

unlogged = Table(
    "unlogged",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("type", String, nullable=False),
    Column("data", String, nullable=False),
)

wrapped_keys = Table(
    "wrapped_keys",
    metadata,
    Column("token", String, primary_key=True),
    Column("wrapped_key", LargeBinary, nullable=False),
    schema="keys",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class VaultFiles:
    """A vault's files, open.

    Attributes:
        directory: the vault's folder.
        engine: both databases; one transaction covers them.
        sealer: what encrypts and hashes under the school's key.
    """

    directory: Path
    engine: Engine
    sealer: Sealer


def open_files(directory: Path, school_key: bytes) -> VaultFiles:
    """Open ``students.db`` and ``keys.db``, making what is not there.

    Raises:
        Corrupt: a file is not an intact database, or a newer program made it.
        ValueError: the key has another length.
        OSError: the folder cannot be written.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    sealer = Sealer(school_key)
    engine = open_database(directory / "students.db", attached={"keys": directory / "keys.db"})
    bring_up_to_date(engine, metadata, version=VERSION, schemas=("main", "keys"))
    return VaultFiles(directory=directory, engine=engine, sealer=sealer)


def drop_deleted(files: VaultFiles) -> None:
    """Rewrite both files without what was deleted; see `drop_deleted_pages`.

    Raises:
        TimeoutError: another process is reading.
    """
    drop_deleted_pages(files.engine, ("keys", "main"))


def with_key(query: Select[Any]) -> Select[Any]:
    """Only students whose record can be opened: an erasure cut short leaves a row without a key."""
    return query.join(wrapped_keys, wrapped_keys.c.token == students.c.token)


def new_request() -> str:
    """A name for something that somebody asked for; it says nothing about whom it is about."""
    return secrets.token_hex(16)
