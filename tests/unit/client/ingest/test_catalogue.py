"""The public skill list: canonical, and free of names that only few students have."""

from __future__ import annotations

from pathlib import Path

import pytest

from fedtrace.client.ingest import catalogue as module
from fedtrace.client.ingest.catalogue import Catalogue, build_catalogue, load_catalogue
from fedtrace.client.ingest.mapping import Columns, Mapping

MAPPING = Mapping(columns=Columns(student="student", skill="skill", correct="correct"))


def table(path: Path, rows: list[tuple[str, str]]) -> Path:
    lines = ["student,skill,correct", *(f"{student},{skill},1" for student, skill in rows)]
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def test_there_and_back() -> None:
    catalogue = Catalogue(skills=["Zählen", "Addition"])
    assert catalogue.ids() == {"Zählen": 0, "Addition": 1}
    assert load_catalogue(catalogue.to_json()) == catalogue
    assert catalogue.to_json() == '{"skills":["Zählen","Addition"]}'.encode()
    assert len(catalogue) == 2


@pytest.mark.parametrize(
    "content",
    [
        b"[]",
        b'{"skills": []}',
        b'{"skills": ["a", "a"]}',
        b'{"skills": [" a"]}',
        b'{"skills": [""]}',
        b'{"skills": [1]}',
        b'{"skills": ["a"], "note": "b"}',
        b"\xff",
    ],
)
def test_what_is_no_catalogue(content: bytes) -> None:
    with pytest.raises(ValueError):
        load_catalogue(content)


def test_only_names_that_enough_students_have(tmp_path: Path) -> None:
    one = table(
        tmp_path / "one.csv",
        [(f"s{number}", "Fractions") for number in range(4)]
        + [("s1", "my dog is called Rex"), ("s1", ""), *[("s1", "Sums")] * 9],
    )
    two = table(tmp_path / "two.csv", [("s0", " Fractions ")])
    assert build_catalogue([one, two], MAPPING) == Catalogue(skills=["Fractions"])
    everything = build_catalogue([one, two], MAPPING, min_students=1)
    assert everything.skills == ["Fractions", "Sums", "my dog is called Rex"]
    with pytest.raises(ValueError, match="no skill has 6 students"):
        build_catalogue([one, two], MAPPING, min_students=6)


def test_a_column_that_names_no_skills(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_SKILLS", 10)
    path = table(tmp_path / "a.csv", [("s", f"answer {number}") for number in range(12)])
    with pytest.raises(ValueError, match="does not name skills"):
        build_catalogue([path], MAPPING)
