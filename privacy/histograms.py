"""Metrics without releasing a prediction: two noised histograms of scores.

Each school sorts its held-out predictions into bins, apart for wrong and for right answers, adds
noise and sends those counts. AUC, accuracy, log loss and calibration follow from the sum over
schools. A student weighs at most 1 however many answers they gave, so the release is a Gaussian
mechanism of sensitivity 1 on students (Dwork and Roth 2014, appendix A) and is accounted as one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fedtrace.privacy.noise import gaussian_on_grid
from fedtrace.privacy.randomness import FloatArray, RandomSource

CALIBRATION_GROUPS = 10
"""Calibration compares ten groups of neighbouring bins: single bins would show mostly noise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HistogramMetrics:
    """What summed histograms say; None where noise left nothing to compute from.

    The weight of an answer is its student's, so these are averages over students more than over
    answers.

    Attributes:
        auc: area under the ROC curve, ties within a bin counted half.
        acc: share of answers on the right side of one half.
        logloss: mean cross-entropy in nats, with every score at the middle of its bin.
        calibration_error: expected calibration error over ``CALIBRATION_GROUPS`` groups (Guo et
            al. 2017, "On Calibration of Modern Neural Networks", section 2); noise makes it look
            larger, never smaller on average.
    """

    auc: float | None
    acc: float | None
    logloss: float | None
    calibration_error: float | None


def score_histograms(
    probabilities: npt.NDArray[np.floating],
    correct: npt.NDArray[np.integer],
    student_index: npt.NDArray[np.integer],
    bins: int,
) -> FloatArray:
    """Count scores by bin and answer, every student scaled to L2 norm 1.

    Args:
        probabilities: float [predictions], each in [0, 1].
        correct: int [predictions], 0 or 1.
        student_index: int [predictions], from 0; who each prediction is about.
        bins: bins of equal width over [0, 1]; even, so that none straddles one half.

    Returns:
        float64 [2, bins]: wrong answers, then right ones. Adding or removing a student moves it by
        L2 norm 1 at most (to 1e-15, the rounding of float64).

    Raises:
        ValueError: shapes that differ, a probability outside [0, 1], an answer that is not 0 or 1,
            a negative student, or an odd or non-positive number of bins.
    """
    _require_bins(bins)
    if not probabilities.shape == correct.shape == student_index.shape or correct.ndim != 1:
        raise ValueError(
            f"{probabilities.shape} probabilities, {correct.shape} answers and "
            f"{student_index.shape} students do not match"
        )
    if not ((probabilities >= 0) & (probabilities <= 1)).all():
        raise ValueError("a probability is outside [0, 1]")
    if not ((correct == 0) | (correct == 1)).all():
        raise ValueError("an answer is neither 0 nor 1")
    if (student_index < 0).any():
        raise ValueError("a student index is negative")
    place = np.minimum((probabilities * bins).astype(np.int64), bins - 1)
    cell = correct.astype(np.int64) * bins + place
    # One count for each (student, cell) that occurs, so that memory follows the predictions.
    pair, count = np.unique(student_index.astype(np.int64) * (2 * bins) + cell, return_counts=True)
    student, cell = np.divmod(pair, 2 * bins)
    norm = np.sqrt(np.bincount(student, weights=count.astype(np.float64) ** 2))
    counts: FloatArray = np.bincount(
        cell, weights=count / norm[student], minlength=2 * bins
    ).astype(np.float64)  # of nobody, bincount gives integers
    return counts.reshape(2, bins)


def noised(histograms: FloatArray, noise_multiplier: float, source: RandomSource) -> FloatArray:
    """Release histograms of sensitivity 1: counts on a grid, some of them negative.

    Args:
        histograms: float64 [2, bins] of ``score_histograms``.
        noise_multiplier: standard deviation of the noise on each count; 0 adds none (and is
            accounted as an infinite epsilon).
        source: the noise.

    Raises:
        ValueError: histograms that are not finite, or a noise multiplier that is negative or not.
    """
    flat = gaussian_on_grid(
        histograms.ravel(), clipping_norm=1.0, noise_multiplier=noise_multiplier, source=source
    )
    return flat.reshape(histograms.shape)


def metrics_from_histograms(histograms: FloatArray) -> HistogramMetrics:
    """Metrics of summed histograms, noised or not.

    Noise has mean zero, so negative counts stay negative in every sum (setting them to zero would
    add a positive count to each empty bin); only the results are brought into their range. All
    but the calibration error are ratios of such sums.

    Args:
        histograms: float64 [2, bins]: wrong answers, right answers.

    Raises:
        ValueError: another shape, an odd number of bins, or a count that is not finite.
    """
    if histograms.ndim != 2 or histograms.shape[0] != 2:
        raise ValueError(f"histograms are [2, bins], not of shape {histograms.shape}")
    bins = histograms.shape[1]
    _require_bins(bins)
    if not np.isfinite(histograms).all():
        raise ValueError("a count is not finite")
    wrong, right = histograms
    both = float(histograms.sum())
    if both <= 0:
        return HistogramMetrics(auc=None, acc=None, logloss=None, calibration_error=None)
    middle = (np.arange(bins) + 0.5) / bins
    agreeing = wrong[: bins // 2].sum() + right[bins // 2 :].sum()
    surprise = -(right @ np.log(middle) + wrong @ np.log1p(-middle))
    gap = right - middle * (wrong + right)
    group = np.arange(bins) * CALIBRATION_GROUPS // bins
    gaps = np.abs(np.bincount(group, weights=gap)).sum()
    return HistogramMetrics(
        auc=_auc(wrong, right),
        acc=_within_unit(agreeing / both),
        logloss=max(0.0, float(surprise / both)),
        calibration_error=_within_unit(gaps / both),
    )


def _auc(wrong: FloatArray, right: FloatArray) -> float | None:
    """Mann and Whitney's statistic; None unless both kinds of answers outweigh their noise."""
    if wrong.sum() <= 0 or right.sum() <= 0:
        return None
    below = np.cumsum(wrong) - wrong
    pairs = right @ (below + 0.5 * wrong)
    return _within_unit(pairs / (wrong.sum() * right.sum()))


def _within_unit(value: float) -> float:
    return min(1.0, max(0.0, float(value)))


def _require_bins(bins: int) -> None:
    if bins < 2 or bins % 2:
        raise ValueError(f"the number of bins is even and at least 2, not {bins}")
