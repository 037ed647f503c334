"""Exact metrics of predictions, for research and for tests; numpy only, apart from ``predict``.

Where students are real, these numbers are releases: a school computes noised ones from score
histograms (``fedtrace.privacy.histograms``) and these stay inside.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from fedtrace.models.interactions import AnswerArray, IndexArray, Interactions, batches
from fedtrace.models.networks import KnowledgeModel

CALIBRATION_BINS = 10
ROWS_PER_BATCH = 256
"""Windows in one forward pass; bounds the memory and does not change a prediction."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Metrics:
    """How well probabilities met answers.

    Attributes:
        auc: area under the ROC curve, ties counted half; None where all answers are alike.
        acc: share of answers on the right side of one half.
        logloss: mean cross-entropy in nats.
        calibration_error: expected calibration error over 10 bins of equal width (Guo et al. 2017,
            "On Calibration of Modern Neural Networks", section 2).
        interactions: number of predictions judged.
    """

    auc: float | None
    acc: float
    logloss: float
    calibration_error: float
    interactions: int


def evaluate(logits: npt.NDArray[np.floating], correct: npt.NDArray[np.integer]) -> Metrics:
    """Judge predictions.

    Args:
        logits: float [predictions].
        correct: int [predictions], 0 or 1.

    Raises:
        ValueError: shapes differ, nothing to judge, or a logit that is not finite.
    """
    if logits.shape != correct.shape or logits.ndim != 1:
        raise ValueError(f"{logits.shape} logits and {correct.shape} answers do not match")
    if not len(logits):
        raise ValueError("there is no prediction to judge")
    scores = logits.astype(np.float64)
    if not np.isfinite(scores).all():
        raise ValueError("a logit is not finite")
    right = correct.astype(np.float64)
    return Metrics(
        auc=_auc(scores, right),
        acc=float(((scores >= 0) == (right == 1)).mean()),
        logloss=float((np.logaddexp(0, scores) - right * scores).mean()),
        calibration_error=_calibration_error(np.exp(-np.logaddexp(0, -scores)), right),
        interactions=len(scores),
    )


def predict(
    model: KnowledgeModel, interactions: Interactions, max_sequence: int
) -> tuple[npt.NDArray[np.float32], AnswerArray, IndexArray]:
    """Predict every answer that has a past in its window, in the order of ``interactions``.

    Args:
        model: any network; it is not changed.
        interactions: one row a student.
        max_sequence: longest window; each window's first answer is context only.

    Returns:
        logits, float32 [predictions]; correct, int8 [predictions]; and the student each belongs
        to, int64 [predictions].
    """
    windows, owner = interactions.windows(max_sequence)
    logits = np.zeros(len(windows.skills), dtype=np.float32)
    judged = np.ones(len(windows.skills), dtype=np.bool_)
    judged[windows.offsets[:-1]] = False
    with torch.no_grad():
        for batch, rows in batches(windows, ROWS_PER_BATCH):
            row, time = (index.numpy() for index in batch.predicted.nonzero(as_tuple=True))
            logits[windows.offsets[rows][row] + time] = model(batch)[batch.predicted].numpy()
    student = np.repeat(owner, windows.lengths)
    return logits[judged], windows.correct[judged], student[judged]


def _auc(scores: npt.NDArray[np.float64], right: npt.NDArray[np.float64]) -> float | None:
    """Mann and Whitney's statistic from mean ranks."""
    positives = right.sum()
    negatives = len(right) - positives
    if positives == 0 or negatives == 0:
        return None
    _, group, counts = np.unique(scores, return_inverse=True, return_counts=True)
    mean_rank = np.cumsum(counts) - (counts - 1) / 2
    statistic = mean_rank[group][right == 1].sum() - positives * (positives + 1) / 2
    return float(statistic / (positives * negatives))


def _calibration_error(
    probability: npt.NDArray[np.float64], right: npt.NDArray[np.float64]
) -> float:
    bins = np.minimum((probability * CALIBRATION_BINS).astype(np.int64), CALIBRATION_BINS - 1)
    gap = np.bincount(bins, weights=probability - right, minlength=CALIBRATION_BINS)
    return float(np.abs(gap).sum() / len(right))
