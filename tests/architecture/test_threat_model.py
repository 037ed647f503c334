"""Every row of the threat model names tests that exist, and every refusal answers a threat."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest
from support.tree import ROOT, syntax, text

from fedtrace.governance.refusals import RefusalCode

PAGE = text(Path("docs/threat-model.md"))
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in PAGE.splitlines()
    if re.match(r"\| [STXIDEL][0-9]+ \|", line)
]
CATEGORIES = (
    *("Spoofing", "Tampering", "Repudiation", "Information disclosure"),
    *("Denial of service", "Elevation of privilege"),
    *("Linking", "Identifying", "Non-repudiation", "Detecting", "Data disclosure"),
    *("Unawareness", "Non-compliance"),
)


@cache
def names_in(path: Path) -> frozenset[str]:
    """The names of a file's tests."""
    return frozenset(
        node.name
        for node in ast.walk(syntax(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("test_")
    )


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_a_threat_is_tried_by_tests_that_exist(row: list[str]) -> None:
    assert len(row) == 5
    tests = re.findall(r"`([^`]+)`", row[4])
    assert tests, f"{row[0]} names no test"
    for test in tests:
        name, _, function = test.partition("::")
        path = Path("tests", name)
        assert (ROOT / path).is_file(), f"{row[0]} names {name}, which is not there"
        found = names_in(path)
        assert found, f"{row[0]} names {name}, which has no test"
        assert not function or function in found, f"{row[0]} names {test}, which is not there"


def test_threats_are_numbered_once_and_cover_both_methods() -> None:
    ids = [row[0] for row in ROWS]
    assert len(ids) == len(set(ids)) >= 50
    for letter in "STXIDEL":
        assert [each for each in ids if each[0] == letter] == [
            f"{letter}{number}" for number in range(1, 1 + sum(each[0] == letter for each in ids))
        ]
    for category in CATEGORIES:
        assert re.search(rf"^(### |\| \*\*){category}", PAGE, re.MULTILINE), category


def test_every_refusal_answers_a_threat() -> None:
    named = {code for row in ROWS for code in re.findall(r"\bR[0-9]{2}\b", row[3])}
    assert named == {str(code) for code in RefusalCode}
