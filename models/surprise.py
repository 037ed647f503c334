"""How far a student's answers differ from what the skills' easiness lets expect.

The other history features count every right answer alike. Here a right answer to a hard question
counts more than one to an easy question, which is what a rating does: the decayed sums are Elo
ratings with a fixed step (Pelánek 2016, "Applications of the Elo rating system in adaptive
educational systems", section 2), and ``ability`` is the first Newton step of a student's ability
under Rasch's model with a standard normal prior (Rasch 1960; Bock and Aitkin 1981).
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

from fedtrace.models.scan import sums_before

FAST_DECAY: Final = 0.8
SLOW_DECAY: Final = 0.95

SURPRISES: Final = ("ability", "fast_surprise", "slow_surprise")
"""Names of the columns; all are 0 where there is no past."""


def surprises(correct: Tensor, expected: Tensor) -> Tensor:
    """What each student's earlier answers say about ability beyond the questions' easiness.

    Args:
        correct: float32 [row, time], 1 for a right answer.
        expected: float32 [row, time], the probability that an average student is right.

    Returns:
        float32 [row, time, 3] in the order of ``SURPRISES``; interactions before t only.
    """
    surprise = correct - expected
    information = expected * (1 - expected)
    values = torch.stack([surprise, information, surprise, surprise], dim=2)
    rank = torch.arange(correct.shape[1]).expand_as(correct)
    total, known, fast, slow = sums_before(
        values, rank, decay=(1.0, 1.0, FAST_DECAY, SLOW_DECAY)
    ).unbind(dim=2)
    ability = total / (known + 1)
    return torch.stack([ability, 2 * (1 - FAST_DECAY) * fast, 2 * (1 - SLOW_DECAY) * slow], dim=2)
