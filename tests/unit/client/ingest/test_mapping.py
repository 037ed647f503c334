"""The mapping file: strict, with the path to what is wrong."""

from __future__ import annotations

import pytest

from fedtrace.client.ingest.mapping import load_mapping

COLUMNS = """
[columns]
student = "pupil"
skill = "topic"
correct = "result"
"""


def test_the_shortest_mapping() -> None:
    mapping = load_mapping(COLUMNS)
    assert mapping.columns.by_role() == {"student": "pupil", "skill": "topic", "correct": "result"}
    assert mapping.delimiter == ","
    assert mapping.words()["TRUE"] == mapping.words()["1"] == 1
    assert mapping.words()["No"] == mapping.words()["0"] == 0


def test_own_words_replace_the_usual_ones() -> None:
    mapping = load_mapping(COLUMNS + '[answers]\nright = ["richtig"]\nwrong = ["falsch"]\n')
    assert set(mapping.words()) == {
        spelling
        for word in ("richtig", "falsch")
        for spelling in (word, word.upper(), word.title())
    }


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[columns", "not TOML"),
        ("", "columns: Field required"),
        ('[columns]\nstudent = "a"\n', "columns.skill: Field required"),
        ('note = "all"\n' + COLUMNS, "note: Extra inputs"),
        (COLUMNS + 'email = "mail"\n', "columns.email: Extra inputs"),
        ('delimiter = "~"\n' + COLUMNS, "delimiter: Input should be"),
        (COLUMNS.replace('"topic"', "7"), "columns.skill: Input should be a valid string"),
        (COLUMNS.replace("topic", "pupil"), "one column cannot have two roles"),
        (COLUMNS + '[answers]\nright = ["1"]\nwrong = ["1"]\n', "both right and wrong"),
    ],
)
def test_what_is_wrong_is_named(text: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        load_mapping(text)
