"""Take each check out of the verifier's source: a tampering of the corpus is then not found."""

from __future__ import annotations

import functools
import shutil
from pathlib import Path

import pytest
from support.disabling import disable
from support.logs import tell_story
from support.tampering import TAMPERINGS

from fedtrace.deploy import audit
from fedtrace.deploy.audit import verify_path
from fedtrace.privacy.accounting import epsilon

_EPSILON = functools.cache(epsilon)

CHECKS = sorted({check for each in TAMPERINGS for check in (*each.fails, *each.warns)})

NEVER_UNNOTICED = {
    "entry.envelope": "without it there is no time to go on with",
    "entry.json": "what is no JSON has no type either",
    "entry.schema": "without it there is no value to go on with",
    "entry.type": "without it there is no schema to go on with",
    "log.size": "a shorter log has another root",
}
"""Checks without which the verifier does not pass either: another one fails, or it ends."""


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tell_story().write(tmp_path_factory.mktemp("whole"))


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.system
def test_without_a_check_a_tampering_goes_unnoticed(
    check: str, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Almost every folder has the same releases: sum them up once.
    monkeypatch.setattr(audit, "epsilon", _EPSILON)
    assert disable(check, monkeypatch) > 0
    outcomes = set()
    for number, each in enumerate(each for each in TAMPERINGS if check in each.fails + each.warns):
        demo = shutil.copytree(whole, tmp_path / str(number))
        each.act(demo)
        try:
            verdict = verify_path(demo)
        except (KeyError, TypeError, UnboundLocalError):
            outcomes.add("no verdict")
        else:
            assert check not in {line.check for line in verdict.lines if line.status != "PASS"}
            outcomes.add("unnoticed" if verdict.exit_code == 0 else "found")
    assert ("unnoticed" in outcomes) == (check not in NEVER_UNNOTICED), outcomes
