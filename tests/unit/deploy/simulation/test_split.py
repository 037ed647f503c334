"""The split: student-disjoint, 70/10/20, the same for the same seed."""

import numpy as np
import pytest

from fedtrace.deploy.simulation.answers import Answers
from fedtrace.deploy.simulation.schools import simulated_tables
from fedtrace.deploy.simulation.split import fold_schools, split_schools, split_students
from fedtrace.models.simulator import simulate_schools


def answers() -> Answers:
    simulated = simulate_schools(schools=3, students_per_school=15, skills=4, seed=2)
    tables = simulated_tables(simulated)
    return Answers(skills=("a", "b", "c", "d"), schools=tables, without_school=None)


@pytest.mark.parametrize(
    ("students", "sizes"), [(3, (1, 0, 2)), (10, (7, 1, 2)), (11, (8, 1, 2)), (200, (140, 20, 40))]
)
def test_seven_one_two_with_at_least_two_test_students(
    students: int, sizes: tuple[int, int, int]
) -> None:
    folds = split_students(students, np.random.default_rng(0))

    assert (len(folds.train), len(folds.validation), len(folds.test)) == sizes
    everyone = np.concatenate([folds.train, folds.validation, folds.test])
    assert sorted(everyone) == list(range(students))


def test_a_school_of_two_cannot_be_split() -> None:
    with pytest.raises(ValueError, match="2 students cannot be split; 3 can"):
        split_students(2, np.random.default_rng(0))


def test_the_seed_decides() -> None:
    table = answers()
    first, again = fold_schools(table, seed=0), fold_schools(table, seed=0)
    other = fold_schools(table, seed=1)

    assert all(np.array_equal(first[name].test, again[name].test) for name in first)
    assert any(not np.array_equal(first[name].test, other[name].test) for name in first)


def test_small_schools_are_left_out() -> None:
    table = answers()
    sizes = {name: len(school.students) for name, school in table.schools.items()}
    least = sorted(sizes.values())[1]

    kept = fold_schools(table, seed=0, min_students=least)

    assert set(kept) == {name for name, size in sizes.items() if size >= least}
    with pytest.raises(ValueError, match="no school has 10000 students"):
        fold_schools(table, seed=0, min_students=10_000)


def test_interactions_follow_their_students() -> None:
    table = answers()
    folds = fold_schools(table, seed=0)

    for name, split in split_schools(table, seed=0).items():
        lengths = table.schools[name].cut(200).interactions.lengths
        assert split.test.lengths.tolist() == lengths[folds[name].test].tolist()
        assert split.train.lengths.tolist() == lengths[folds[name].train].tolist()
