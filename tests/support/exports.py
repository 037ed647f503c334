"""Small made-up exports, one a format: in each, u1 and u2 give the same four answers.

Every personal field of a format holds a `MARKER`, which must never get past a parser.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fedtrace.client.ingest.catalogue import Catalogue
from fedtrace.client.ingest.mapping import Mapping as ColumnMapping
from fedtrace.client.ingest.reader import Imported, read_export
from fedtrace.client.ingest.source import Layout

MARKER = "Ann Example-Marker"
CATALOGUE = Catalogue(skills=["Area", "Sums"])
ANSWERS = {"u1": [("Area", 1), ("Sums", 0)], "u2": [("Sums", 1), ("Area", 1)]}
"""What each of these files says, by student and in time order."""

STEPS = f"""Row\tAnon Student Id\tStudent Name\tFirst Transaction Time\tFirst Attempt\tKC (Topic)
1\tu1\t{MARKER}\t2024-01-02 08:00:00.0\tcorrect\tSums~~Area
2\tu2\t=cmd|' /C calc'!A0\t2024-01-02 08:00:01.0\tcorrect\tSums
3\tu1\t"{MARKER}\t2024-01-02 09:00:00.0\thint\tSums
4\tu2\t{MARKER}\t2024-01-02 09:00:00.0\tcorrect\tArea
"""

TRANSACTIONS = f"""Anon Student Id\tTime\tAttempt At Step\tOutcome\tInput\tKC (Topic)\tKC (Topic)
u1\t2024-01-02 08:00:00\t1\tOK\t{MARKER}\tSums\tArea
u1\t2024-01-02 09:00:00\t1\tINITIAL_HINT\t{MARKER}\tSums\t.
u1\t2024-01-02 09:00:05\t2\tOK\t{MARKER}\tSums\t.
u2\t2024-01-02 08:00:00\t1\tOK\t{MARKER}\tSums\t.
u2\t2024-01-02 09:00:00\t1\tOK\t{MARKER}\tArea\t.
"""


def statement(number: int, student: str, skill: str, right: object, **more: Any) -> dict[str, Any]:
    """An xAPI statement with names and addresses around what is read."""
    return {
        "id": f"00000000-0000-4000-8000-{number:012d}",
        "actor": {
            "name": MARKER,
            "account": {"homePage": "https://sis.example", "name": student},
        },
        "verb": {"id": "http://adlnet.gov/expapi/verbs/answered", "display": {"en": "answered"}},
        "object": {
            "id": f"https://items.example/{number}",
            "definition": {"description": {"en": MARKER}},
        },
        "result": {"success": right, "response": MARKER},
        "context": {"contextActivities": {"category": [{"id": skill}]}, "instructor": MARKER},
        "timestamp": f"2024-01-02T08:00:{number:02d}.000Z",
        **more,
    }


def answers() -> list[tuple[str, str, int]]:
    """`ANSWERS`, one after another."""
    return [(student, skill, right) for student, all_ in ANSWERS.items() for skill, right in all_]


def statements() -> list[dict[str, Any]]:
    """The four answers as xAPI statements."""
    return [
        statement(number, student, skill, bool(right))
        for number, (student, skill, right) in enumerate(answers(), 1)
    ]


def item_event(number: int, student: str, skill: str) -> dict[str, Any]:
    """A Caliper event by which a student answers an item."""
    return {
        "@context": "http://purl.imsglobal.org/ctx/caliper/v1p2",
        "id": f"urn:uuid:item-{number}",
        "type": "AssessmentItemEvent",
        "actor": {"id": student, "type": "Person", "name": MARKER},
        "action": "Completed",
        "object": {
            "id": f"https://items.example/{number}",
            "type": "AssessmentItem",
            "learningObjectives": [{"id": skill, "type": "LearningObjective"}],
        },
        "generated": {
            "type": "Response",
            "attempt": {"id": f"urn:attempt:{number}", "type": "Attempt"},
            "value": MARKER,
        },
        "eventTime": f"2024-01-02T08:00:{number:02d}.000Z",
    }


def grade_event(number: int, score: float, most: float = 2) -> dict[str, Any]:
    """A Caliper event by which an attempt is marked."""
    return {
        "@context": "http://purl.imsglobal.org/ctx/caliper/v1p2",
        "id": f"urn:uuid:grade-{number}",
        "type": "GradeEvent",
        "actor": {"id": "https://grader.example", "type": "SoftwareApplication"},
        "action": "Graded",
        "object": f"urn:attempt:{number}",
        "generated": {"type": "Score", "scoreGiven": score, "maxScore": most, "comment": MARKER},
        "eventTime": "2024-01-03T00:00:00.000Z",
    }


def caliper_events() -> list[dict[str, Any]]:
    """The four answers as Caliper events, grades before and after their items."""
    items = [
        item_event(number, student, skill)
        for number, (student, skill, _) in enumerate(answers(), 1)
    ]
    grades = [grade_event(number, 2 * right) for number, (_, _, right) in enumerate(answers(), 1)]
    return [grades[0], *items, *grades[1:]]


def oneroster_files() -> dict[str, str]:
    """The four answers as a OneRoster gradebook."""
    results = "".join(
        f"r{number},active,,li,{student},fully graded,{5 * right},2024-01-{number:02d},{MARKER}\n"
        for number, (student, _, right) in enumerate(answers(), 1)
    )
    objectives = "".join(
        f"o{number},active,,r{number},case,{skill}\n"
        for number, (_, skill, _) in enumerate(answers(), 1)
    )
    return {
        "manifest.csv": "propertyName,value\noneroster.version,1.2\n",
        "users.csv": f"sourcedId,givenName\nu1,{MARKER}\n",
        "lineItems.csv": "sourcedId,status,dateLastModified,title,resultValueMin,resultValueMax\n"
        "li,active,,Quiz,0,5\n",
        "results.csv": "sourcedId,status,dateLastModified,lineItemSourcedId,studentSourcedId,"
        "scoreStatus,score,scoreDate,comment\n" + results,
        "resultLearningObjectiveIds.csv": "sourcedId,status,dateLastModified,resultSourcedId,"
        "source,learningObjectiveId\n" + objectives,
    }


def zipped(files: Mapping[str, str | bytes]) -> bytes:
    """A zip of these files."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return out.getvalue()


def json_lines(events: list[dict[str, Any]]) -> bytes:
    """One event a line."""
    return "".join(json.dumps(event) + "\n" for event in events).encode()


def imported(path: Path, content: bytes | str, layout: ColumnMapping | Layout) -> Imported:
    """What is read from a file of this content; the account always adds up."""
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    found = read_export(path, layout, CATALOGUE)
    report = found.report
    assert report.rows_read == (
        report.rows_kept + sum(report.rows_merged.values()) + sum(report.rows_rejected.values())
    )
    return found


def answers_of(found: Imported) -> dict[str, list[tuple[str, int]]]:
    """What was read, in the form of `ANSWERS`."""
    return {
        record.external_id: [
            (CATALOGUE.skills[skill], int(right))
            for skill, right in zip(record.skills, record.correct, strict=True)
        ]
        for record in found.records()
    }
