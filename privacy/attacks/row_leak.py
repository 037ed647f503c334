"""The attack that clipping and noise must stop: reading a student's answers off an update.

A model that looks up one embedding row for each (skill, right or wrong) pair has a gradient only in
the rows of pairs that occurred. Whoever sees one student's update without protection reads their
pairs off the non-zero rows, without any training or guessing; the same holds for embeddings of
words (Melis et al. 2019, "Exploiting Unintended Feature Leakage in Collaborative Learning").
A school can run this on what it is about to send.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

PairArray = npt.NDArray[np.int64]


def guessed_pairs(rows: npt.NDArray[np.floating], guesses: int) -> PairArray:
    """The attacker's best guess: the rows that moved the most.

    Args:
        rows: float [pairs, E], the update's part that belongs to the embedding of pairs.
        guesses: how many pairs to name; a strong attacker knows how many there are.

    Returns:
        int64 [at most guesses], largest row first; rows that are exactly zero are never named.

    Raises:
        ValueError: rows that are not a matrix, or a negative number of guesses.
    """
    if rows.ndim != 2:
        raise ValueError(f"embedding rows are [pairs, width], not of shape {rows.shape}")
    if guesses < 0:
        raise ValueError(f"the number of guesses is at least 0, not {guesses}")
    sizes = np.linalg.norm(rows.astype(np.float64), axis=1)
    order: PairArray = np.argsort(-sizes, kind="stable")[:guesses].astype(np.int64)
    moved: PairArray = order[sizes[order] > 0]
    return moved


def recovered_fraction(rows: npt.NDArray[np.floating], pairs: PairArray) -> float:
    """The share of a student's distinct pairs that the attacker names, knowing how many there are.

    Args:
        rows: float [pairs, E], the update's part that belongs to the embedding of pairs.
        pairs: int64 [interactions], the pairs that the student's loss depends on.

    Returns:
        From 0 to 1; ``chance`` is what guessing would give.

    Raises:
        ValueError: a student without pairs, of whom there is nothing to recover.
    """
    true = np.unique(pairs)
    if not len(true):
        raise ValueError("a student without pairs has nothing to recover")
    named = guessed_pairs(rows, len(true))
    return float(np.isin(named, true).sum() / len(true))


def chance(pairs: PairArray, catalogue: int) -> float:
    """The share that blind guessing recovers on average: distinct pairs over possible ones."""
    return len(np.unique(pairs)) / catalogue
