"""Nothing is kept of which the register does not tell: every table, every column, every file."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import pytest
from sqlalchemy import MetaData
from support.gate import NOW
from support.school_home import new_school
from support.town import make_town

from fedtrace.client import store, vault_tables
from fedtrace.client.retention import CERTIFICATES
from fedtrace.deploy.register import TABLES, Kept, Place, register
from fedtrace.governance.durations import days
from fedtrace.server import tables

METADATA: dict[Place, MetaData] = {
    "school vault": vault_tables.metadata,
    "school store": store._metadata,
    "consortium store": tables.metadata,
}


def kept_at(place: Place) -> Iterator[Kept]:
    return (each for each in register() if each.place == place)


@pytest.mark.parametrize("place", TABLES)
def test_every_table_and_every_column_has_its_reason(place: Place) -> None:
    told = {each.name: set(each.columns) for each in kept_at(place)}
    there = {table.name: set(table.columns.keys()) for table in METADATA[place].tables.values()}
    assert told == there


def test_every_line_has_a_time_and_an_end() -> None:
    for each in register():
        assert days(each.keep) > 0
        assert all((each.why, each.counted_from, each.removed_by, *each.columns.values()))
        assert bool(each.columns) == (each.place in TABLES)


def unknown_files(home: Path, place: Place) -> list[str]:
    patterns = [pattern for each in kept_at(place) for pattern in each.name.split()]
    names = [str(path.relative_to(home)) for path in home.rglob("*") if path.is_file()]
    return [name for name in names if not any(fnmatch(name, pattern) for pattern in patterns)]


def test_every_file_of_a_home_is_told_of(tmp_path: Path) -> None:
    with new_school(tmp_path / "home") as school:
        school.set_kill_switch(True, now=NOW)
        (school.home / CERTIFICATES).mkdir()
        (school.home / CERTIFICATES / "2026-11-23-0.dsse.json").touch()
        assert unknown_files(school.home, "school home") == []
    town = make_town(tmp_path / "town")
    assert unknown_files(town.root / "consortium", "consortium home") == []
    (town.root / "consortium" / "stray.txt").touch()
    assert unknown_files(town.root / "consortium", "consortium home") == ["stray.txt"]
