"""Every school's own model, judged pooled and school by school."""

import numpy as np

from fedtrace.deploy.simulation.personalised import personalised
from fedtrace.deploy.simulation.split import SchoolSplit
from fedtrace.models.networks import SharedLogistic
from fedtrace.models.parameters import to_vector
from fedtrace.models.simulator import simulate_schools

SKILLS = 5


def test_each_school_is_judged_on_its_own_test_students() -> None:
    schools = simulate_schools(
        schools=2, students_per_school=14, skills=SKILLS, seed=0, answers_per_student=12
    )
    splits = {
        school.name: SchoolSplit(
            train=school.interactions.select(range(4, len(school.students))),
            validation=school.interactions.select([2, 3]),
            test=school.interactions.select([0, 1]),
        )
        for school in schools
    }
    ticks: list[int] = []

    found = personalised(splits, None, SKILLS, seed=0, tick=lambda: ticks.append(1))

    assert found.pooled.students == 4
    assert set(found.per_school) == set(splits)
    assert len(ticks) == 2
    released = np.full_like(to_vector(SharedLogistic(SKILLS)), 0.5)
    assert personalised(splits, released, SKILLS, seed=0) != found
