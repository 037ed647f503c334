"""What several rows at one place of a student's order mean."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """Which rows stay, and what became of the others.

    Attributes:
        kept: int64 [interactions], indices of the rows that stay, by student and then order.
        duplicates: rows that repeat a kept one.
        further_skills: rows that name another skill of a kept answer.
        contradictions: rows of answers that are both right and wrong; none of those is kept.
    """

    kept: npt.NDArray[np.int64]
    duplicates: int
    further_skills: int
    contradictions: int


def every_row(*, student: npt.NDArray[np.int32], order: npt.NDArray[np.float64]) -> Settled:
    """Every row is an answer of its own; equal places keep the order of the file."""
    kept = np.lexsort((order, student))
    return Settled(kept=kept, duplicates=0, further_skills=0, contradictions=0)


def one_answer_a_place(
    *,
    student: npt.NDArray[np.int32],
    skill: npt.NDArray[np.int32],
    correct: npt.NDArray[np.int8],
    order: npt.NDArray[np.float64],
) -> Settled:
    """One place is one answer: the row of its first skill stays, unless the rows contradict.

    Args:
        student: int32 [rows], whose answer it is.
        skill: int32 [rows], catalogue ids; the lowest of an answer stays.
        correct: int8 [rows], 0 or 1.
        order: float64 [rows], the place among the student's answers.
    """
    rows = np.lexsort((skill, order, student))
    if not len(rows):
        return Settled(kept=rows, duplicates=0, further_skills=0, contradictions=0)
    again = np.zeros(len(rows), dtype=bool)
    again[1:] = (np.diff(student[rows]) == 0) & (np.diff(order[rows]) == 0)
    same_skill = again.copy()
    same_skill[1:] &= np.diff(skill[rows]) == 0

    starts = np.flatnonzero(~again)
    answers = correct[rows]
    disagree = np.minimum.reduceat(answers, starts) != np.maximum.reduceat(answers, starts)
    contradicts = np.repeat(disagree, np.diff(np.append(starts, len(rows))))
    return Settled(
        kept=rows[~again & ~contradicts],
        duplicates=int((same_skill & ~contradicts).sum()),
        further_skills=int((again & ~same_skill & ~contradicts).sum()),
        contradictions=int(contradicts.sum()),
    )
