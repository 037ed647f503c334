"""Noised evaluation: sensitivity, agreement with exact metrics, and noise that goes negative."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fedtrace.models.metrics import evaluate
from fedtrace.privacy.histograms import metrics_from_histograms, noised, score_histograms
from fedtrace.privacy.noise import grid_step
from fedtrace.privacy.randomness import FloatArray, SeededRandom

BINS = 40


def answers(students: int, each: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Well calibrated predictions: probabilities, answers, students."""
    rng = np.random.default_rng(seed)
    probabilities = rng.beta(2, 1.5, students * each)
    correct = (rng.random(students * each) < probabilities).astype(np.int8)
    return probabilities, correct, np.repeat(np.arange(students), each)


def test_every_student_weighs_one_in_l2_norm() -> None:
    probabilities, correct, student = answers(20, 50)
    whole = score_histograms(probabilities, correct, student, BINS)
    assert whole.shape == (2, BINS)
    for leaver in range(20):
        stay = student != leaver
        without = score_histograms(probabilities[stay], correct[stay], student[stay], BINS)
        assert np.linalg.norm(whole - without) == pytest.approx(1, abs=1e-12)


def test_a_student_with_one_answer_and_one_with_thousands_weigh_the_same() -> None:
    for each in (1, 5000):
        assert np.linalg.norm(score_histograms(*answers(1, each), BINS)) == pytest.approx(1)


def test_nobody_gives_zeros() -> None:
    empty = np.zeros(0)
    histograms = score_histograms(empty, empty.astype(np.int8), empty.astype(np.int64), BINS)
    assert histograms.dtype == np.float64
    assert not histograms.any()


def test_the_ends_of_the_scale_have_bins() -> None:
    histograms = score_histograms(
        np.array([0.0, 1.0]), np.array([0, 1]), np.array([0, 1]), bins=BINS
    )
    assert histograms[0, 0] == 1
    assert histograms[1, -1] == 1


def test_metrics_come_close_to_the_exact_ones() -> None:
    probabilities, correct, student = answers(500, 40)
    exact = evaluate(np.log(probabilities / (1 - probabilities)), correct)
    ours = metrics_from_histograms(score_histograms(probabilities, correct, student, BINS))
    assert ours.auc == pytest.approx(exact.auc, abs=0.01)
    assert ours.acc == pytest.approx(exact.acc, abs=0.01)
    assert ours.logloss == pytest.approx(exact.logloss, abs=0.01)
    assert ours.calibration_error == pytest.approx(exact.calibration_error, abs=0.01)


def test_a_perfect_and_a_useless_ranking() -> None:
    perfect = np.zeros((2, 4))
    perfect[0, 0] = perfect[1, 3] = 5
    assert metrics_from_histograms(perfect).auc == 1
    assert metrics_from_histograms(perfect).acc == 1
    assert metrics_from_histograms(np.ones((2, 4))).auc == 0.5


def test_noise_leaves_the_metrics_in_place_on_average() -> None:
    """Negative counts are kept: cutting them at zero would pull the AUC towards one half."""
    clean = score_histograms(*answers(400, 40), BINS)
    expected = metrics_from_histograms(clean)
    source = SeededRandom(1)
    noisy = [metrics_from_histograms(noised(clean, 5.0, source)) for _ in range(200)]
    assert any((noised(clean, 5.0, source) < 0).any() for _ in range(5))
    for name in ("auc", "acc", "logloss"):
        values = np.array([getattr(each, name) for each in noisy])
        error = values.std() / math.sqrt(len(values))
        assert abs(values.mean() - getattr(expected, name)) < 4 * error + 0.002
    for each in noisy:
        assert each.calibration_error is not None
        assert 0 <= each.calibration_error <= 1


def test_metrics_of_nothing_but_noise_stay_in_their_range() -> None:
    source = SeededRandom(2)
    for _ in range(200):
        metrics = metrics_from_histograms(noised(np.zeros((2, BINS)), 3.0, source))
        for share in (metrics.auc, metrics.acc, metrics.calibration_error):
            assert share is None or 0 <= share <= 1
        assert metrics.logloss is None or metrics.logloss >= 0
    nothing = metrics_from_histograms(np.full((2, BINS), -1.0))
    assert (nothing.auc, nothing.acc, nothing.logloss, nothing.calibration_error) == (None,) * 4


def test_one_kind_of_answer_has_no_auc() -> None:
    histograms = np.zeros((2, 4))
    histograms[1] = 1
    assert metrics_from_histograms(histograms).auc is None
    assert metrics_from_histograms(histograms).acc == 0.5


def test_released_counts_are_on_the_grid_and_noised_at_the_promised_scale() -> None:
    released = noised(np.full((2, 5000), math.pi), 3.0, SeededRandom(3))
    assert released.shape == (2, 5000)
    assert ((released / grid_step(1.0)) % 1 == 0).all()
    assert released.std() == pytest.approx(3.0, rel=0.03)
    clean = np.full((2, BINS), 0.3)
    assert np.abs(noised(clean, 0.0, SeededRandom(0)) - clean).max() <= grid_step(1.0)


@pytest.mark.parametrize(
    ("probabilities", "correct", "student", "bins", "sentence"),
    [
        ([0.5, 0.5], [1], [0], BINS, "do not match"),
        ([[0.5]], [[1]], [[0]], BINS, "do not match"),
        ([1.5], [1], [0], BINS, "probability"),
        ([math.nan], [1], [0], BINS, "probability"),
        ([0.5], [2], [0], BINS, "neither"),
        ([0.5], [1], [-1], BINS, "negative"),
        ([0.5], [1], [0], 7, "even"),
        ([0.5], [1], [0], 0, "even"),
    ],
)
def test_histograms_refuse(
    probabilities: list[float], correct: list[int], student: list[int], bins: int, sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence):
        score_histograms(np.array(probabilities), np.array(correct), np.array(student), bins)


@pytest.mark.parametrize(
    ("histograms", "sentence"),
    [
        (np.zeros((3, 4)), "shape"),
        (np.zeros(4), "shape"),
        (np.zeros((2, 5)), "even"),
        (np.full((2, 4), math.nan), "finite"),
    ],
)
def test_metrics_refuse(histograms: FloatArray, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        metrics_from_histograms(histograms)


def test_noise_refuses() -> None:
    with pytest.raises(ValueError, match="noise multiplier"):
        noised(np.zeros((2, 4)), -1.0, SeededRandom(0))
    with pytest.raises(ValueError, match="finite"):
        noised(np.full((2, 4), math.inf), 1.0, SeededRandom(0))
