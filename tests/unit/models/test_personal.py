"""A school's own model: starts from the released one, learns, repeats, leaves the rest alone."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from support.students import made_up_students

from fedtrace.models.interactions import Interactions
from fedtrace.models.metrics import evaluate, predict
from fedtrace.models.networks import SharedLogistic
from fedtrace.models.parameters import Vector, from_vector, to_vector
from fedtrace.models.personal import DEFAULT, PersonalModel, PersonalSettings, personalise
from fedtrace.models.simulator import simulate_schools

SKILLS = 6
SMALL = replace(DEFAULT, least_students=20, networks=2, width=4, phases=((0.01, 1),))


def students() -> Interactions:
    school = simulate_schools(
        schools=1, students_per_school=30, skills=SKILLS, seed=2, answers_per_student=20
    )[0]
    return school.interactions


def own(
    train: Interactions, released: Vector | None = None, settings: PersonalSettings = SMALL
) -> PersonalModel:
    return personalise(released, SKILLS, train, seed=0, max_sequence=50, settings=settings)


def test_a_school_with_enough_students_trains_networks_and_a_small_one_does_not() -> None:
    everyone = students()

    assert len(own(everyone.select(range(20))).members) == 3
    assert len(own(everyone.select(range(19))).members) == 1


def test_it_learns_and_repeats() -> None:
    everyone = students()
    untrained = SharedLogistic(SKILLS)

    logits, correct, student = own(everyone).predict(everyone)
    before, _, _ = predict(untrained, everyone, 50)

    assert evaluate(logits, correct).logloss < evaluate(before, correct).logloss - 0.05
    assert np.array_equal(logits, own(everyone).predict(everyone)[0])
    assert len(student) == len(correct) == len(logits)


def test_prediction_is_the_mean_of_the_members_logits() -> None:
    everyone = students()
    model = own(everyone)

    each = [predict(member, everyone, 50)[0] for member in model.members]

    np.testing.assert_allclose(model.predict(everyone)[0], np.mean(each, axis=0), atol=1e-6)


def test_nobody_to_train_on_leaves_the_released_model_as_it_is() -> None:
    released = np.linspace(-1, 1, to_vector(SharedLogistic(SKILLS)).size, dtype=np.float32)

    (member,) = own(made_up_students([], skills=SKILLS), released).members

    assert np.array_equal(to_vector(member), released)


def test_a_hard_pull_stays_at_the_released_model() -> None:
    released = np.full(to_vector(SharedLogistic(SKILLS)).size, 0.2, dtype=np.float32)
    near = own(students(), released, replace(SMALL, pulls=(1e6,), networks=0)).members[0]
    free = own(students(), released, replace(SMALL, pulls=(0.1,), networks=0)).members[0]

    assert np.abs(to_vector(near) - released).max() < 0.01
    assert np.abs(to_vector(free) - released).max() > 0.1


def test_training_leaves_the_global_generator_alone() -> None:
    before = torch.get_rng_state()
    own(students())

    assert torch.equal(before, torch.get_rng_state())


def test_a_model_of_other_skills_is_refused() -> None:
    with pytest.raises(ValueError, match="parameters"):
        own(students(), np.zeros(7, dtype=np.float32))


def test_the_released_vector_is_not_changed() -> None:
    model = SharedLogistic(SKILLS)
    released = to_vector(model)
    kept = released.copy()
    own(students(), released)
    from_vector(model, released)

    assert np.array_equal(released, kept)
