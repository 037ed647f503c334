"""The look for known vulnerabilities never reads as green when nothing was looked up."""

from __future__ import annotations

import json
from typing import Any

import pytest
from supply.advisories import judge

CLEAN = {"name": "alembic", "version": "1.20.1", "vulns": []}
MISSED = {"name": "torch", "skip_reason": "not found"}
BAD = {
    "name": "rich",
    "version": "14.0.0",
    "vulns": [{"id": "PYSEC-2026-1", "fix_versions": ["14.0.1"]}],
}


def answer(*rows: dict[str, Any]) -> str:
    return json.dumps({"dependencies": rows, "fixes": []})


def test_a_finding_fails_and_says_what_to_raise() -> None:
    looked = judge(answer(CLEAN, MISSED, BAD), "")
    assert looked.code == 1
    assert looked.lines[0] == "advisories: rich 14.0.0 has PYSEC-2026-1; repaired in 14.0.1"
    unrepaired = {**BAD, "vulns": [{"id": "PYSEC-2026-2", "fix_versions": []}]}
    assert "no version yet" in judge(answer(unrepaired), "").lines[0]


def test_what_was_not_looked_up_is_named() -> None:
    looked = judge(answer(CLEAN, MISSED), "")
    assert looked.code == 0
    assert looked.lines == (
        "advisories: none known for 1 of 2 pinned packages",
        "advisories: NOT LOOKED UP: torch",
    )


@pytest.mark.parametrize(
    ("said", "complaint"),
    [
        (answer(MISSED, MISSED), "No known vulnerabilities found"),
        ("", "ERROR: Could not connect to the vulnerability feed\nERROR: Tip: another service"),
        ("", "requests.exceptions.ProxyError: refused"),
        ("", "Timeout after 300 s"),
    ],
)
def test_a_service_out_of_reach_is_said_to_be_skipped(said: str, complaint: str) -> None:
    looked = judge(said, complaint)
    assert looked.code == 0
    (line,) = looked.lines
    assert "SKIPPED, nothing was checked" in line
    assert "none known" not in line


@pytest.mark.parametrize(
    ("said", "complaint"), [("", ""), ("[]", "odd"), ("{}", "unrecognized arguments: -f")]
)
def test_an_audit_that_broke_fails(said: str, complaint: str) -> None:
    assert judge(said, complaint).code == 2
