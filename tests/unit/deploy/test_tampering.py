"""The corpus of tampered logs: each is found, by the checks that it names and by no others."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from support.logs import tell_story
from support.tampering import TAMPERINGS, Tampering
from support.tree import ROOT

from fedtrace.deploy.audit import Verdict, verify_path

FEWEST = 40
"""Scripted tamperings, at least."""


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tell_story().write(tmp_path_factory.mktemp("whole"))


def found(verdict: Verdict, status: str) -> tuple[str, ...]:
    """The checks of that status, each once, in order."""
    checks = [line.check for line in verdict.lines if line.status == status]
    return tuple(dict.fromkeys(check for check in checks if check != "crosscheck"))


@pytest.mark.parametrize("tampering", TAMPERINGS, ids=lambda each: each.name)
def test_it_is_found_by_name(tampering: Tampering, whole: Path, tmp_path: Path) -> None:
    demo = shutil.copytree(whole, tmp_path / "demo")
    tampering.act(demo)
    verdict = verify_path(demo)
    assert (found(verdict, "FAIL"), found(verdict, "WARN")) == (tampering.fails, tampering.warns)
    assert verdict.exit_code == (2 if tampering.fails else 1)


def alone() -> set[str]:
    """Checks that are the only one to find something: without them it would pass."""
    fails = {each.fails[0] for each in TAMPERINGS if len(each.fails) == 1}
    warns = {each.warns[0] for each in TAMPERINGS if not each.fails and len(each.warns) == 1}
    return fails | warns


def test_the_corpus_is_large_and_says_nothing_twice() -> None:
    assert len(TAMPERINGS) >= FEWEST
    assert len({each.name for each in TAMPERINGS}) == len(TAMPERINGS)
    assert all(each.fails or each.warns for each in TAMPERINGS)


def test_without_any_one_check_something_would_pass(whole: Path) -> None:
    verdict = verify_path(whole)
    assert {line.status for line in verdict.lines} == {"PASS"}
    reported = {line.check for line in verdict.lines} - {"log.whole"}
    assert reported | {"log.fork"} <= alone()


@pytest.mark.parametrize(
    ("module", "raised", "prefix"),
    [
        ("entries", r'Rejected\("([a-z]+)"', "entry."),
        ("verify", r'_Failed\("([a-z.]+)"', ""),
        ("note", r'NoteError\("([a-z]+)"', "checkpoint."),
    ],
)
def test_every_reason_in_the_verifier_is_in_the_corpus(
    module: str, raised: str, prefix: str
) -> None:
    source = (ROOT / "governance" / "log" / f"{module}.py").read_text(encoding="utf-8")
    reasons = {f"{prefix}{name}" for name in re.findall(raised, source)}
    in_corpus = {check for each in TAMPERINGS for check in (*each.fails, *each.warns)}
    # A checkpoint that is too large, or not there, is not read at all: the check is `input`.
    assert reasons - in_corpus <= {"checkpoint.size", "log.checkpoint"}
    assert reasons
