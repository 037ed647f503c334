"""What a school's file holds besides the mapped columns can never change what is imported."""

from __future__ import annotations

import csv
import io
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import hypothesis.strategies as st
import numpy as np
from hypothesis import given
from support.thoroughness import examples

from fedtrace.client.ingest.catalogue import Catalogue
from fedtrace.client.ingest.lines import MAX_LINE_BYTES
from fedtrace.client.ingest.mapping import Columns, Mapping
from fedtrace.client.ingest.reader import Imported, read_csv
from fedtrace.client.sealing import StudentRecord
from fedtrace.client.vault import Vault

CATALOGUE = Catalogue(skills=["Area", "Fractions, mixed", 'Sums "easy"'])
MAPPING = Mapping(columns=Columns(student="student", skill="skill", correct="correct", order="at"))

# Anything a spreadsheet cell can hold; csv itself cannot carry NUL or lone surrogates.
CELLS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=30)
ROWS = st.lists(
    st.tuples(
        st.integers(0, 50).map(str),
        st.sampled_from(["u1", "u2", "Zoë", ""]),
        st.sampled_from([*CATALOGUE.skills, "unknown"]),
        st.sampled_from(["0", "1", "true", "maybe"]),
    ),
    max_size=30,
)


def imported(content: bytes) -> Imported:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "export.csv"
        path.write_bytes(content)
        return read_csv(path, MAPPING, CATALOGUE)


def as_csv(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    line_end: str = "\n",
    *,
    quoted: bool = False,
) -> bytes:
    text = io.StringIO(newline="")
    if quoted:
        writer = csv.writer(text, lineterminator=line_end, quoting=csv.QUOTE_ALL)
    else:
        writer = csv.writer(text, lineterminator=line_end)
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue().encode()


def content_of(result: Imported) -> list[tuple[str, list[int], list[int]]]:
    return [(r.external_id, r.skills.tolist(), r.correct.tolist()) for r in result.records()]


@given(rows=ROWS, data=st.data(), line_end=st.sampled_from(["\n", "\r\n"]), quoted=st.booleans())
@examples(50)
def test_dropping_any_personal_column_changes_nothing(
    rows: list[tuple[str, str, str, str]], data: st.DataObject, line_end: str, quoted: bool
) -> None:
    header = ["at", "student", "skill", "correct"]
    bare = imported(as_csv(header, rows, line_end))
    # Python's csv writer leaves a lone CR unquoted, which no reader can take for text.
    cells = CELLS if quoted else CELLS.map(lambda cell: cell.replace("\r", " "))
    columns = data.draw(st.integers(1, 3))
    place = data.draw(st.integers(0, 4))
    personal = [
        data.draw(st.lists(cells, min_size=columns, max_size=columns), label="personal")
        for _ in rows
    ]
    names = [f"personal {number}" for number in range(columns)]
    wide = imported(
        as_csv(
            [*header[:place], *names, *header[place:]],
            [[*row[:place], *more, *row[place:]] for row, more in zip(rows, personal, strict=True)],
            line_end,
            quoted=quoted,
        )
    )
    assert content_of(wide) == content_of(bare)
    assert list(wide.report.columns_dropped) == names
    assert wide.report.rows_rejected == bare.report.rows_rejected
    assert wide.report.rows_merged == bare.report.rows_merged


@given(content=st.binary(max_size=400) | st.text('a1,"\n\r;é\0', max_size=400).map(str.encode))
@examples(100)
def test_any_bytes_after_the_header_are_accounted_for(content: bytes) -> None:
    result = imported(b"at,student,skill,correct\n1,u,Area,1\n" + content)
    report = result.report
    merged, rejected = sum(report.rows_merged.values()), sum(report.rows_rejected.values())
    assert report.rows_read == report.rows_kept + merged + rejected
    assert report.rows_kept == len(result.skills) == sum(len(r.skills) for r in result.records())


@given(rows=st.permutations(range(8)))
@examples(30)
def test_the_order_of_rows_in_the_file_means_nothing(rows: list[int]) -> None:
    table = [
        (str(number // 2), f"u{number % 3}", CATALOGUE.skills[number % 3], "1")
        for number in range(8)
    ]
    header = ["at", "student", "skill", "correct"]
    one = content_of(imported(as_csv(header, table)))
    other = content_of(imported(as_csv(header, [table[number] for number in rows])))
    assert sorted(one) == sorted(other)


@given(junk=st.integers(MAX_LINE_BYTES - 3, MAX_LINE_BYTES + 3), before=st.integers(0, 40))
@examples(30)
def test_around_the_limit_of_a_line_the_neighbours_stay(junk: int, before: int) -> None:
    good = b"7,u,Area,1\n"
    result = imported(
        b"at,student,skill,correct\n" + b"1,v,Area,1\n" * before + b"x" * junk + b"\n" + good
    )
    assert content_of(result)[-1] == ("u", [0], [1])
    assert sum(result.report.rows_rejected.values()) == 1


@given(
    external_id=st.text(st.characters(exclude_categories=["Cs"]), max_size=20).map(
        "pupil ".__add__
    ),
    skills=st.lists(st.integers(2**24, 2**31 - 1), min_size=2, max_size=20),
    key=st.binary(min_size=32, max_size=32).filter(lambda key: len(set(key)) > 4),
)
@examples(10)
def test_no_file_of_the_vault_holds_a_student_in_clear(
    external_id: str, skills: list[int], key: bytes
) -> None:
    record = StudentRecord(
        external_id=external_id,
        skills=np.asarray(skills, dtype=np.int32),
        correct=np.ones(len(skills), dtype=np.int8),
    )
    with tempfile.TemporaryDirectory() as directory:
        vault = Vault(Path(directory), key)
        vault.add(
            [record],
            retain_until=datetime(2027, 1, 1, tzinfo=UTC),
            catalogue_digest=CATALOGUE.digest(),
        )
        content = b"".join(path.read_bytes() for path in Path(directory).iterdir())
        vault.close()
    assert external_id.encode() not in content
    assert record.skills.tobytes() not in content
    assert key not in content
