"""Training settings that work for each architecture, as a plan would name them.

They were tuned on students without a school and on other data, never on the students whose
accuracy is reported; docs/measurements.md gives the numbers they lead to.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from fedtrace.models.networks import Architecture


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingDefaults:
    """The part of a plan that depends on the architecture.

    Attributes:
        hidden_size: width of the LSTM's state.
        embedding_size: width of the LSTM's input.
        rounds: rounds of one update a school.
        sampling_rate: q, the probability that a student takes part in a round.
        clipping_norm: C, the L2 bound on one student's update.
        learning_rate: step size of the server's Adam.
        average_last: how many of the last rounds are averaged into the released model.
    """

    hidden_size: int = 1
    embedding_size: int = 1
    rounds: int
    sampling_rate: float
    clipping_norm: float
    learning_rate: float
    average_last: int


DEFAULTS: Mapping[Architecture, TrainingDefaults] = MappingProxyType(
    {
        "dkt": TrainingDefaults(
            hidden_size=16,
            embedding_size=16,
            rounds=150,
            sampling_rate=0.3,
            clipping_norm=0.1,
            learning_rate=0.03,
            average_last=50,
        ),
        "pfa": TrainingDefaults(
            rounds=300,
            sampling_rate=1.0,
            clipping_norm=0.05,
            learning_rate=0.01,
            average_last=150,
        ),
        "shared-logistic": TrainingDefaults(
            rounds=100,
            sampling_rate=1.0,
            clipping_norm=0.1,
            learning_rate=0.015,
            average_last=50,
        ),
        "residual-dkt": TrainingDefaults(
            hidden_size=8,
            embedding_size=8,
            rounds=100,
            sampling_rate=1.0,
            clipping_norm=0.05,
            learning_rate=0.005,
            average_last=50,
        ),
    }
)
