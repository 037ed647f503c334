"""Opacus, an engine and an accountant that others wrote, comes to the same numbers."""

from __future__ import annotations

import math
import warnings
from functools import partial

import numpy as np
import pytest
import torch
from support.students import double_batch, made_up_students
from torch import Tensor, nn

from fedtrace.models.interactions import Batch
from fedtrace.models.networks import DKT, student_losses
from fedtrace.privacy.accounting import GaussianEvent, epsilon
from fedtrace.privacy.engine import ClippedSumEngine

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of deprecated modules that it imports
    from opacus.accountants import PRVAccountant
    from opacus.grad_sample import GradSampleModule
    from opacus.layers import DPLSTM
    from opacus.optimizers import DPOptimizer

SKILLS, LEARNING_RATE, CLIPPING_NORM, STEPS = 7, 0.5, 0.2, 6

SCALE = 1e6
"""Opacus clips by C / (norm + 1e-6); with losses and C a million times larger, that is the exact
C / norm to 1e-12, and a step a million times smaller undoes it."""


class Scaled(nn.Module):
    """The per-student losses as one module, as Opacus wants it."""

    def __init__(self, model: DKT) -> None:
        super().__init__()
        self.model = model

    def forward(self, batch: Batch) -> Tensor:
        return SCALE * student_losses(self.model, batch)


def fresh_model() -> DKT:
    torch.manual_seed(0)
    return DKT(SKILLS, embedding_size=4, hidden_size=5).double()


def batches() -> list[Batch]:
    lengths = [(2, 9, 5, 1), (7, 7), (), (12, 3, 4, 8, 2), (6,), (10, 2, 2)]
    return [
        double_batch(made_up_students(each, skills=SKILLS, seed=seed))
        for seed, each in enumerate(lengths)
    ]


def our_trajectory() -> list[np.ndarray]:
    model = fresh_model()
    engine = ClippedSumEngine(model)
    visited = []
    for batch in batches():
        total = engine.clipped_sum(
            partial(student_losses, model, batch), clipping_norm=CLIPPING_NORM
        ).total
        with torch.no_grad():
            vector = nn.utils.parameters_to_vector(model.parameters())
            vector -= LEARNING_RATE * torch.from_numpy(total)
            nn.utils.vector_to_parameters(vector, model.parameters())
        visited.append(vector.numpy().copy())
    return visited


def opacus_trajectory(*, functorch: bool) -> list[np.ndarray]:
    model = fresh_model()
    memory = DPLSTM(4, 5, batch_first=True).double()
    memory.load_state_dict(model.memory.state_dict())
    model.memory = memory
    module = GradSampleModule(
        Scaled(model), batch_first=True, loss_reduction="sum", force_functorch=functorch
    )
    optimiser = DPOptimizer(
        torch.optim.SGD(module.parameters(), lr=LEARNING_RATE / SCALE),
        noise_multiplier=0.0,
        max_grad_norm=CLIPPING_NORM * SCALE,
        expected_batch_size=1,
        loss_reduction="sum",
    )
    visited = []
    for batch in batches():
        if len(batch.skills):  # Opacus 1.6 fails on an empty batch
            optimiser.zero_grad()
            module(batch).sum().backward()
            optimiser.step()
        state = model.state_dict()  # DPLSTM orders its parameters in its own way
        names = [name for name, _ in fresh_model().named_parameters()]
        visited.append(torch.cat([state[name].flatten() for name in names]).numpy().copy())
    return visited


@pytest.mark.filterwarnings("ignore")  # Opacus warns about its own hooks
@pytest.mark.parametrize("functorch", [False, True])
def test_the_same_trajectory_without_noise(functorch: bool) -> None:
    ours, theirs = our_trajectory(), opacus_trajectory(functorch=functorch)
    assert len(ours) == STEPS
    assert np.abs(ours[-1] - ours[0]).max() > 0.01
    for mine, yours in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(mine, yours, rtol=0, atol=1e-10)


@pytest.mark.filterwarnings("ignore")  # Opacus warns about its own tensors
def test_the_prv_accountant_agrees() -> None:
    accountant = PRVAccountant()
    accountant.history = [(2.0, 0.1, 50)]
    theirs = accountant.get_epsilon(delta=1e-5)
    ours = epsilon([GaussianEvent(noise_multiplier=2.0, sampling_rate=0.1, count=50)], 1e-5)
    assert math.isclose(ours, theirs, abs_tol=0.02)
