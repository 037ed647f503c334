"""Decaying sums over the past by doubling steps instead of a loop over time."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional


def sums_before(values: Tensor, rank: Tensor, *, decay: Sequence[float]) -> Tensor:
    """What came before each cell in its segment, older values counting less.

    Hillis and Steele 1986, "Data Parallel Algorithms": after the step with shift k, a cell sums
    its last 2k values. Differentiable with respect to ``values``.

    Args:
        values: float [row, time, column].
        rank: int64 [row, time], how many cells of the same segment come directly before.
        decay: [column], what is left of a value's weight after one more cell; 1 for a plain sum.

    Returns:
        float [row, time, column]; 0 where a segment begins.
    """
    kept = torch.tensor(decay, dtype=values.dtype)
    total, shift = values, 1
    longest = int(rank.max()) if rank.numel() else 0
    while shift <= longest:
        earlier = total[:, :-shift] * (kept**shift) * (rank[:, shift:, None] >= shift)
        total = torch.cat([total[:, :shift], total[:, shift:] + earlier], dim=1)
        shift *= 2
    # The cell before, and not this one less its own value: rounding would keep a trace of it.
    before = functional.pad(total[:, :-1], (0, 0, 1, 0))
    return before * (rank > 0)[..., None]
