"""Training at home: it learns, it repeats, and a pull holds as hard as it says."""

import numpy as np
import pytest
from support.students import made_up_students

from fedtrace.models.fitting import (
    Pull,
    count_predictions,
    fit,
    fit_full_batch,
    gradient,
    prepared_batches,
)
from fedtrace.models.interactions import Interactions
from fedtrace.models.metrics import evaluate, predict
from fedtrace.models.networks import ARCHITECTURES, Architecture, KnowledgeModel, ModelSpec, build
from fedtrace.models.parameters import from_vector, to_vector
from fedtrace.models.simulator import simulate_schools

SKILLS = 5


def fresh(architecture: Architecture) -> KnowledgeModel:
    spec = ModelSpec(architecture=architecture, skills=SKILLS, hidden_size=4, embedding_size=4)
    return build(spec, seed=0)


def some_students() -> Interactions:
    school = simulate_schools(
        schools=1, students_per_school=12, skills=SKILLS, seed=1, answers_per_student=15
    )[0]
    return school.interactions


def loss(model: KnowledgeModel, students: Interactions) -> float:
    logits, correct, _ = predict(model, students, max_sequence=50)
    return evaluate(logits, correct).logloss


def train(model: KnowledgeModel, students: Interactions, pull: Pull | None = None) -> None:
    fit(
        model,
        students,
        epochs=3,
        learning_rate=0.02,
        batch_rows=8,
        max_sequence=50,
        seed=0,
        pull=pull,
    )


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_minibatches_lower_the_loss_and_repeat(architecture: Architecture) -> None:
    students = some_students()
    first, second = fresh(architecture), fresh(architecture)
    before = loss(first, students)

    train(first, students)
    train(second, students)

    assert loss(first, students) < before
    assert np.array_equal(to_vector(first), to_vector(second))


def test_the_full_batch_ends_where_the_gradient_is_the_pull() -> None:
    students, model = some_students(), fresh("shared-logistic")
    start = to_vector(model)
    pull = Pull(towards=np.full_like(start, 0.1), strength=2.0)

    fit_full_batch(model, students, iterations=200, max_sequence=50, pull=pull)

    data = prepared_batches(model, students, batch_rows=64, max_sequence=50)
    balance = gradient(model, data) + pull.strength * (to_vector(model) - pull.towards)
    assert np.abs(balance).max() < 1e-3 * count_predictions(data)


def test_a_stronger_pull_stays_closer() -> None:
    students = some_students()
    distances = []
    for strength in (1.0, 30.0, 1000.0):
        model = fresh("shared-logistic")
        home = to_vector(model)
        pull = Pull(towards=home, strength=strength)
        fit_full_batch(model, students, iterations=100, max_sequence=50, pull=pull)
        distances.append(float(np.linalg.norm(to_vector(model) - home)))

    assert distances[0] > distances[1] > distances[2] > 0


def test_without_a_prediction_the_model_stays_as_it_is() -> None:
    nobody = made_up_students([1, 0, 1], skills=SKILLS)
    model = fresh("dkt")
    before = to_vector(model)

    train(model, nobody, Pull(towards=np.zeros_like(before), strength=1.0))
    pull = Pull(towards=np.zeros_like(before), strength=1.0)
    fit_full_batch(model, nobody, iterations=5, max_sequence=50, pull=pull)

    assert np.array_equal(to_vector(model), before)


def test_the_gradient_is_a_slope_of_the_summed_loss() -> None:
    students, model = some_students(), fresh("pfa")
    data = prepared_batches(model, students, batch_rows=8, max_sequence=50)
    slope = gradient(model, data)
    predictions, start, step = count_predictions(data), to_vector(model), 1e-3
    direction = slope / np.linalg.norm(slope)

    values = []
    for sign in (1, -1):
        from_vector(model, start + sign * step * direction)
        values.append(loss(model, students) * predictions)

    assert (values[0] - values[1]) / (2 * step) == pytest.approx(np.linalg.norm(slope), rel=0.01)


def test_no_data_has_no_slope() -> None:
    model = fresh("dkt")

    assert not gradient(model, []).any()
