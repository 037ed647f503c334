"""The split that every measurement uses: students at random within each school, by seed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fedtrace.deploy.simulation.answers import Answers
from fedtrace.models.interactions import Interactions

MIN_STUDENTS = 10
"""Schools with fewer are left out: their test students would say nothing."""

MIN_TEST_STUDENTS = 2

MAX_SEQUENCE = 200
"""A student's sequence is cut after so many answers: a few students answer thousands of times, and
would otherwise be most of what is measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Folds:
    """Which students of one school train, validate and test: int64 indices, disjoint, sorted."""

    train: npt.NDArray[np.int64]
    validation: npt.NDArray[np.int64]
    test: npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class SchoolSplit:
    """One school's interactions by fold; no student is in two."""

    train: Interactions
    validation: Interactions
    test: Interactions


def split_students(students: int, rng: np.random.Generator) -> Folds:
    """70 % train, 10 % validation, 20 % test at random, at least 2 test students.

    Raises:
        ValueError: fewer students than the two test students and one to train on.
    """
    if students <= MIN_TEST_STUDENTS:
        raise ValueError(f"{students} students cannot be split; {MIN_TEST_STUDENTS + 1} can")
    test = max(MIN_TEST_STUDENTS, round(0.2 * students))
    held_out = test + round(0.1 * students)
    order = rng.permutation(students)
    return Folds(
        train=np.sort(order[held_out:]),
        validation=np.sort(order[test:held_out]),
        test=np.sort(order[:test]),
    )


def fold_schools(
    answers: Answers, *, seed: int, min_students: int = MIN_STUDENTS
) -> dict[str, Folds]:
    """Split every school of at least ``min_students``, in sorted order of names.

    Raises:
        ValueError: no school is large enough.
    """
    rng = np.random.default_rng(seed)
    folds = {
        name: split_students(len(table.students), rng)
        for name, table in answers.schools.items()
        if len(table.students) >= min_students
    }
    if not folds:
        raise ValueError(f"no school has {min_students} students or more: ask for fewer")
    return folds


def split_schools(
    answers: Answers, *, seed: int, min_students: int = MIN_STUDENTS
) -> dict[str, SchoolSplit]:
    """The interactions of ``fold_schools``.

    Raises:
        ValueError: no school is large enough.
    """
    return {
        name: SchoolSplit(
            train=answers.schools[name].cut(MAX_SEQUENCE).interactions.select(folds.train),
            validation=answers.schools[name]
            .cut(MAX_SEQUENCE)
            .interactions.select(folds.validation),
            test=answers.schools[name].cut(MAX_SEQUENCE).interactions.select(folds.test),
        )
        for name, folds in fold_schools(answers, seed=seed, min_students=min_students).items()
    }
