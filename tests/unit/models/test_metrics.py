"""Metrics against their definitions, and predictions in the order of the students."""

import numpy as np
import pytest
from support.students import made_up_students

from fedtrace.models.metrics import evaluate, predict
from fedtrace.models.networks import ModelSpec, build


def test_auc_is_the_share_of_pairs_in_the_right_order_with_ties_half() -> None:
    rng = np.random.default_rng(0)
    logits = rng.integers(-3, 4, 60).astype(np.float32)
    correct = rng.integers(0, 2, 60)
    right, wrong = logits[correct == 1], logits[correct == 0]
    pairs = (right[:, None] > wrong) + 0.5 * (right[:, None] == wrong)

    assert evaluate(logits, correct).auc == pytest.approx(pairs.mean())


def test_perfect_and_reversed_and_one_sided() -> None:
    logits = np.array([-2.0, -1.0, 1.0, 2.0])

    assert evaluate(logits, np.array([0, 0, 1, 1])).auc == 1
    assert evaluate(-logits, np.array([0, 0, 1, 1])).auc == 0
    assert evaluate(logits, np.array([1, 1, 1, 1])).auc is None


def test_accuracy_loss_and_calibration_by_hand() -> None:
    logits = np.log(np.array([0.8, 0.8, 0.2, 0.2]) / np.array([0.2, 0.2, 0.8, 0.8]))

    found = evaluate(logits, np.array([1, 0, 0, 0]))

    assert found.acc == 0.75
    assert found.logloss == pytest.approx(-(3 * np.log(0.8) + np.log(0.2)) / 4)
    assert found.calibration_error == pytest.approx((0.6 + 0.4) / 4)
    assert found.interactions == 4


def test_extreme_logits_stay_finite() -> None:
    found = evaluate(np.array([1e4, -1e4]), np.array([0, 1]))

    assert found.logloss == pytest.approx(1e4)
    assert found.calibration_error == pytest.approx(1)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_logits_that_are_not_finite_are_refused(bad: float) -> None:
    with pytest.raises(ValueError, match="not finite"):
        evaluate(np.array([bad, 0.0]), np.array([0, 1]))


def test_nothing_to_judge_and_unequal_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="no prediction"):
        evaluate(np.zeros(0), np.zeros(0, dtype=int))
    with pytest.raises(ValueError, match="do not match"):
        evaluate(np.zeros(2), np.zeros(3, dtype=int))


def test_predictions_come_in_the_order_of_the_students() -> None:
    spec = ModelSpec(architecture="dkt", skills=5, hidden_size=4, embedding_size=4)
    model = build(spec, seed=0)
    students = made_up_students([9, 0, 3, 1, 5], skills=5)

    logits, correct, student = predict(model, students, max_sequence=4)

    # Windows of 4: 9 = 4 + 4 + 1 gives 3 + 3 + 0 predictions, 5 = 4 + 1 gives 3.
    assert student.tolist() == [0] * 6 + [2] * 2 + [4] * 3
    first = students.offsets[4]
    assert correct[-3:].tolist() == students.correct[first + 1 : first + 4].tolist()
    alone, _, _ = predict(model, students.select([4]), max_sequence=4)
    np.testing.assert_allclose(logits[-3:], alone, atol=1e-6)


def test_students_without_a_prediction_give_none() -> None:
    spec = ModelSpec(architecture="pfa", skills=5, hidden_size=1, embedding_size=1)

    logits, correct, student = predict(build(spec, seed=0), made_up_students([1, 0], skills=5), 10)

    assert len(logits) == len(correct) == len(student) == 0
