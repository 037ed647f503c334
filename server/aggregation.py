"""From the schools' updates to the next checkpoint: sum, public denominator, server optimiser.

An update is the noised sum, over a school's students of the round, of clipped descent directions
(negative loss gradients; ``fedtrace.client.trainer``). Added up over the schools and divided by
the public number ``q * planned_students`` it estimates the mean direction (Abadi et al. 2016,
algorithm 1). How many students really took part is secret and never divides anything.

A school that does not answer takes its students with it, and how many these were is secret too.
The denominator then shrinks by the public share of schools that answered, as if all schools were
of equal size. Where they are not, a round without a large school takes a shorter step than it
could and a round without a small one a slightly longer one: an error in the step length, not in
the privacy.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from fedtrace.governance.plan import AggregationSection

Vector32 = npt.NDArray[np.float32]
Vector64 = npt.NDArray[np.float64]


class RunningSum:
    """Adds updates one by one as they arrive; holds one float64 vector, whatever the schools.

    Updates that lie on one grid (the noise of ``fedtrace.privacy.noise`` does) add up exactly in
    float64, so the order in which schools answer does not change the sum.
    """

    def __init__(self, size: int) -> None:
        self.total: Vector64 = np.zeros(size, dtype=np.float64)
        self.count = 0

    @classmethod
    def resumed(cls, total: Vector64, count: int) -> RunningSum:
        """Continue from a sum that was stored: float64 [parameters] over ``count`` updates."""
        running = cls(total.size)
        running.total += total
        running.count = count
        return running

    def add(self, update: npt.NDArray[np.floating]) -> None:
        """Add one accepted update.

        Args:
            update: float32 or float64 [parameters].

        Raises:
            ValueError: another shape than the sum's, or a value that is not finite.
        """
        if update.shape != self.total.shape:
            raise ValueError(f"the update has shape {update.shape}, the sum {self.total.shape}")
        if not np.isfinite(update).all():
            raise ValueError("the update holds a value that is not finite")
        self.total += update
        self.count += 1


def public_denominator(
    *, sampling_rate: float, planned_students: int, answered: int, members: int
) -> float:
    """What a round's sum is divided by: ``q * planned_students * answered / members``.

    Every factor is public: the rate and the planned students stand in the plan, the answering
    schools in the consortium log.

    Raises:
        ValueError: a factor is not positive, or more schools answered than there are members.
    """
    if not (0 < sampling_rate <= 1):
        raise ValueError(f"the sampling rate is {sampling_rate}, it must be in (0, 1]")
    if planned_students < 1:
        raise ValueError(f"{planned_students} planned students, at least 1 is needed")
    if not (0 < answered <= members):
        raise ValueError(f"{answered} schools answered of {members}")
    return sampling_rate * planned_students * answered / members


@dataclass(frozen=True, slots=True, kw_only=True)
class OptimiserState:
    """What a server optimiser remembers between rounds.

    Attributes:
        steps: how many steps were taken.
        first: float64 [parameters], velocity or first moment; zeros for plain descent.
        second: float64 [parameters], second moment; zeros except for Adam.
    """

    steps: int
    first: Vector64
    second: Vector64

    @classmethod
    def fresh(cls, parameters: int) -> OptimiserState:
        """The state before the first round."""
        return cls(steps=0, first=np.zeros(parameters), second=np.zeros(parameters))


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerOptimiser:
    """One step of the global parameters along the mean update; the state is passed, not kept.

    ``sgd``: ``p + lr * u``. ``momentum``: ``v = mu * v + u; p + lr * v`` (heavy ball, Polyak
    1964). ``adam``: Kingma and Ba 2015, algorithm 1, with the update in the place of the negative
    gradient; on a server, Reddi et al. 2021 (FedAdam), here with the bias correction that matters
    in short jobs.

    Attributes:
        rule: which of the three.
        learning_rate: lr, in units of the parameters.
        momentum: mu, or Adam's beta 1.
        second_momentum: Adam's beta 2.
        stability: Adam's epsilon.
        factors: float64 [parameters], on the step of each parameter; None for 1 everywhere.
    """

    rule: Literal["sgd", "momentum", "adam"]
    learning_rate: float
    momentum: float = 0.9
    second_momentum: float = 0.999
    stability: float = 1e-8
    factors: Vector64 | None = None

    @classmethod
    def of(cls, section: AggregationSection) -> ServerOptimiser:
        """The optimiser that a plan names."""
        stretches = section.step_factors
        return cls(
            rule=section.optimiser,
            learning_rate=section.learning_rate,
            momentum=section.momentum,
            second_momentum=section.second_momentum,
            stability=section.stability,
            factors=None
            if stretches is None
            else np.concatenate([np.resize(each.factors, each.parameters) for each in stretches]),
        )

    def step(
        self, parameters: Vector32, mean_update: Vector64, state: OptimiserState
    ) -> tuple[Vector32, OptimiserState]:
        """Take one step.

        Args:
            parameters: float32 [parameters], the checkpoint of the round before.
            mean_update: float64 [parameters], the round's sum over its public denominator.
            state: what the optimiser remembered; `OptimiserState.fresh` before the first round.

        Returns:
            float32 [parameters] and the new state; the arguments are unchanged.

        Raises:
            ValueError: shapes differ, or the step leaves the finite numbers.
        """
        if not (parameters.shape == mean_update.shape == state.first.shape == state.second.shape):
            raise ValueError(
                f"parameters {parameters.shape}, update {mean_update.shape} and optimiser state "
                f"{state.first.shape} must have one shape"
            )
        if self.factors is not None and self.factors.shape != parameters.shape:
            raise ValueError(f"{self.factors.size} step factors, {parameters.size} parameters")
        direction, new_state = self._direction(mean_update, state)
        if self.factors is not None:
            direction = self.factors * direction
        moved = parameters.astype(np.float64) + self.learning_rate * direction
        with np.errstate(over="ignore"):
            checkpoint = moved.astype(np.float32)
        if not np.isfinite(checkpoint).all():
            raise ValueError("the step leaves the finite numbers: the learning rate is too large")
        return checkpoint, new_state

    def _direction(
        self, update: Vector64, state: OptimiserState
    ) -> tuple[Vector64, OptimiserState]:
        steps = state.steps + 1
        if self.rule == "sgd":
            return update, OptimiserState(steps=steps, first=state.first, second=state.second)
        if self.rule == "momentum":
            velocity = self.momentum * state.first + update
            return velocity, OptimiserState(steps=steps, first=velocity, second=state.second)
        first = self.momentum * state.first + (1 - self.momentum) * update
        second = self.second_momentum * state.second + (1 - self.second_momentum) * update**2
        unbiased_first = first / (1 - self.momentum**steps)
        unbiased_second = second / (1 - self.second_momentum**steps)
        direction = unbiased_first / (np.sqrt(unbiased_second) + self.stability)
        return direction, OptimiserState(steps=steps, first=first, second=second)


def norm_bound(
    *, clipping_norm: float, noise_multiplier: float, size: int, planned_students: int
) -> float:
    """The L2 norm that no honest contribution passes, from public numbers only.

    At most ``planned_students`` students move the sum by at most C each, and the norm of ``size``
    independent Gaussians of standard deviation z * C stays below z * C * (sqrt(size) + t) except
    with probability exp(-t^2 / 2) (Boucheron, Lugosi and Massart 2013, theorem 5.6: the norm is
    1-Lipschitz; its mean is at most sqrt(size)). With t = 8 that is 1e-14 a contribution.

    Args:
        clipping_norm: C; 1 for histograms, where a student's weight is at most 1.
        noise_multiplier: z.
        size: how many numbers the contribution has.
        planned_students: the public number of students of the whole consortium.
    """
    return clipping_norm * (planned_students + noise_multiplier * (math.sqrt(size) + 8.0))


def averaged(checkpoints: Sequence[Vector32]) -> Vector32:
    """The released model: the plain mean of the last checkpoints, float32 [parameters].

    Averaging is post-processing and costs no privacy; it takes out much of the noise of the last
    steps (Polyak and Juditsky 1992; for private training De et al. 2022).

    Raises:
        ValueError: there is no checkpoint, or shapes differ.
    """
    if not checkpoints:
        raise ValueError("there is no checkpoint to release")
    running = RunningSum(checkpoints[0].size)
    for checkpoint in checkpoints:
        running.add(checkpoint)
    return (running.total / running.count).astype(np.float32)
