"""A school's own model: what it adds to the released one from its own students, and keeps.

It never leaves the school, so that it costs no epsilon, and it may be as large as it likes. Two
layers, both trained on this school's students only:

1. the released ``SharedLogistic``, fitted on with a pull towards it (Li et al. 2021, "Ditto",
   section 3): the school's own difficulties where it has answers, the consortium's where not.
   How strong a pull is right differs from school to school by a factor of a hundred, so each
   school asks its own students: several strengths, weighted by how well they foretell students
   whom they were not fitted on (Yao et al. 2018, "Using Stacking to Average Bayesian Predictive
   Distributions", section 3.4, pseudo-BMA);
2. where there are enough students, a few ``ResidualDKT`` networks that start as layer 1 and learn
   what it misses, each from another seed. The mean of all logits is the prediction (a logarithmic
   opinion pool; Genest and Zidek 1986, "Combining Probability Distributions"): the networks err
   differently, and layer 1 keeps small schools from following them too far.

Started from zero instead of a released model, it is the strongest local model that we know, and
the opponent of joining.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import torch

from fedtrace.models.fitting import Pull, fit, fit_full_batch
from fedtrace.models.interactions import AnswerArray, IndexArray, Interactions
from fedtrace.models.metrics import predict
from fedtrace.models.networks import KnowledgeModel, ResidualDKT, SharedLogistic
from fedtrace.models.parameters import Vector, from_vector, to_vector


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonalSettings:
    """How a school trains its own model.

    Attributes:
        pulls: precisions of the pull towards the released model that are weighted.
        priors: the same of the pull towards zero where there is no released model.
        folds: in how many parts the students are left out, in turns, to weigh them.
        answers_worth_one: answers of one student resemble each other; that many say as much as a
            single independent one.
        least_students: fewer students train no network.
        networks: how many are averaged with layer 1.
        width: of their embedding and state.
        embedding_stddev: of their fresh (skill, answer) embeddings; small ones overfit later.
        network_pull: precision of the pull towards where a network started.
        phases: (learning rate, passes over the data) of minibatch Adam, one after the other.
        batch_rows: windows a step.
    """

    pulls: tuple[float, ...] = (1.0, 3.0, 10.0, 30.0)
    priors: tuple[float, ...] = (0.3, 1.0, 3.0, 10.0)
    folds: int = 4
    answers_worth_one: float = 2.0
    least_students: int = 40
    networks: int = 2
    width: int = 32
    embedding_stddev: float = 0.6
    network_pull: float = 5.0
    phases: tuple[tuple[float, int], ...] = ((0.01, 6), (0.003, 6))
    batch_rows: int = 16


DEFAULT: Final = PersonalSettings()
"""Chosen on schools' validation students; docs/measurements.md says in how many trials."""

_LOGISTIC_ITERATIONS = 60


@dataclass(frozen=True, slots=True)
class PersonalModel:
    """Several models that predict together.

    Attributes:
        members: at least one; all over the same catalogue.
        max_sequence: longest window.
    """

    members: tuple[KnowledgeModel, ...]
    max_sequence: int

    def predict(
        self, interactions: Interactions
    ) -> tuple[npt.NDArray[np.float32], AnswerArray, IndexArray]:
        """The members' mean logits; otherwise as ``fedtrace.models.metrics.predict``."""
        parts = [predict(member, interactions, self.max_sequence) for member in self.members]
        _, correct, student = parts[0]
        logits = np.stack([logits for logits, _, _ in parts])
        return logits.mean(axis=0, dtype=np.float32), correct, student


def personalise(
    released: Vector | None,
    skills: int,
    train: Interactions,
    *,
    seed: int,
    max_sequence: int,
    settings: PersonalSettings = DEFAULT,
) -> PersonalModel:
    """Train a school's own model; equal arguments give equal models.

    Args:
        released: float32 [parameters] of a ``shared-logistic-2``; None for a school alone.
        skills: catalogue size.
        train: the school's own training students, one row each; none leaves the released model.
        seed: of the networks' first parameters and the order of minibatches.
        max_sequence: longest window.
        settings: how.

    Raises:
        ValueError: ``released`` does not fit a ``shared-logistic-2`` over these skills.
    """
    with torch.random.fork_rng(devices=[]):
        tuned = SharedLogistic(skills)
    start = to_vector(tuned) if released is None else released
    strengths = settings.priors if released is None else settings.pulls
    _tune(tuned, start, train, strengths, max_sequence, settings)
    enough = len(train) >= settings.least_students
    networks = [
        _network(tuned, train, seed + number, max_sequence, settings)
        for number in range(settings.networks if enough else 0)
    ]
    return PersonalModel((tuned, *networks), max_sequence)


def _tune(
    model: SharedLogistic,
    start: Vector,
    train: Interactions,
    strengths: Sequence[float],
    max_sequence: int,
    settings: PersonalSettings,
) -> None:
    """Layer 1, in place: the mean of one fit a strength.

    Logits are nearly linear in the parameters, so that the mean of these is the mean of those.
    """

    def fitted(students: Interactions, strength: float) -> Vector:
        from_vector(model, start)
        fit_full_batch(
            model,
            students,
            iterations=_LOGISTIC_ITERATIONS,
            max_sequence=max_sequence,
            pull=Pull(towards=start, strength=strength),
        )
        return to_vector(model)

    scores = np.zeros(len(strengths))
    part = np.arange(len(train)) % settings.folds
    for fold in range(settings.folds if len(train) > 1 else 0):
        held_out = train.select(part == fold)
        for index, strength in enumerate(strengths):
            fitted(train.select(part != fold), strength)
            scores[index] += _log_likelihood(model, held_out, max_sequence)
    weights = np.exp((scores - scores.max()) / settings.answers_worth_one)
    fits = np.stack([fitted(train, strength) for strength in strengths])
    from_vector(model, np.average(fits, axis=0, weights=weights))


def _log_likelihood(model: KnowledgeModel, interactions: Interactions, max_sequence: int) -> float:
    """In nats, of all predictions; 0 where there is none."""
    logits, correct, _ = predict(model, interactions, max_sequence)
    signed = np.where(correct == 1, logits, -logits).astype(np.float64)
    return -float(np.logaddexp(0, -signed).sum())


def _network(
    tuned: SharedLogistic,
    train: Interactions,
    seed: int,
    max_sequence: int,
    settings: PersonalSettings,
) -> ResidualDKT:
    """One network that starts with the predictions of ``tuned``."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        base = SharedLogistic(tuned.skills)
        model = ResidualDKT(
            tuned.skills,
            embedding_size=settings.width,
            hidden_size=settings.width,
            base=base,
        )
    base.load_state_dict(tuned.state_dict())
    with torch.no_grad():
        model.answered.weight.mul_(settings.embedding_stddev)
    pull = Pull(towards=to_vector(model), strength=settings.network_pull)
    for learning_rate, epochs in settings.phases:
        fit(
            model,
            train,
            epochs=epochs,
            learning_rate=learning_rate,
            batch_rows=settings.batch_rows,
            max_sequence=max_sequence,
            seed=seed,
            pull=pull,
        )
    return model
