"""The attacker's guess at a student's answers."""

from __future__ import annotations

import numpy as np
import pytest

from fedtrace.privacy.attacks.row_leak import chance, guessed_pairs, recovered_fraction


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
