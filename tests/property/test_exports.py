"""Personal fields of an export never change what is stored, and no bytes break an importer."""

from __future__ import annotations

import copy
import json
import tempfile
from pathlib import Path

import hypothesis.strategies as st
from hypothesis import given
from support.exports import (
    ANSWERS,
    STEPS,
    answers_of,
    caliper_events,
    imported,
    json_lines,
    oneroster_files,
    statements,
    zipped,
)
from support.thoroughness import examples

from fedtrace.client.ingest.caliper import Caliper
from fedtrace.client.ingest.datashop import DataShop
from fedtrace.client.ingest.formats import Format, layout_of
from fedtrace.client.ingest.oneroster import OneRoster
from fedtrace.client.ingest.reader import Imported
from fedtrace.client.ingest.source import Layout
from fedtrace.client.ingest.xapi import Xapi

LAYOUTS: list[Layout] = [DataShop(), OneRoster(), Caliper(), Xapi()]
CELLS = st.text(st.characters(exclude_characters="\0\t\r\n", exclude_categories=["Cs"])) | (
    st.sampled_from(["=cmd|' /C calc'!A0", '"', '""', "@SUM(1)", "u2", "correct", "Area"])
)
JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | CELLS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(CELLS, inner, max_size=3),
    max_leaves=5,
)
FILES = [
    STEPS.encode(),
    zipped(oneroster_files()),
    json_lines(caliper_events()),
    json_lines(statements()),
    json.dumps({"sensor": "s", "data": caliper_events()}).encode(),
]


def read(content: bytes | str, layout: Layout) -> Imported:
    with tempfile.TemporaryDirectory() as directory:
        return imported(Path(directory) / "export", content, layout)


def refusal_of(content: bytes, layout: Layout | None) -> type[Exception] | None:
    """Read a file, which checks the account; the exact kind of error where it is refused.

    Errors of decoders, which are kinds of ValueError too, carry a piece of the file.
    """
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "export"
        path.write_bytes(content)
        try:
            told = layout or layout_of(path, Format.AUTO, mapping=None, kc_model=None)
            imported(path, content, told)
        except ValueError as refusal:
            return type(refusal)
    return None


@given(cells=st.lists(CELLS, min_size=8, max_size=8), drop=st.booleans())
@examples(30)
def test_personal_columns_of_datashop_change_nothing(cells: list[str], drop: bool) -> None:
    table = [line.split("\t") for line in STEPS.splitlines()]
    for number, row in enumerate(table[1:]):
        row[2] = cells[number]
        row.append(cells[4 + number])
    table[0].append("Comment")
    if drop:
        table = [row[:2] + row[3:-1] for row in table]
    found = read("\n".join("\t".join(row) for row in table), DataShop())
    assert answers_of(found) == ANSWERS
    assert not found.report.rows_rejected


@given(cells=st.lists(CELLS, min_size=4, max_size=4), drop=st.booleans())
@examples(30)
def test_personal_columns_of_oneroster_change_nothing(cells: list[str], drop: bool) -> None:
    files = oneroster_files()
    head, *rows = files["results.csv"].splitlines()
    quoted = ['"' + cell.replace('"', '""') + '"' for cell in cells]
    named = [row.rpartition(",")[0] + "," + cell for row, cell in zip(rows, quoted, strict=True)]
    files["results.csv"] = "\n".join([head, *named])
    files["users.csv"] = "sourcedId,givenName\nu1," + quoted[0]
    if drop:
        files["results.csv"] = "\n".join(row.rpartition(",")[0] for row in [head, *rows])
        del files["users.csv"]
    found = read(zipped(files), OneRoster())
    assert answers_of(found) == ANSWERS
    assert not found.report.rows_rejected


@given(more=st.dictionaries(CELLS.map("x-".__add__), JSON, max_size=3), name=JSON, array=...)
@examples(40)
def test_personal_members_of_events_change_nothing(
    more: dict[str, object], name: object, array: bool
) -> None:
    cases: list[tuple[list[dict[str, object]], Layout]] = [
        (statements(), Xapi()),
        (caliper_events(), Caliper()),
    ]
    for events, layout in cases:
        changed = copy.deepcopy(events)
        for event in changed:
            event.update(more)
            actor = event["actor"]
            assert isinstance(actor, dict)
            actor.update(more, name=name, mbox=name)
        content = json.dumps(changed).encode() if array else json_lines(changed)
        assert answers_of(read(content, layout)) == ANSWERS


@given(content=st.binary(max_size=300), layout=st.sampled_from(LAYOUTS))
@examples(100)
def test_any_bytes_are_accounted_for_or_refused(content: bytes, layout: Layout) -> None:
    assert refusal_of(content, layout) in (None, ValueError)


@given(data=st.data())
@examples(100)
def test_damage_anywhere_is_accounted_for_or_refused(data: st.DataObject) -> None:
    content = bytearray(data.draw(st.sampled_from(FILES)))
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(content) - 1))
        content[place : place + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    assert refusal_of(bytes(content), None) in (None, ValueError)
