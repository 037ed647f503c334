"""Features on one public scale, so that no column crowds out another under a common clip.

Means and spreads are those of simulated students (``fedtrace.models.simulator``), rounded; a test
recomputes them. Real schools differ somewhat and need not agree: any fixed numbers are a correct
parametrisation, and no real student's data went into these.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import torch
from torch import Tensor

from fedtrace.models.history import FEATURES
from fedtrace.models.surprise import SURPRISES

COLUMNS: Final = (*FEATURES, *SURPRISES)
"""Names of the features that are scaled here, in order."""

TYPICAL: Final[Mapping[str, tuple[float, float]]] = MappingProxyType(
    {
        "log_wins_skill": (0.95, 0.85),
        "log_failures_skill": (0.85, 0.75),
        "log_wins_overall": (3.1, 1.1),
        "log_failures_overall": (2.9, 1.05),
        "fast_success_skill": (0.08, 0.45),
        "slow_success_skill": (0.05, 0.25),
        "fast_success_overall": (0.1, 0.5),
        "slow_success_overall": (0.1, 0.35),
        "last_answer_same_skill": (0.1, 0.8),
        "last_answer_other_skill": (0.05, 0.6),
        "same_skill": (0.65, 0.5),
        "success_rate_skill": (0.02, 0.18),
        "success_rate_overall": (0.05, 0.16),
        "log_gap_skill": (0.25, 0.8),
        "seen_skill": (0.8, 0.4),
        "log_run": (0.9, 0.8),
        "ability": (0.0, 0.7),
        "fast_surprise": (0.0, 0.4),
        "slow_surprise": (0.0, 0.25),
    }
)
"""Mean and standard deviation of each feature over the predicted answers."""

_MEANS, _SPREADS = torch.tensor([TYPICAL[name] for name in COLUMNS]).unbind(dim=1)


def scaled(features: Tensor) -> Tensor:
    """float32 [row, time, feature]: about mean 0 and spread 1.

    Args:
        features: float32 [row, time, feature], in the order of ``COLUMNS``.
    """
    return (features - _MEANS) / _SPREADS
