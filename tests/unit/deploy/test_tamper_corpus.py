"""Every tampering of the corpus is found by the check that the corpus names, and by no accident."""

from __future__ import annotations

import functools
from pathlib import Path

import pytest
from support.bundles import honest, write
from support.disabling import disable
from support.tamper_files import ENTRIES, FILES, NOTES
from support.tamper_insiders import COLLUSION, SHAPES, WITNESSES
from support.tampering import Tampering

from fedtrace.deploy import audit
from fedtrace.deploy.audit import Verdict, verify_path
from fedtrace.privacy.accounting import epsilon

_EPSILON = functools.cache(epsilon)

CORPUS = (*FILES, *NOTES, *ENTRIES, *SHAPES, *WITNESSES, *COLLUSION)
CHECKS = sorted({each.check for each in CORPUS})

NEVER_UNNOTICED = {
    "entry.json": "what is no JSON has no type either",
    "entry.schema": "without it there is no value to go on with",
    "entry.type": "without it there is no schema to go on with",
    "entry.envelope": "without it there is no time to go on with",
    "log.size": "a shorter log has another root",
}
"""Checks without which the verifier does not pass either: another one fails, or it ends."""


@pytest.fixture(autouse=True)
def composed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Almost every bundle has the same releases: sum them up once."""
    monkeypatch.setattr(audit, "epsilon", _EPSILON)


def _verify(tampering: Tampering, folder: Path) -> Verdict:
    return verify_path(write(tampering.make(), folder))


def _found(verdict: Verdict) -> set[tuple[str, str]]:
    return {(line.status, line.check) for line in verdict.lines if line.status != "PASS"}


def test_the_bundle_that_was_tampered_with_is_whole(tmp_path: Path) -> None:
    verdict = verify_path(write(honest(), tmp_path))
    assert (verdict.exit_code, verdict.entries) == (0, 47)


def test_the_corpus_is_large_and_says_each_thing_once() -> None:
    assert len({each.name for each in CORPUS}) == len(CORPUS) >= 60


@pytest.mark.parametrize("tampering", CORPUS, ids=lambda each: each.name)
def test_each_tampering_is_found_by_its_check(tampering: Tampering, tmp_path: Path) -> None:
    verdict = _verify(tampering, tmp_path)
    status = "WARN" if tampering.warns else "FAIL"
    assert (status, tampering.check) in _found(verdict)
    assert verdict.exit_code == (1 if tampering.warns else 2)


@pytest.mark.parametrize("check", CHECKS)
def test_without_a_check_a_tampering_goes_unnoticed(
    check: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert disable(check, monkeypatch) > 0
    outcomes = []
    for number, tampering in enumerate(each for each in CORPUS if each.check == check):
        try:
            verdict = _verify(tampering, tmp_path / str(number))
        except (KeyError, TypeError, UnboundLocalError) as error:
            outcomes.append(type(error).__name__)
        else:
            assert check not in {name for _, name in _found(verdict)}
            outcomes.append("unnoticed" if verdict.exit_code == 0 else "found")
    assert ("unnoticed" in outcomes) == (check not in NEVER_UNNOTICED), outcomes
