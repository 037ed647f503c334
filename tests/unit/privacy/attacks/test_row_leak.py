"""One student's answers, read off an unprotected update; lost in a protected one."""

from __future__ import annotations

import numpy as np
import pytest
from support.row_leak import leaked_fractions

from fedtrace.privacy.attacks.row_leak import chance, guessed_pairs, recovered_fraction

STUDENTS = 25


def test_an_unprotected_update_tells_everything() -> None:
    """The control: with differential privacy off the attack works, so its failure means much."""
    leaked = leaked_fractions(students=STUDENTS, clipping_norm=None, noise_multiplier=0.0)
    assert leaked.recovered == 1.0
    assert leaked.chance < 0.2


def test_clipping_alone_hides_nothing() -> None:
    leaked = leaked_fractions(students=STUDENTS, clipping_norm=0.1, noise_multiplier=0.0)
    assert leaked.recovered == 1.0


@pytest.mark.parametrize("noise_multiplier", [0.5, 1.0])
def test_clip_and_noise_leave_the_attacker_at_chance(noise_multiplier: float) -> None:
    leaked = leaked_fractions(
        students=STUDENTS, clipping_norm=1.0, noise_multiplier=noise_multiplier
    )
    assert abs(leaked.recovered - leaked.chance) < 4 * leaked.error + 0.02


def test_the_attacker_names_the_rows_that_moved_most() -> None:
    rows = np.zeros((5, 2))
    rows[3] = [3, 4]
    rows[1] = [0, -1]
    assert guessed_pairs(rows, 3).tolist() == [3, 1]
    assert guessed_pairs(rows, 1).tolist() == [3]
    assert guessed_pairs(rows, 0).tolist() == []
    assert recovered_fraction(rows, np.array([3, 3, 1, 0])) == pytest.approx(2 / 3)
    assert chance(np.array([3, 3, 1]), catalogue=5) == pytest.approx(0.4)


def test_the_attack_refuses() -> None:
    with pytest.raises(ValueError, match="shape"):
        guessed_pairs(np.zeros(3), 1)
    with pytest.raises(ValueError, match="at least 0"):
        guessed_pairs(np.zeros((3, 2)), -1)
    with pytest.raises(ValueError, match="nothing to recover"):
        recovered_fraction(np.zeros((3, 2)), np.zeros(0, dtype=np.int64))
