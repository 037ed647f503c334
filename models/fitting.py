"""Training without privacy: inside one school, whose model stays at home, and for baselines.

Nothing that these functions produce from student rows may leave a school. They share one
objective, the mean cross-entropy of all predictions plus a pull towards given parameters.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from fedtrace.models.interactions import Batch, Interactions, batches
from fedtrace.models.networks import KnowledgeModel
from fedtrace.models.parameters import Vector


@dataclass(frozen=True, slots=True, kw_only=True)
class Pull:
    """A quadratic pull towards known parameters: a Gaussian prior around them.

    Attributes:
        towards: float32 [parameters]; zeros make it weight decay, a global model makes it the
            local objective of Ditto (Li et al. 2021, "Ditto: Fair and Robust Federated Learning
            Through Personalization", section 3).
        strength: prior precision, against a sum of cross-entropies in nats; the more predictions
            a school has, the less it is pulled.
    """

    towards: Vector
    strength: float


def prepared_batches(
    model: KnowledgeModel, interactions: Interactions, *, batch_rows: int, max_sequence: int
) -> tuple[Batch, ...]:
    """All windows with a prediction, batched and prepared once for many epochs."""
    windows, _ = interactions.windows(max_sequence)
    useful = windows.select(windows.lengths >= 2)
    return tuple(model.prepare(batch) for batch, _ in batches(useful, batch_rows))


def fit(
    model: KnowledgeModel,
    interactions: Interactions,
    *,
    epochs: int,
    learning_rate: float,
    batch_rows: int,
    max_sequence: int,
    seed: int,
    pull: Pull | None = None,
) -> None:
    """Train in place with Adam (Kingma and Ba 2015) on every window of every student.

    Args:
        model: changed in place.
        interactions: one row a student; without a prediction the model stays as it is.
        epochs: passes over the data.
        learning_rate: Adam's step.
        batch_rows: windows a step.
        max_sequence: longest window.
        seed: fixes the order of the batches.
        pull: what to stay close to.
    """
    data = prepared_batches(model, interactions, batch_rows=batch_rows, max_sequence=max_sequence)
    fit_batches(model, data, epochs=epochs, learning_rate=learning_rate, seed=seed, pull=pull)


def fit_batches(
    model: KnowledgeModel,
    data: Sequence[Batch],
    *,
    epochs: int,
    learning_rate: float,
    seed: int,
    pull: Pull | None = None,
) -> None:
    """``fit`` on batches that were prepared before."""
    optimiser = torch.optim.Adam(model.parameters(), lr=learning_rate)
    predictions = count_predictions(data)
    rng = np.random.default_rng(seed)
    for _ in range(epochs):
        for index in rng.permutation(len(data)):
            optimiser.zero_grad()
            batch = data[index]
            loss = summed_loss(model, batch) / batch.predicted.sum()
            if pull is not None:
                loss = loss + _penalty(model, pull) / predictions
            loss.backward()
            optimiser.step()


def fit_full_batch(
    model: KnowledgeModel,
    interactions: Interactions,
    *,
    iterations: int,
    max_sequence: int,
    pull: Pull,
) -> None:
    """Train in place by L-BFGS on all data at once: the exact optimum of a logistic model.

    Args:
        model: changed in place; meant for networks whose logit is linear in the parameters.
        interactions: one row a student; without a prediction the model stays as it is.
        iterations: upper bound of quasi-Newton steps.
        max_sequence: longest window.
        pull: makes the optimum unique where a school has no data on a skill.
    """
    data = prepared_batches(
        model, interactions, batch_rows=ROWS_PER_PASS, max_sequence=max_sequence
    )
    predictions = count_predictions(data)
    if predictions == 0:
        return
    optimiser = torch.optim.LBFGS(
        model.parameters(), max_iter=iterations, line_search_fn="strong_wolfe"
    )

    def objective() -> Tensor:
        optimiser.zero_grad()
        loss = sum((summed_loss(model, batch) for batch in data), _penalty(model, pull))
        loss = loss / predictions
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimiser.step(objective)  # type: ignore[no-untyped-call]


ROWS_PER_PASS = 1024
"""Windows in one pass of ``fit_full_batch``; bounds the memory, not the result."""


def gradient(model: KnowledgeModel, data: Sequence[Batch]) -> Vector:
    """float32 [parameters]: gradient of the summed cross-entropy of all predictions."""
    model.zero_grad()
    for batch in data:
        summed_loss(model, batch).backward()  # type: ignore[no-untyped-call]
    parts = [
        torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        for parameter in model.parameters()
    ]
    flat: Vector = torch.cat([part.flatten() for part in parts]).numpy()
    return flat


def summed_loss(model: KnowledgeModel, batch: Batch) -> Tensor:
    """Scalar: the sum of cross-entropies of all predictions of a batch, in nats."""
    losses = functional.binary_cross_entropy_with_logits(
        model(batch), batch.correct, reduction="none"
    )
    return torch.where(batch.predicted, losses, 0.0).sum()


def count_predictions(data: Sequence[Batch]) -> int:
    """How many answers the batches ask a model to predict."""
    return sum(int(batch.predicted.sum()) for batch in data)


def _penalty(model: KnowledgeModel, pull: Pull) -> Tensor:
    """Scalar: half the strength times the squared distance."""
    parameters = torch.cat([parameter.flatten() for parameter in model.parameters()])
    distance = parameters - torch.from_numpy(pull.towards)
    return pull.strength / 2 * distance.square().sum()
