"""From a CSV file to records: every row is kept, merged or rejected, and the report says which."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fedtrace.client.ingest.assistments import ASSISTMENTS_2009
from fedtrace.client.ingest.catalogue import Catalogue
from fedtrace.client.ingest.mapping import Columns, Mapping
from fedtrace.client.ingest.reader import Imported, read_csv
from fedtrace.client.ingest.report import ImportReport, Merged, Reason

CATALOGUE = Catalogue(skills=["Area", "Sums"])
MAPPING = Mapping(columns=Columns(student="student", skill="skill", correct="correct", order="at"))
HEADER = "at,student,name,skill,correct\n"


def read(path: Path, text: str | bytes, mapping: Mapping = MAPPING) -> Imported:
    content = text.encode() if isinstance(text, str) else text
    path.write_bytes(content)
    return read_csv(path, mapping, CATALOGUE)


def students(imported: Imported) -> dict[str, tuple[list[int], list[int]]]:
    report = imported.report
    assert report.rows_read == (
        report.rows_kept + sum(report.rows_merged.values()) + sum(report.rows_rejected.values())
    )
    assert ImportReport.model_validate_json(report.model_dump_json()) == report
    return {
        record.external_id: (record.skills.tolist(), record.correct.tolist())
        for record in imported.records()
    }


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "export.csv"


def test_rows_are_sorted_by_student_and_order(path: Path) -> None:
    imported = read(
        path, HEADER + "9,u2,Ann,Area,1\n2,u1,Bob,Sums,0\n1,u2,Ann,Sums,0\n1.5,u1,Bob,Area,1\n"
    )
    assert students(imported) == {"u2": ([1, 0], [0, 1]), "u1": ([0, 1], [1, 0])}
    report = imported.report
    assert report.columns_kept == {
        "student": "student",
        "skill": "skill",
        "correct": "correct",
        "order": "at",
    }
    assert report.columns_dropped == ("name",)
    assert (report.students, report.skills, report.rows_kept) == (2, 2, 4)
    assert "Ann" not in repr(imported) + "".join(report.lines())
    assert imported.skills.dtype == np.int32
    assert imported.correct.dtype == np.int8


def test_without_an_order_column_the_file_decides(path: Path) -> None:
    mapping = Mapping(columns=Columns(student="student", skill="skill", correct="correct"))
    imported = read(path, HEADER + "9,u,,Area,1\n1,u,,Area,1\n1,u,,Sums,0\n", mapping)
    assert students(imported) == {"u": ([0, 0, 1], [1, 1, 0])}


def test_times_sort_and_are_forgotten(path: Path) -> None:
    mapping = MAPPING.model_copy(update={"order_is": "time"})
    rows = (
        "2026-01-01T12:00:00+02:00,u,,Area,1\n"
        "2026-01-01T11:00:00Z,u,,Sums,0\n"
        "2026-01-01,u,,Sums,1\n"
        "yesterday,u,,Sums,1\n"
    )
    imported = read(path, HEADER + rows, mapping)
    assert students(imported) == {"u": ([1, 0, 1], [1, 1, 0])}
    assert imported.report.rows_rejected == {Reason.ORDER_UNREADABLE: 1}


def test_every_reason_is_counted_with_a_line_to_look_at(path: Path) -> None:
    rows = [
        ("1,u,n,Area,1", None),
        (",u,n,Area,1", Reason.ORDER_UNREADABLE),
        ("nan,u,n,Area,1", Reason.ORDER_UNREADABLE),
        ("inf,u,n,Area,1", Reason.ORDER_UNREADABLE),
        ("1e300,u,n,Area,1", Reason.ORDER_UNREADABLE),
        ("5, ,n,Area,1", Reason.STUDENT_MISSING),
        ("6,u,n,,1", Reason.SKILL_MISSING),
        ("7,u,n,Gossip,1", Reason.SKILL_UNKNOWN),
        ("8,u,n,Area,0.5", Reason.ANSWER_NOT_BINARY),
        ("9,u,n,Area,", Reason.ANSWER_NOT_BINARY),
        ("10,u,n,Area", Reason.FIELD_COUNT),
        ("11,u,n,Area,1,", Reason.FIELD_COUNT),
        ("12,u,n\0,Area,1", Reason.NUL_BYTE),
        ("13,u," + "x" * 70_000 + ",Area,1", Reason.LINE_TOO_LONG),
        ("14,u,n\r,Area,1", Reason.NOT_CSV),
        ("15,u,n, Sums ,TRUE", None),
        ('16,u,"n,Area,1', Reason.QUOTE_NEVER_CLOSED),
    ]
    imported = read(path, HEADER + "".join(row + "\n" for row, _ in rows))
    expected: dict[Reason, int] = {}
    first: dict[Reason, int] = {}
    for line, (_, reason) in enumerate(rows, 2):
        if reason is not None:
            expected[reason] = expected.get(reason, 0) + 1
            first.setdefault(reason, line)
    assert students(imported) == {"u": ([0, 1], [1, 1])}
    assert imported.report.rows_rejected == expected
    assert imported.report.first_rejected_line == first
    assert imported.report.unknown_skills == {"Gossip": 1}
    assert "rejected 1: skill not in the catalogue (first at line 9)" in "\n".join(
        imported.report.lines()
    )


def test_broken_and_blank_lines_take_no_other_with_them(path: Path) -> None:
    imported = read(path, HEADER + "1,u,n\r,Area,1\n\n2,u,n,Area,1\n")
    assert students(imported) == {"u": ([0], [1])}
    assert imported.report.rows_read == 2


def test_one_answer_is_one_interaction(path: Path) -> None:
    imported = read(
        path,
        HEADER
        + "1,u,n,Sums,1\n1,u,n,Area,1\n1,u,n,Sums,1\n"  # two skills, and one row again
        + "2,u,n,Sums,1\n2,u,n,Sums,0\n"  # right and wrong
        + "1,v,n,Sums,0\n2,v,n,Sums,0\n",
    )
    assert students(imported) == {"u": ([0], [1]), "v": ([1, 1], [0, 0])}
    assert imported.report.rows_merged == {Merged.DUPLICATE: 1, Merged.MULTI_SKILL: 1}
    assert imported.report.rows_rejected == {Reason.CONTRADICTION: 2}


def test_with_a_coarse_order_every_row_counts(path: Path) -> None:
    mapping = MAPPING.model_copy(update={"same_order": "many-answers"})
    imported = read(path, HEADER + "1,u,n,Sums,1\n1,u,n,Area,0\n1,u,n,Sums,1\n", mapping)
    assert students(imported) == {"u": ([1, 0, 1], [1, 0, 1])}


def test_a_student_without_a_good_row_is_not_there(path: Path) -> None:
    imported = read(path, HEADER + "1,u,n,Sums,1\n1,u,n,Sums,0\n1,v,n,Sums,1\n")
    assert students(imported) == {"v": ([1], [1])}
    assert imported.report.students == 1
    nobody = read(path, HEADER)
    assert students(nobody) == {}


def test_assistments_rows(path: Path) -> None:
    imported = read(
        path,
        "order_id,user_id,school_id,skill_name,correct,answer_text\n"
        '2,64525,3,Sums,1,"my name is, ""Ann""\nand I am 12"\n'
        "2,64525,3,Area,1,x\n1,64525,3,Area,0,y\n",
        ASSISTMENTS_2009,
    )
    assert students(imported) == {"64525": ([0, 0], [0, 1])}
    assert imported.report.columns_dropped == ("school_id", "answer_text")


# --- files that cannot be read as a whole -----------------------------------------------------


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "the file is empty"),
        (b"\xff\xfea\0,\0", "UTF-16"),
        (b"at;student;name;skill;correct\n1;u;n;Sums;1\n", "separated by a semicolon"),
        (b"at\tstudent\tname\tskill\tcorrect\n", "separated by a tab"),
        (b"at,student,name,skill\n", "no column 'correct' for the correct among the 4"),
        (b"at,student,name,skills,correct\n", "no column 'skill' .* there is 'skills'"),
        (b"at,student,student,skill,correct\n", "'student' is there 2 times"),
        (b"u1,Ann Example,Sums,1,1\n", "no column 'student'"),
        (b'at,"student\n', "empty: there is no header"),
    ],
)
def test_a_file_that_cannot_be_read(path: Path, content: bytes, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence) as caught:
        read(path, content)
    assert "Ann" not in str(caught.value)


def test_cp1252_and_a_byte_order_mark(path: Path) -> None:
    imported = read(path, b"\xef\xbb\xbf" + HEADER.encode() + "1,Zoë,é,Sums,1\n".encode("cp1252"))
    assert students(imported) == {"Zoë": ([1], [1])}
    assert imported.report.lines_read_as_cp1252 == 1
    assert imported.report.columns_kept["order"] == "at"
