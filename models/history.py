"""What a student's past says about the next answer: the features of the logistic models.

A feature at time t uses interactions before t and the skill asked at t, of the same row only.
All of it is segmented scans over the row and over the row sorted by skill
(``fedtrace.models.scan``), so that long histories cost log2(time) vector operations.

Sources: wins and failures are Performance Factors Analysis (Pavlik, Cen and Koedinger 2009,
"Performance Factors Analysis: a new alternative to Knowledge Tracing"); decayed success is R-PFA's
(Galyardt and Goldin 2015, "Move your lamp post: recent data reflects learner knowledge better than
older data"), here at two speeds; overall counts and logarithms follow Gervet, Koedinger, Schneider
and Mitchell 2020, "When is Deep Learning the Best Approach to Knowledge Tracing?".
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from fedtrace.models.interactions import Batch, Interactions, batches
from fedtrace.models.scan import sums_before

FAST_DECAY: Final = 0.7
SLOW_DECAY: Final = 0.9
"""What is left of an answer's weight after one more answer."""

FEATURES: Final = (
    "log_wins_skill",
    "log_failures_skill",
    "log_wins_overall",
    "log_failures_overall",
    "fast_success_skill",
    "slow_success_skill",
    "fast_success_overall",
    "slow_success_overall",
    "last_answer_same_skill",
    "last_answer_other_skill",
    "same_skill",
    "success_rate_skill",
    "success_rate_overall",
    "log_gap_skill",
    "seen_skill",
    "log_run",
)
"""Names of the columns. All are 0 where there is no past, so that 0 means "nothing known".

The gap counts answers since the last one on the skill, the run the answers without a break on it.
"""

COUNTS: Final = slice(0, 4)
"""The columns of ``FEATURES`` that PFA uses."""

_ROWS_PER_BATCH: Final = 128


def with_history(batch: Batch) -> Batch:
    """The same batch carrying its features, so that many passes over it compute them once."""
    return replace(batch, history=history(batch))


def history(batch: Batch) -> Tensor:
    """float32 [row, time, feature]: the batch's own features, computed where it has none."""
    if batch.history is not None:
        return batch.history
    right = batch.correct
    signed = 2 * right - 1
    answers = torch.stack([right, 1 - right, signed, signed], dim=2)  # [row, time, 4]
    time = torch.arange(right.shape[1]).expand_as(right)
    on_skill, gap = _on_same_skill(answers, batch.skills)
    overall = _past(answers, time)

    same = torch.zeros_like(right)
    same[:, 1:] = (batch.skills[:, 1:] == batch.skills[:, :-1]).to(right.dtype)
    run = time - torch.where(same == 0, time, 0).cummax(dim=1).values
    last = torch.zeros_like(right)
    last[:, 1:] = signed[:, :-1]
    recent = torch.stack([last * same, last * (1 - same), same], dim=2)
    rates = torch.stack([_success_rate(on_skill), _success_rate(overall)], dim=2)
    spacing = torch.stack([gap.clamp(min=1).log(), (gap > 0).to(right.dtype), run.log1p()], dim=2)
    return torch.cat(
        [
            on_skill[..., :2].log1p(),
            overall[..., :2].log1p(),
            on_skill[..., 2:],
            overall[..., 2:],
            recent,
            rates,
            spacing,
        ],
        dim=2,
    )


def ragged_history(interactions: Interactions) -> npt.NDArray[np.float32]:
    """float32 [interactions, feature]: the features of every interaction, without padding."""
    features = np.empty((len(interactions.skills), len(FEATURES)), dtype=np.float32)
    for batch, rows in batches(interactions, _ROWS_PER_BATCH):
        padded = history(batch).numpy()
        for values, row in zip(padded, rows, strict=True):
            first, last = interactions.offsets[row : row + 2]
            features[first:last] = values[: last - first]
    return features


def _success_rate(past: Tensor) -> Tensor:
    """Laplace's rule of succession, (wins + 1) / (answers + 2), around its value for no past."""
    wins, failures = past[..., 0], past[..., 1]
    return (wins + 1) / (wins + failures + 2) - 0.5


def _on_same_skill(answers: Tensor, skills: Tensor) -> tuple[Tensor, Tensor]:
    """What each row's earlier answers on the skill asked now say.

    Returns:
        Their ``_past``, [row, time, 4], and how many interactions ago the last of them was, int64
        [row, time], 0 where there is none.
    """
    by_skill = torch.argsort(skills, dim=1, stable=True)  # keeps time order within a skill
    grouped = skills.gather(1, by_skill)
    place = torch.arange(skills.shape[1]).expand_as(skills)
    begins = torch.ones_like(grouped, dtype=torch.bool)
    begins[:, 1:] = grouped[:, 1:] != grouped[:, :-1]
    rank = place - torch.where(begins, place, 0).cummax(dim=1).values
    gap = torch.where(begins, 0, by_skill - by_skill.roll(1, dims=1))
    index = by_skill[..., None].expand_as(answers)
    past = _past(answers.gather(1, index), rank)
    return (
        torch.zeros_like(answers).scatter(1, index, past),
        torch.zeros_like(gap).scatter(1, by_skill, gap),
    )


def _past(answers: Tensor, rank: Tensor) -> Tensor:
    """Wins, failures, fast and slow success before each interaction of its segment.

    Args:
        answers: float32 [row, time, 4]: right, wrong, and the signed answer twice.
        rank: int64 [row, time], how many interactions of the same segment come before.

    Returns:
        float32 [row, time, 4]: two counts, and two means of -1 and 1 whose weights decay and
        sum to at most 1, so that a short past stays close to 0.
    """
    scale = torch.tensor([1.0, 1.0, 1 - FAST_DECAY, 1 - SLOW_DECAY])
    return sums_before(answers, rank, decay=(1.0, 1.0, FAST_DECAY, SLOW_DECAY)) * scale
