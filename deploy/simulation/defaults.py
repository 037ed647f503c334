"""Training settings that work for each architecture, as a plan would name them.

They were tuned on students without a school and on other data, never on the students whose
accuracy is reported; docs/measurements.md gives the numbers they lead to. The logistic model's
step size follows from public numbers (``fedtrace.deploy.simulation.step_size``).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final, Literal

from fedtrace.deploy.simulation.step_size import learning_rate
from fedtrace.governance.plan import TrustMode
from fedtrace.models.networks import Architecture
from fedtrace.privacy.accounting import calibrate_noise

DELTA: Final = 1e-5
MOMENTUM: Final = 0.9


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingDefaults:
    """The part of a plan that depends on the architecture.

    Attributes:
        hidden_size: width of the LSTM's state.
        embedding_size: width of the LSTM's input.
        rounds: rounds of one update a school.
        sampling_rate: q, the probability that a student takes part in a round.
        clipping_norm: C, the L2 bound on one student's update.
        optimiser: the server's rule.
        learning_rate: its step size.
        average_last: how many of the last rounds are averaged into the released model.
    """

    hidden_size: int = 1
    embedding_size: int = 1
    rounds: int
    sampling_rate: float
    clipping_norm: float
    optimiser: Literal["momentum", "adam"]
    learning_rate: float
    average_last: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Consortium:
    """What is known in public about who trains.

    Attributes:
        schools: members.
        students: public number of training students of all schools together.
        skills: size of the catalogue.
        epsilon: what the whole job may spend on one student, at delta 1e-5.
        trust_mode: ``local``: every school adds the whole noise, ``distributed``: a share of it.
    """

    schools: int
    students: int
    skills: int
    epsilon: float
    trust_mode: TrustMode

    def noise(self) -> float:
        """Standard deviation of the total's noise in units of the clip, all in one round.

        Raises:
            ValueError: an epsilon that no noise can reach.
        """
        alone = calibrate_noise(
            target_epsilon=self.epsilon, delta=DELTA, sampling_rate=1.0, rounds=1
        )
        return alone * (math.sqrt(self.schools) if self.trust_mode == "local" else 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """What a plan trains when nobody says otherwise."""

    architecture: Architecture
    training: TrainingDefaults


def propose(consortium: Consortium) -> Proposal:
    """The model that was most accurate at every epsilon and size that was measured.

    Raises:
        ValueError: an epsilon that no noise can reach.
    """
    architecture: Architecture = "shared-logistic-2"
    return Proposal(architecture=architecture, training=training_defaults(architecture, consortium))


def training_defaults(
    architecture: Architecture, consortium: Consortium, *, rounds: int | None = None
) -> TrainingDefaults:
    """Settings for one architecture.

    Args:
        architecture: of the model.
        consortium: public numbers.
        rounds: how many; None for the architecture's own number.

    Raises:
        ValueError: an epsilon that no noise can reach, or fewer than 1 round.
    """
    found = DEFAULTS[architecture]
    if rounds is not None:
        found = replace(
            found, rounds=rounds, average_last=min(found.average_last, max(1, rounds // 2))
        )
    if not math.isnan(found.learning_rate):
        return found
    return replace(
        found,
        learning_rate=learning_rate(
            students=consortium.students,
            skills=consortium.skills,
            noise=consortium.noise(),
            rounds=found.rounds,
            clipping_norm=found.clipping_norm,
            momentum=MOMENTUM,
        ),
    )


_LOGISTIC = TrainingDefaults(
    rounds=100,
    sampling_rate=1.0,
    clipping_norm=0.05,
    optimiser="momentum",
    learning_rate=math.nan,  # depends on the consortium
    average_last=50,
)

DEFAULTS: Mapping[Architecture, TrainingDefaults] = MappingProxyType(
    {
        "dkt": TrainingDefaults(
            hidden_size=16,
            embedding_size=16,
            rounds=150,
            sampling_rate=0.3,
            clipping_norm=0.1,
            optimiser="adam",
            learning_rate=0.03,
            average_last=50,
        ),
        "pfa": TrainingDefaults(
            rounds=300,
            sampling_rate=1.0,
            clipping_norm=0.05,
            optimiser="adam",
            learning_rate=0.01,
            average_last=150,
        ),
        "shared-logistic": _LOGISTIC,
        "shared-logistic-2": _LOGISTIC,
        "residual-dkt": TrainingDefaults(
            hidden_size=8,
            embedding_size=8,
            rounds=100,
            sampling_rate=1.0,
            clipping_norm=0.05,
            optimiser="adam",
            learning_rate=0.005,
            average_last=50,
        ),
    }
)
