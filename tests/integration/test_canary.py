"""Markers in student numbers and free text go in by the front door and come out nowhere."""

from __future__ import annotations

import base64
import csv
import hashlib
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.consistency import check_consortium
from support.federation import Federation, Wire
from support.homes import CATALOGUE, MAPPING

from fedtrace.client.home import open_school
from fedtrace.deploy.simulation.in_process import SystemClock

STUDENT = "canary-student-{:02d}-zq7v"
COMMENT = "canary comment {:02d} about a child, wk4x"
ANSWER = "canary-answer-zz81"
COLUMN = "canary_remarks_pp3d"


def write_table(path: Path) -> list[str]:
    """A table full of what must never leave it; returns those texts."""
    students = [STUDENT.format(number) for number in range(12)]
    comments = [COMMENT.format(number) for number in range(12)]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["student", "order", "skill", "correct", COLUMN])
        for student, comment in zip(students, comments, strict=True):
            for order in range(8):
                skill = CATALOGUE.skills[order % len(CATALOGUE.skills)]
                writer.writerow([student, order, skill, order % 2, comment])
            # A line that is rejected, and whose rejection has to be told.
            writer.writerow([student, 99, CATALOGUE.skills[0], ANSWER, comment])
    return [*students, *comments, ANSWER]


def shapes(text: str) -> Iterator[bytes]:
    """A text and what a careless program makes of it instead of removing it."""
    raw = text.encode()
    for name in ("sha256", "sha1", "md5"):
        hashed = hashlib.new(name, raw)
        yield from (hashed.digest(), hashed.hexdigest().encode(), base64.b64encode(hashed.digest()))
    yield from (raw, raw.hex().encode(), raw.hex().upper().encode(), base64.b64encode(raw))
    yield from (raw[::-1], text.encode("utf-16-le"))


@pytest.mark.system
def test_markers_of_students_are_nowhere_after_a_whole_job(
    federation: Federation, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    table = tmp_path / "export.csv"
    markers = write_table(table)
    with caplog.at_level(logging.DEBUG):
        for home in federation.workspace.school_homes.values():
            with open_school(home) as school:
                report = school.import_csv(table, MAPPING, CATALOGUE, now=SystemClock().now())
                assert report.students == 12
                assert sum(report.rows_rejected.values()) == 12
        wire = Wire(federation)
        outcome = federation.run(wire=wire)
    assert outcome.model_path is not None
    check_consortium(federation.workspace)

    places = {
        str(path.relative_to(federation.workspace.root)): path.read_bytes()
        for path in federation.workspace.root.rglob("*")
        if path.is_file()
    }
    assert any(place.endswith("card.md") for place in places)
    places |= {
        "messages": b"\0".join(wire.sent),
        "process log": caplog.text.encode(),
        "import report": repr(report).encode() + report.model_dump_json().encode(),
    }
    assert len(places["messages"]) > 10_000
    found = [
        (place, marker)
        for marker in markers
        for shape in shapes(marker)
        for place, content in places.items()
        if shape in content
    ]
    assert found == []


def test_the_search_finds_what_is_there() -> None:
    content = b"..." + hashlib.sha256(STUDENT.format(3).encode()).hexdigest().encode()
    assert any(shape in content for shape in shapes(STUDENT.format(3)))
