"""Opening a database: new, older, newest, newer than this program, or somebody else's."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, Engine, column, func, inspect, select, table

from fedtrace.governance.errors import Corrupt

NEWEST = "0001"
"""The version that this code reads and writes."""

_VERSION = table("alembic_version", column("version_num"))

_LOCK = 0x66656474  # "fedt": one process migrates a PostgreSQL database, the others wait


def bring_up_to_date(engine: Engine) -> None:
    """Make the tables of a new database, or migrate an older one, in one transaction.

    Raises:
        Corrupt: the database was made by a newer version, or holds something else.
        sqlalchemy.exc.DBAPIError: it cannot be read or written; nothing was changed.
    """
    with engine.connect() as connection:
        if _version(connection) == NEWEST:
            return
    with engine.begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(select(func.pg_advisory_xact_lock(_LOCK)))
        found = _version(connection)
        if found is None and inspect(connection).get_table_names():
            raise Corrupt(
                "the consortium's database holds tables but no version: it is not fedtrace's; "
                "FEDTRACE_DATABASE_URL must name a database of its own"
            )
        if found is not None and found not in _versions():
            raise Corrupt(
                f"the consortium's database has version {found}, this program knows versions up to "
                f"{NEWEST}: start the newer program, or restore the backup made before the upgrade"
            )
        if found != NEWEST:
            _upgrade(connection)


def _version(connection: Connection) -> str | None:
    if not inspect(connection).has_table(_VERSION.name):
        return None
    found = connection.execute(select(_VERSION.c.version_num)).scalar_one_or_none()
    return None if found is None else str(found)


def _versions() -> set[str]:
    folder = Path(__file__).parent / "versions"
    return {path.stem[1:5] for path in folder.glob("v[0-9][0-9][0-9][0-9]_*.py")}


def _upgrade(connection: Connection) -> None:
    # Imported here: every start of an aggregator opens the store, and few of them migrate.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, NEWEST)
