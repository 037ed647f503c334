"""The short form of every attack: the claim holds, and the control without privacy breaks it."""

from __future__ import annotations

import pytest

from fedtrace.deploy.attacks.attacks import ATTACKS, carry_out
from fedtrace.deploy.attacks.finding import AttackReport, AttackSettings, claim, control
from fedtrace.deploy.attacks.row_leak import leaked_fractions
from fedtrace.privacy.randomness import SeededRandom


def attacked(attack: str) -> AttackReport:
    return carry_out(attack, AttackSettings(epsilon=2.0, seed=0, short=True))


def test_row_leak() -> None:
    found = attacked("row-leak")
    assert found.exit_code == 0
    assert found.numbers["control_recovered"] == 1.0
    # Far below the bound: with one student's row in so many, at chance.
    assert abs(found.numbers["recovered"] - found.numbers["chance"]) < 0.05


def test_clipping_alone_hides_nothing() -> None:
    leaked = leaked_fractions(
        students=4, clipping_norm=1e-3, noise_multiplier=0.0, source=SeededRandom(0)
    )
    assert leaked.recovered == 1.0


def test_one_run() -> None:
    found = attacked("one-run")
    assert found.exit_code == 0
    assert found.numbers["canaries"] >= 500
    for mode in ("local", "distributed"):
        assert 0 < found.numbers[f"{mode}_epsilon"] < 2
        assert found.numbers[f"control_{mode}_epsilon"] > 3


@pytest.mark.system
def test_lira() -> None:
    found = attacked("lira")
    assert found.exit_code == 0
    assert found.numbers["found_at_0.01"] < 0.074
    assert found.numbers["control_found_at_0.01"] > 0.2


def test_noise() -> None:
    found = attacked("noise")
    assert found.exit_code == 0
    assert min(n for name, n in found.numbers.items() if name.endswith("_failed")) >= 1


def test_the_worst_finding_decides() -> None:
    held, broken = claim("held", holds=True), claim("broken", holds=False)
    powerless = control("powerless", breaks=False)
    for findings, code in (((held,), 0), ((held, powerless), 1), ((broken, powerless), 2)):
        report = AttackReport(attack="a", tried="t", bound="b", findings=findings, numbers={})
        assert report.exit_code == code


def test_an_attack_that_nobody_wrote() -> None:
    with pytest.raises(ValueError, match="unknown attack 'other'; known: row-leak, one-run"):
        attacked("other")


def test_without_a_seed_noise_comes_from_the_operating_system() -> None:
    settings = AttackSettings(epsilon=2.0, seed=None, short=True)
    assert repr(settings.source()) == "OsRandom()"
    assert set(ATTACKS) == {"row-leak", "one-run", "lira", "noise"}
