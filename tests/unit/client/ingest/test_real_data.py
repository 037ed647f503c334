"""The real tables that this project measures on go through the importer whole."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fedtrace.client.ingest.catalogue import build_catalogue
from fedtrace.client.ingest.mapping import Columns, Mapping
from fedtrace.client.ingest.reader import read_csv

pytestmark = pytest.mark.data


@pytest.fixture
def data() -> Path:
    if "FEDTRACE_DATA" not in os.environ:
        pytest.skip("FEDTRACE_DATA does not name the folder with the real student data")
    return Path(os.environ["FEDTRACE_DATA"])


@pytest.mark.parametrize(
    ("name", "skill", "students", "rows"),
    [
        ("assist2009.csv.xz", "skill", 4_150, 274_561),
        ("timss2011_aut.csv.xz", "item", 4_668, 115_983),
    ],
)
def test_every_row_is_kept(data: Path, name: str, skill: str, students: int, rows: int) -> None:
    mapping = Mapping(
        columns=Columns(student="student", skill=skill, correct="correct", order="seq")
    )
    catalogue = build_catalogue([data / name], mapping, min_students=1)
    imported = read_csv(data / name, mapping, catalogue)
    assert (imported.report.students, imported.report.rows_kept) == (students, rows)
    assert imported.report.rows_read == rows
    assert imported.report.skills == len(catalogue)
