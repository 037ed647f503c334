"""The simulator: repeatable, bounded, and with the mechanisms that its page describes."""

import numpy as np
import pytest

from fedtrace.models.simulator import SimulatedSchool, simulate_schools


def simulate(**changes: int) -> list[SimulatedSchool]:
    settings = {"schools": 4, "students_per_school": 20, "skills": 12, "seed": 5} | changes
    return simulate_schools(**settings)


def test_equal_arguments_give_equal_answers() -> None:
    for one, other in zip(simulate(), simulate(), strict=True):
        assert one.students == other.students
        assert np.array_equal(one.interactions.skills, other.interactions.skills)
        assert np.array_equal(one.interactions.correct, other.interactions.correct)


def test_one_more_school_changes_no_other() -> None:
    for one, other in zip(simulate(), simulate(schools=5), strict=False):
        assert np.array_equal(one.interactions.correct, other.interactions.correct)


def test_another_seed_gives_other_answers() -> None:
    ours, theirs = simulate()[0].interactions, simulate(seed=6)[0].interactions

    assert ours.skills.tolist() != theirs.skills.tolist()


def test_sizes_ids_and_lengths_are_in_bounds() -> None:
    schools = simulate(schools=8, least_students=12)

    assert min(len(school.students) for school in schools) >= 12
    names = [student for school in schools for student in school.students]
    assert len(set(names)) == len(names)
    for school in schools:
        assert len(school.interactions) == len(school.students)
        assert school.interactions.lengths.min() >= 2
        assert 0 <= school.interactions.skills.min() <= school.interactions.skills.max() < 12


def test_practice_helps_and_schools_differ() -> None:
    schools = simulate(schools=16, skills=8, answers_per_student=40)
    early: list[int] = []
    late: list[int] = []
    for school in schools:
        rows = school.interactions
        for first, end in zip(rows.offsets[:-1], rows.offsets[1:], strict=True):
            seen = np.zeros(8, dtype=int)
            for skill, right in zip(rows.skills[first:end], rows.correct[first:end], strict=True):
                if seen[skill] < 2:
                    early.append(right)
                elif seen[skill] > 6:
                    late.append(right)
                seen[skill] += 1

    assert np.mean(late) > np.mean(early) + 0.1
    levels = [school.level for school in schools]
    rates = [float(school.interactions.correct.mean()) for school in schools]
    assert np.corrcoef(levels, rates)[0, 1] > 0.7


def test_rows_are_the_interactions_one_by_one() -> None:
    school = simulate()[0]
    rows = list(school.rows())

    assert [skill for *_, skill, _ in rows] == school.interactions.skills.tolist()
    assert [right for *_, right in rows] == school.interactions.correct.tolist()
    assert rows[0][:2] == (school.students[0], 0)
    assert rows[-1][:2] == (school.students[-1], school.interactions.lengths[-1] - 1)


@pytest.mark.parametrize(
    ("name", "value", "least"),
    [("schools", 0, 1), ("students_per_school", 0, 1), ("skills", 0, 1), ("seed", -1, 0)],
)
def test_counts_below_their_bound_are_refused(name: str, value: int, least: int) -> None:
    with pytest.raises(ValueError, match=f"{name} is at least {least}, not {value}"):
        simulate(**{name: value})
