"""A real PostgreSQL server for tests: a cluster of its own in a temporary folder."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import psycopg
import pytest

NEEDED = ("initdb", "pg_ctl")


def _tools() -> dict[str, str]:
    """Where initdb and pg_ctl are; Debian keeps them out of PATH."""
    folders = [
        *os.environ["PATH"].split(":"),
        *map(str, sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)),
    ]
    found = {tool: shutil.which(tool, path=":".join(folders)) for tool in NEEDED}
    return {tool: path for tool, path in found.items() if path}


@dataclass
class PostgreSQL:
    """One server, reached through a socket in its folder."""

    folder: Path
    tools: dict[str, str]
    as_owner: tuple[str, ...]
    _numbers: Iterator[int] = field(default_factory=count)

    def start(self) -> None:
        options = f"-c listen_addresses='' -c unix_socket_directories={self.folder} -c fsync=off"
        self._control("start", "-w", "-o", options, "-l", str(self.folder / "log"))

    def stop(self) -> None:
        """As kill -9 would: no connection is asked to end first."""
        self._control("stop", "-m", "immediate", "-w")

    def url(self, database: str) -> str:
        return f"postgresql://postgres@/{database}?host={self.folder}"

    def new_database(self) -> str:
        """The URL of an empty database."""
        name = f"fedtrace{next(self._numbers)}"
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        return self.url(name)

    def _control(self, action: str, *options: str) -> None:
        command = [*self.as_owner, self.tools["pg_ctl"], "-D", str(self.folder / "data"), action]
        subprocess.run([*command, "-s", *options], check=True, stdout=subprocess.DEVNULL)


@contextmanager
def running_postgresql() -> Iterator[PostgreSQL]:
    """A fresh server; the test is skipped where PostgreSQL is not installed."""
    tools = _tools()
    # PostgreSQL does not run as root; Debian's package makes a user for it.
    is_root = os.geteuid() == 0
    if len(tools) < len(NEEDED) or (is_root and not shutil.which("runuser")):
        pytest.skip("PostgreSQL is not installed (Debian: apt install postgresql)")
    as_owner = ("runuser", "-u", "postgres", "--") if is_root else ()
    folder = Path(tempfile.mkdtemp(prefix="fedtrace-pg-"))  # short: a socket's path has 107 bytes
    try:
        if is_root:
            shutil.chown(folder, "postgres")
        subprocess.run(
            [
                *as_owner,
                tools["initdb"],
                "--pgdata",
                str(folder / "data"),
                *("--username", "postgres", "--auth", "trust", "--no-sync", "--no-instructions"),
            ],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        server = PostgreSQL(folder, tools, as_owner)
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder)
