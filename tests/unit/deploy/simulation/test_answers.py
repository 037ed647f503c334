"""Reading a whole table: three packings, any order of rows, and a sentence for what is wrong."""

import gzip
import lzma
from pathlib import Path

import pytest

from fedtrace.deploy.simulation.answers import Columns, read_answers

TABLE = """student,school,seq,skill,correct,note
b,north,2,mul,1,x
a,south,1,add,1,x
b,north,1,add,0,x
c,,1,sub,1.0,x
b,south,1,sub,0.0,x
"""


def written(path: Path, text: str = TABLE) -> Path:
    data = text.encode()
    if path.suffix != ".csv":
        data = (gzip if path.suffix == ".gz" else lzma).compress(data)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("name", ["table.csv", "table.csv.gz", "table.csv.xz"])
def test_a_table_becomes_schools_of_students_in_time_order(tmp_path: Path, name: str) -> None:
    answers = read_answers(written(tmp_path / name), Columns())

    assert answers.skills == ("add", "mul", "sub")
    assert list(answers.schools) == ["north", "south"]
    north, south = answers.schools["north"], answers.schools["south"]
    assert north.students == ("b",)
    assert north.interactions.skills.tolist() == [0, 1]
    assert north.interactions.correct.tolist() == [0, 1]
    assert south.students == ("a", "b")  # b in another school is another student
    assert south.interactions.skills.tolist() == [0, 2]
    assert answers.without_school is not None
    assert answers.without_school.students == ("c",)
    assert repr(south) == "SchoolTable(2 students)"


def test_columns_have_any_name_and_a_byte_order_mark_is_dropped(tmp_path: Path) -> None:
    text = "\ufeffpupil,site,n,kc,ok\np,s,0,k,1\n"
    columns = Columns(school="site", student="pupil", skill="kc", order="n", correct="ok")

    answers = read_answers(written(tmp_path / "t.csv", text), columns)

    assert answers.skills == ("k",)
    assert answers.without_school is None


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "the file is empty"),
        ("student,seq,skill,correct\n", "there is no column 'school'"),
        ("student;school;seq;skill;correct\n", "separated by ';': save the file with commas"),
        ("student,school,school,seq,skill,correct\n", "'school' is there 2 times"),
        ("student,school,seq,skill,correct\n,b,1,c,1\n", "row 1: the student is missing"),
        ("student,school,seq,skill,correct\na,b,1,,1\n", "row 1: the skill is missing"),
        ("student,school,seq,skill,correct\na,b,nan,c,1\n", "row 1: the column 'seq' is not"),
        ("student,school,seq,skill,correct\n" + "x" * 200_000, "row 1 cannot be read as CSV"),
        ("student,school,seq,skill,correct\n", "a header and no row"),
        ("student,school,seq,skill,correct\na,b,1,c,2\n", "row 1: the column 'correct' is not 0"),
        ("student,school,seq,skill,correct\na,b,x,c,1\n", "row 1: the column 'seq' is not a numb"),
        ("student,school,seq,skill,correct\na,b,1,c,1\na,b\n", "row 2 has 2 fields, the header 5"),
    ],
)
def test_what_is_wrong_is_said_by_row_and_column(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        read_answers(written(tmp_path / "t.csv", text), Columns())


def test_another_encoding_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes("student,school,seq,skill,correct\na,Zürich,1,c,1\n".encode("cp1252"))

    with pytest.raises(ValueError, match="save it as CSV in UTF-8"):
        read_answers(path, Columns())


@pytest.mark.parametrize("name", ["table.csv.gz", "table.csv.xz"])
@pytest.mark.parametrize("damage", [b"no archive", None], ids=["another format", "cut short"])
def test_damaged_compression_is_named(tmp_path: Path, name: str, damage: bytes | None) -> None:
    path = written(tmp_path / name, TABLE + "b,north,3,mul,1,x\n" * 5000)
    path.write_bytes(path.read_bytes()[:-20] if damage is None else damage)

    with pytest.raises(ValueError, match="damaged or cut short"):
        read_answers(path, Columns())
