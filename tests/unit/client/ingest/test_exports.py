"""DataShop, OneRoster, Caliper and xAPI: what each says, and what a bad file gets."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest
from support.exports import (
    ANSWERS,
    MARKER,
    STEPS,
    TRANSACTIONS,
    answers_of,
    caliper_events,
    grade_event,
    imported,
    item_event,
    json_lines,
    oneroster_files,
    statement,
    statements,
    zipped,
)

from fedtrace.client.ingest import events, fields
from fedtrace.client.ingest import zipped as zip_module
from fedtrace.client.ingest.assistments import ASSISTMENTS_2009
from fedtrace.client.ingest.caliper import Caliper
from fedtrace.client.ingest.datashop import DataShop
from fedtrace.client.ingest.formats import Format, layout_of
from fedtrace.client.ingest.mapping import Columns, Mapping
from fedtrace.client.ingest.oneroster import OneRoster
from fedtrace.client.ingest.report import Merged, Reason
from fedtrace.client.ingest.source import Layout
from fedtrace.client.ingest.xapi import Xapi

ENVELOPE = {"sensor": "s", "sendTime": "2024-01-03T00:00:00Z", "dataVersion": "v1p2"}
FILES: dict[str, tuple[bytes, Layout]] = {
    "datashop steps": (STEPS.encode(), DataShop()),
    "datashop steps, CRLF and a mark": (
        b"\xef\xbb\xbf" + STEPS.replace("\n", "\r\n").encode(),
        DataShop(),
    ),
    "datashop transactions": (TRANSACTIONS.encode(), DataShop()),
    "oneroster": (zipped(oneroster_files()), OneRoster()),
    "caliper lines": (json_lines(caliper_events()), Caliper()),
    "caliper array": (json.dumps(caliper_events(), indent=2).encode(), Caliper()),
    "caliper envelope": (
        json.dumps({**ENVELOPE, "data": caliper_events()}, indent=1).encode(),
        Caliper(),
    ),
    "caliper envelope a line": (json_lines([{**ENVELOPE, "data": caliper_events()}]), Caliper()),
    "xapi lines": (json_lines(statements()), Xapi()),
    "xapi array": (json.dumps(statements()).encode(), Xapi()),
    "xapi result": (
        json.dumps({"statements": statements(), "more": "/more?p=2"}, indent=1).encode(),
        Xapi(),
    ),
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "export"


@pytest.mark.parametrize("name", FILES)
def test_every_format_says_the_same(path: Path, name: str) -> None:
    content, layout = FILES[name]
    found = imported(path, content, layout)
    assert answers_of(found) == ANSWERS
    assert not found.report.rows_rejected
    assert MARKER not in repr(found) + found.report.model_dump_json()
    assert found.report.columns_dropped
    assert not set(found.report.columns_dropped) & set(found.report.columns_kept.values())


@pytest.mark.parametrize("name", FILES)
def test_the_format_is_told_by_the_beginning(path: Path, name: str) -> None:
    content, layout = FILES[name]
    path.write_bytes(content)
    assert layout_of(path, Format.AUTO, mapping=None, kc_model=None) == layout


def test_what_is_neither_known_json_nor_datashop(path: Path) -> None:
    path.write_text("user_id,skill_name\n")
    assert layout_of(path, Format.AUTO, mapping=None, kc_model=None) is ASSISTMENTS_2009
    path.write_text('{"a": 1}')
    with pytest.raises(ValueError, match="say --format caliper or --format xapi"):
        layout_of(path, Format.AUTO, mapping=None, kc_model=None)


def test_options_that_contradict_are_refused(path: Path) -> None:
    own = Mapping(columns=Columns(student="a", skill="b", correct="c"))
    assert layout_of(path, Format.AUTO, mapping=own, kc_model=None) is own
    with pytest.raises(ValueError, match="go together"):
        layout_of(path, Format.XAPI, mapping=own, kc_model=None)
    with pytest.raises(ValueError, match="go together"):
        layout_of(path, Format.MAPPING, mapping=None, kc_model=None)
    with pytest.raises(ValueError, match="read as xapi"):
        layout_of(path, Format.XAPI, mapping=None, kc_model="Topic")


# --- DataShop -------------------------------------------------------------------------------------


def test_several_kc_models_are_listed_and_one_is_chosen(path: Path) -> None:
    content = "\n".join(
        line + ("\tKC (Fine)" if number == 0 else "\tother")
        for number, line in enumerate(STEPS.splitlines())
    )
    with pytest.raises(ValueError, match=r"2 models .* --kc-model: Topic, Fine"):
        imported(path, content, DataShop())
    with pytest.raises(ValueError, match="no KC model 'Coarse'; it has Topic, Fine"):
        imported(path, content, DataShop(kc_model="Coarse"))
    assert answers_of(imported(path, content, DataShop(kc_model="Topic"))) == ANSWERS
    found = imported(path, content, DataShop(kc_model="Fine"))
    assert found.report.unknown_skills == {"other": 4}


@pytest.mark.parametrize("name", ["KC(Default)", "KC Model(MATHia)", "KC (Fine (2))"])
def test_columns_of_knowledge_components_as_they_are_spelt(path: Path, name: str) -> None:
    head, *rows = STEPS.replace("KC (Topic)", name).splitlines()
    table = [f"{head}\tKC Category (Topic)", *(f"{row}\tShapes" for row in rows)]
    found = imported(path, "\n".join(table), DataShop())
    assert answers_of(found) == ANSWERS
    assert found.report.columns_kept["skill"] == name


def test_an_attempt_without_a_number_is_no_answer(path: Path) -> None:
    found = imported(path, TRANSACTIONS.replace("\t2\tOK", "\t.\tOK"), DataShop())
    assert found.report.rows_merged == {Merged.NO_ANSWER: 1}


def test_only_first_attempts_count_and_hints_are_wrong(path: Path) -> None:
    found = imported(path, TRANSACTIONS, DataShop())
    assert found.report.rows_merged == {Merged.LATER_ATTEMPT: 1}


def test_datashop_rows_that_cannot_be_used(path: Path) -> None:
    rows = [
        b"5\tu1\tn\t.\tcorrect\tArea",  # no time
        b"6\t.\tn\t2024-01-02\tcorrect\tArea",
        b"7\tu1\tn\t2024-01-02\tcorrect\t.",
        b"8\tu1\tn\t2024-01-02\t.\tArea",
        b"9\tu1\tn\t2024-01-02\tcorrect\tArea\t",
        b"10\tu1\tn\0\t2024-01-02\tcorrect\tArea",
        b"11\tu1\t" + b"x" * 70_000,
        b"12\tu1\tZo\xe9\t2024-01-03\tcorrect\tArea",
    ]
    found = imported(path, STEPS.encode() + b"\n".join(rows) + b"\n", DataShop())
    assert found.report.rows_rejected == {
        Reason.ORDER_UNREADABLE: 1,
        Reason.STUDENT_MISSING: 1,
        Reason.SKILL_MISSING: 1,
        Reason.ANSWER_NOT_BINARY: 1,
        Reason.FIELD_COUNT: 1,
        Reason.NUL_BYTE: 1,
        Reason.LINE_TOO_LONG: 1,
    }
    assert found.report.lines_read_as_cp1252 == 1
    assert found.report.rows_kept == 5


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("First Attempt", "Attempt", "by student step"),
        ("KC (Topic)", "Topic", "no knowledge components"),
        ("Student Name", "Anon Student Id", "there 2 times"),
    ],
)
def test_a_datashop_export_without_its_columns(
    path: Path, old: str, new: str, sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence):
        imported(path, STEPS.replace(old, new), DataShop())


def test_two_samples_in_one_datashop_export_are_refused(path: Path) -> None:
    head, *rows = STEPS.splitlines()
    one = [f"{head}\tSample", *(f"{row}\tAll Data" for row in rows)]
    assert answers_of(imported(path, "\n".join(one), DataShop())) == ANSWERS
    with pytest.raises(ValueError, match="more than one DataShop sample"):
        imported(path, "\n".join([*one, rows[0] + "\tPilot"]), DataShop())


def test_an_empty_datashop_export(path: Path) -> None:
    with pytest.raises(ValueError, match="the file is empty"):
        imported(path, "", DataShop())


# --- OneRoster ------------------------------------------------------------------------------------


def test_partial_and_unmarked_results_are_no_answers(path: Path) -> None:
    files = oneroster_files()
    files["results.csv"] += (
        "r5,active,,li,u1,fully graded,3,2024-02-01,\n"
        "r6,active,,li,u1,submitted,,2024-02-01,\n"
        "r7,tobedeleted,,li,u1,fully graded,5,2024-02-01,\n"
        "r8,active,,li,u1,fully graded,5,2024-02-01,\n"
        "r9,active,,none,u1,fully graded,5,2024-02-01,\n"
    )
    files["lineItemLearningObjectiveIds.csv"] = (
        "sourcedId,status,lineItemSourcedId,learningObjectiveId\na,active,li,Area\n"
    )
    found = imported(path, zipped(files), OneRoster())
    assert found.report.rows_merged == {Merged.NO_ANSWER: 2}
    assert found.report.rows_rejected == {Reason.ANSWER_NOT_BINARY: 1, Reason.SKILL_MISSING: 1}
    # r8 has no objective of its own, so that its line item's stands for it.
    assert answers_of(found)["u1"] == [*ANSWERS["u1"], ("Area", 1)]


@pytest.mark.parametrize("name", ["results.csv", "lineItems.csv", "resultLearningObjectiveIds.csv"])
def test_a_gradebook_without_a_file_it_needs(path: Path, name: str) -> None:
    files = oneroster_files()
    del files[name]
    with pytest.raises(ValueError, match=name):
        imported(path, zipped(files), OneRoster())


def test_a_file_that_others_refer_to_is_read_whole(path: Path) -> None:
    files = oneroster_files()
    files["lineItems.csv"] += "too,short\n"
    with pytest.raises(ValueError, match=r"line 3 of lineItems\.csv .*wrong number of fields"):
        imported(path, zipped(files), OneRoster())


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("../results.csv", "lies in a folder"),
        ("..\\results.csv", "lies in a folder"),
        ("C:results.csv", "lies in a folder"),
        ("/etc/passwd", "lies in a folder"),
        ("inner.zip", "an archive itself"),
    ],
)
def test_names_that_lead_elsewhere_are_refused(path: Path, name: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence) as caught:
        imported(path, zipped({**oneroster_files(), name: "x"}), OneRoster())
    assert name not in str(caught.value)


def test_a_zip_bomb_is_refused_with_the_bound(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = zipped({**oneroster_files(), "zeros.csv": b"0" * 3_000_000})
    with pytest.raises(ValueError, match="more than 200 times"):
        imported(path, bomb, OneRoster())
    monkeypatch.setattr(zip_module, "MAX_BYTES", 100)
    with pytest.raises(ValueError, match="100 are the most"):
        imported(path, zipped(oneroster_files()), OneRoster())
    monkeypatch.setattr(zip_module, "MAX_ENTRIES", 2)
    with pytest.raises(ValueError, match="2 are the most"):
        imported(path, zipped(oneroster_files()), OneRoster())


def test_an_encrypted_entry_is_refused(path: Path) -> None:
    content = bytearray(zipped(oneroster_files()))
    content[content.index(b"PK\x01\x02") + 8] |= 1  # in the directory, which is what is believed
    with pytest.raises(ValueError, match="encrypted"):
        imported(path, bytes(content), OneRoster())


def test_other_damage_of_a_zip(path: Path) -> None:
    whole = zipped(oneroster_files())
    with pytest.raises(ValueError, match="damaged or cut short"):
        imported(path, whole[: len(whole) // 2], OneRoster())
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("results.csv", "x")
    with pytest.raises(ValueError, match="not deflated"):
        imported(path, path.read_bytes(), OneRoster())
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("results.csv", "x")
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("results.csv", "x")
    with pytest.raises(ValueError, match="two files of one name"):
        imported(path, path.read_bytes(), OneRoster())


# --- xAPI -----------------------------------------------------------------------------------------


def test_statements_that_are_no_answers_or_come_twice(path: Path) -> None:
    launched = statement(9, "u1", "Area", True, verb={"id": "http://adlnet.gov/verbs/launched"})
    found = imported(path, json_lines([*statements(), launched, *statements()]), Xapi())
    assert answers_of(found) == ANSWERS
    assert found.report.rows_merged == {Merged.NO_ANSWER: 1, Merged.DUPLICATE: 4}


def test_an_actor_without_account_or_a_result_without_success_is_rejected(path: Path) -> None:
    bad = [
        statement(5, "u1", "Area", True, actor={"mbox": "mailto:ann@example.org", "name": MARKER}),
        statement(6, "u1", "Area", "true"),
        statement(7, "u1", "Area", True, timestamp="yesterday"),
        statement(8, "u1", "Chess", True),
        statement(9, "\ud800", "Area", True),
    ]
    found = imported(path, json_lines(bad) + b"not json\n[1]\n" + b"[" * 5000 + b"\n", Xapi())
    assert found.report.rows_rejected == {
        Reason.STUDENT_MISSING: 2,
        Reason.ANSWER_NOT_BINARY: 1,
        Reason.ORDER_UNREADABLE: 1,
        Reason.SKILL_UNKNOWN: 1,
        Reason.NOT_JSON: 3,
    }
    assert found.report.first_rejected_line[Reason.NOT_JSON] == 6


def test_accounts_of_two_systems_are_refused(path: Path) -> None:
    other = statement(5, "u1", "Area", True)
    other["actor"]["account"]["homePage"] = "https://elsewhere.example"
    with pytest.raises(ValueError, match="more than one system") as caught:
        imported(path, json_lines([*statements(), other]), Xapi())
    assert "elsewhere" not in str(caught.value)


def test_names_of_members_are_shown_only_where_they_look_like_names(path: Path) -> None:
    odd = statement(1, "u1", "Area", True, **{MARKER: 1, "extra": MARKER})
    dropped = imported(path, json_lines([odd]), Xapi()).report.columns_dropped
    assert {"extra", fields.OTHER, "actor.name", "result.response"} <= set(dropped)
    assert "actor" not in dropped


def test_events_are_bounded(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fields, "MAX_SEEN", 3)
    with pytest.raises(ValueError, match="more than 3 events"):
        imported(path, json_lines(statements()), Xapi())


# --- JSON files -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "empty"),
        (b" \n ", "empty"),
        (b"[{},\n{]", "not JSON from line 2"),
        (b"[{}", "not JSON from line 1"),
        (b"[{}] x", "not JSON"),
        (b"[1]", "not JSON"),
        (b'{"data": [{}]', "not JSON"),
        (b'{\n"data": [{}] ]', "not JSON"),
        (b"[" + b'{"a":' * 100_000, "not JSON|more than"),
        (b'[{"a": "\xe9"}]', "not UTF-8"),
        (b"\xff\xfe[\0", "UTF-16|not UTF-8"),
    ],
)
def test_json_that_is_damaged_as_a_whole(path: Path, content: bytes, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        imported(path, content, Xapi())


def test_an_array_is_read_piece_by_piece(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "_READ", 100)
    for shape in (statements(), {**ENVELOPE, "data": statements(), "after": 1}):
        content = json.dumps(shape, indent=3)
        assert answers_of(imported(path, content, Xapi())) == ANSWERS


def test_an_event_beyond_the_limit_is_never_held(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "MAX_EVENT", 2_000)
    monkeypatch.setattr(events, "_READ", 500)
    giant = statement(9, "u1", "Area", True, extra="x" * 10_000)
    with pytest.raises(ValueError, match="begins at line 1 is damaged or has more than 2,000"):
        imported(path, json.dumps([giant]), Xapi())


def test_an_envelope_may_be_longer_than_a_line_may_be(path: Path) -> None:
    more = [{"id": f"x{number}", "type": "SessionEvent", "pad": "x" * 900} for number in range(90)]
    envelope = {**ENVELOPE, "data": [*caliper_events(), *more]}
    again = {**ENVELOPE, "data": caliper_events()}
    found = imported(path, json_lines([envelope, again]), Caliper())
    assert answers_of(found) == ANSWERS
    assert found.report.rows_merged[Merged.DUPLICATE] == 8


# --- Caliper --------------------------------------------------------------------------------------


def test_a_grade_that_says_everything_needs_no_item(path: Path) -> None:
    grade = grade_event(1, 2)
    grade["object"] = {
        "id": "urn:attempt:1",
        "assignee": {"id": "u1", "name": MARKER},
        "assignable": "Area",
    }
    found = imported(path, json_lines([grade, {**grade, "id": "urn:uuid:again"}]), Caliper())
    assert answers_of(found) == {"u1": [("Area", 1)]}
    assert found.report.rows_merged == {Merged.DUPLICATE: 1}


def test_grades_that_cannot_be_used(path: Path) -> None:
    bad = [
        *caliper_events(),
        grade_event(7, 2),  # of no item in the file
        item_event(8, "u1", "Area"),
        grade_event(8, 1),  # half the score
        {**grade_event(1, 0), "id": "urn:uuid:regrade"},
        item_event(9, "u1", "Area"),
        {**item_event(9, "u2", "Area"), "id": "urn:uuid:other"},  # one attempt, two students
        grade_event(9, 2),
        {**grade_event(2, 2), "id": "urn:uuid:hid", "action": "Hid"},
    ]
    found = imported(path, json_lines(bad), Caliper())
    assert answers_of(found) == ANSWERS
    assert found.report.rows_rejected == {
        Reason.GRADE_WITHOUT_ITEM: 2,
        Reason.ANSWER_NOT_BINARY: 1,
        Reason.CONTRADICTION: 1,
    }


def test_what_is_remembered_of_attempts_is_bounded(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    student, skill = "https://students.example/1", "https://skills.example/1"
    answered = [item_event(number, student, skill) for number in range(5)]
    once = len(student) + len(skill) + 5 * len(answered[0]["eventTime"])
    monkeypatch.setattr("fedtrace.client.ingest.caliper.MAX_REMEMBERED", once)
    assert imported(path, json_lines(answered), Caliper()).report.rows_read == 5
    other = item_event(5, f"{student}2", skill)
    with pytest.raises(ValueError, match=f"more than {once} characters: export a shorter time"):
        imported(path, json_lines([*answered, other]), Caliper())


def test_attempts_are_bounded(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fedtrace.client.ingest.caliper.MAX_ATTEMPTS", 3)
    with pytest.raises(ValueError, match="more than 3 attempts"):
        imported(path, json_lines(caliper_events()), Caliper())
