"""The clipped sum is exact, for every architecture and every awkward student."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import cast

import numpy as np
import numpy.typing as npt
import pytest
import torch
from support.students import double_batch, made_up_students
from torch import Tensor, nn
from torch.nn import functional

from fedtrace.models.interactions import Batch
from fedtrace.models.networks import (
    ARCHITECTURES,
    Architecture,
    KnowledgeModel,
    ModelSpec,
    build,
    student_losses,
)
from fedtrace.privacy import reference
from fedtrace.privacy.engine import ClippedSumEngine

SKILLS = 7
LENGTHS = (1, 3, 9, 2, 7, 7, 20)


def model(architecture: Architecture = "dkt") -> KnowledgeModel:
    spec = ModelSpec(architecture=architecture, skills=SKILLS, hidden_size=5, embedding_size=4)
    built = build(spec, seed=0).double()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():  # away from the zeros that some networks start from
        for parameter in built.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.5)
    return built


def batch(lengths: tuple[int, ...] = LENGTHS, seed: int = 0) -> Batch:
    return double_batch(made_up_students(lengths, skills=SKILLS, seed=seed))


def assert_close(found: npt.ArrayLike, expected: npt.ArrayLike, tolerance: float = 1e-12) -> None:
    np.testing.assert_allclose(np.asarray(found), np.asarray(expected), rtol=0, atol=tolerance)


def assert_exact(
    module: nn.Module, losses: Callable[[], Tensor], lengths: Tensor | None = None
) -> None:
    """Norms and sums at clipping norms where all, some and no students are clipped."""
    gradients = reference.looped_gradients(module, losses)
    norms = torch.linalg.vector_norm(gradients, dim=1)
    engine = ClippedSumEngine(module)
    for clipping_norm in (float(norms.max()) / 100, float(norms.median()), 1e6):
        expected, _ = reference.clipped_sum(gradients, clipping_norm=clipping_norm)
        result = engine.clipped_sum(losses, clipping_norm=clipping_norm, lengths=lengths)
        assert_close(result.norms, norms.numpy())
        assert_close(result.total, expected.numpy())


@pytest.mark.parametrize("declared", [False, True])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_architecture_is_exact(architecture: Architecture, declared: bool) -> None:
    module, data = model(architecture), batch()
    lengths = torch.tensor(LENGTHS) if declared else None
    assert_exact(module, lambda: student_losses(module, data), lengths)


def _outputs(module: nn.Module, given: Tensor) -> Tensor:
    return cast("Tensor", module(given)).flatten()


@pytest.mark.parametrize("size", [1, 100_000])
def test_a_float32_gradient_of_many_entries_is_clipped_to_c(size: int) -> None:
    """Squares added up in float32 stay behind the truth: by a thousandth at a million entries."""
    module = nn.Linear(size, 1, bias=False)
    students = torch.full((3, size), 0.7123)
    engine = ClippedSumEngine(module)
    for one in (students[:1], students):
        result = engine.clipped_sum(partial(_outputs, module, one), clipping_norm=0.1)
        assert 0.1 * (1 - 2e-5) <= np.linalg.norm(result.total) / len(one) <= 0.1


@pytest.mark.parametrize("layer", ["linear", "embedding"])
def test_a_student_moves_a_float32_sum_of_many_by_no_more_than_their_own(layer: str) -> None:
    """Added up in float32, one student more can make thousands of others round upwards.

    Casacuberta et al. 2022, "Widespread Underestimation of Sensitivity in Differentially Private
    Libraries and How to Fix It": beyond 2^k the distance of floats doubles.
    """
    others = [1.0] * 1023 + [2.0**-14 * 1.01] * 8000

    def total(values: list[float]) -> float:
        weights = torch.tensor(values)
        module = nn.Linear(1, 1, bias=False) if layer == "linear" else nn.Embedding(1, 1)
        ones = torch.ones(len(values), 1)
        given = ones if layer == "linear" else ones.long() - 1

        def losses() -> Tensor:
            return weights * _outputs(module, given)

        result = ClippedSumEngine(module).clipped_sum(losses, clipping_norm=1.0)
        return float(result.total[0])

    assert total([1.0, *others]) - total(others) <= 1.0 + 1e-9


def test_float32_agrees_with_float64() -> None:
    module, data = model(), batch()
    exact = ClippedSumEngine(module).clipped_sum(
        lambda: student_losses(module, data), clipping_norm=0.1
    )
    single = module.float()
    rough = ClippedSumEngine(single).clipped_sum(
        lambda: student_losses(single, data).float(), clipping_norm=0.1
    )
    assert rough.total.dtype == np.float64
    assert_close(rough.total, exact.total, tolerance=1e-6)


def test_torch_func_agrees_where_students_cannot_meet() -> None:
    """An oracle in which each student is alone in the batch."""

    class Lookup(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Embedding(SKILLS, 3)
            self.hidden = nn.Linear(3, 4)
            self.out = nn.Linear(4, 1)

        def forward(self, ids: Tensor) -> Tensor:
            score: Tensor = self.out(torch.tanh(self.hidden(self.table(ids))))
            return score.mean(dim=(-2, -1))

    torch.manual_seed(0)
    module = Lookup().double()
    ids = torch.randint(0, SKILLS, (6, 5))
    target = torch.randn(6, dtype=torch.float64)
    gradients = reference.vectorised_gradients(
        module, lambda net, row, aim: (net(row) - aim).square(), ids, target
    )
    looped = reference.looped_gradients(module, lambda: (module(ids) - target).square())
    assert_close(gradients, looped)
    assert_exact(module, lambda: (module(ids) - target).square())


class Stack(nn.Module):
    """Raw features into an LSTM, another above it, and linear layers over time and at the end."""

    def __init__(self, *, bias: bool) -> None:
        super().__init__()
        self.lower = nn.LSTM(3, 4, batch_first=True, bias=bias)
        self.between = nn.Linear(4, 5, bias=bias)
        self.upper = nn.LSTM(5, 2, batch_first=True, bias=bias)
        self.out = nn.Linear(2, 1, bias=bias)

    def forward(self, features: Tensor) -> Tensor:
        states, _ = self.lower(features)
        states, _ = self.upper(functional.relu(self.between(states), inplace=True))
        score: Tensor = self.out(states[:, -1])
        return score.squeeze(-1)


@pytest.mark.parametrize("bias", [True, False])
def test_stacked_layers_are_exact(bias: bool) -> None:
    torch.manual_seed(0)
    module = Stack(bias=bias).double()
    features = torch.randn(5, 6, 3, dtype=torch.float64)
    assert_exact(module, lambda: module(features).square())


def test_batches_of_different_sizes_share_one_engine() -> None:
    """Buffers are reused: nothing of a larger batch may show in a smaller one."""
    module = model()
    engine = ClippedSumEngine(module)
    for lengths in [(30,) * 9, (2, 3), (5, 40, 1), (1,), (8, 8)]:
        data = batch(lengths)
        gradients = reference.looped_gradients(module, partial(student_losses, module, data))
        expected, _ = reference.clipped_sum(gradients, clipping_norm=0.1)
        for declared in (None, torch.tensor(lengths)):
            result = engine.clipped_sum(
                partial(student_losses, module, data),
                clipping_norm=0.1,
                lengths=declared,
            )
            assert_close(result.total, expected.numpy())


def test_a_large_model_is_worked_through_student_by_student(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("fedtrace.privacy.engine.BLOCK_ENTRIES", 1)
    module, data = model(), batch()
    assert_exact(module, lambda: student_losses(module, data))
    assert_exact(module, lambda: student_losses(module, data), torch.tensor(LENGTHS))


def test_nobody_gives_zeros() -> None:
    module = model()
    for lengths in (None, torch.tensor([], dtype=torch.int64)):
        result = ClippedSumEngine(module).clipped_sum(
            lambda: student_losses(module, batch(())), clipping_norm=1.0, lengths=lengths
        )
        assert result.norms.shape == (0,)
        assert not result.total.any()
        assert len(result.total) == sum(p.numel() for p in module.parameters())


def test_students_of_one_interaction_give_zero_without_dividing_by_it() -> None:
    module = model()
    result = ClippedSumEngine(module).clipped_sum(
        lambda: student_losses(module, batch((1, 1, 1))), clipping_norm=1.0
    )
    assert (result.norms == 0).all()
    assert (result.total == 0).all()


def test_losses_that_do_not_depend_on_the_module_give_zeros() -> None:
    module = model()
    result = ClippedSumEngine(module).clipped_sum(
        lambda: torch.zeros(4, dtype=torch.float64), clipping_norm=1.0
    )
    assert (result.norms == 0).all()
    assert (result.total == 0).all()


@pytest.mark.parametrize("poison", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("declared", [False, True])
def test_a_non_finite_loss_counts_as_zero_and_touches_nobody(poison: float, declared: bool) -> None:
    module, data = model(), batch()
    weight = torch.ones(len(LENGTHS), dtype=torch.float64)
    weight[4] = poison
    healthy = torch.arange(len(LENGTHS)) != 4
    gradients = reference.looped_gradients(module, lambda: student_losses(module, data))
    expected, _ = reference.clipped_sum(gradients[healthy], clipping_norm=0.1)
    result = ClippedSumEngine(module).clipped_sum(
        lambda: student_losses(module, data) * weight,
        clipping_norm=0.1,
        lengths=torch.tensor(LENGTHS) if declared else None,
    )
    assert_close(result.total, expected.numpy())
    assert not np.isfinite(result.norms[4])
    assert np.isfinite(result.norms[healthy.numpy()]).all()


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_poisoned_skill_leaves_out_only_who_met_it(architecture: Architecture) -> None:
    """NaN in a parameter reaches the forward pass, the backward pass and the last steps."""
    module, data = model(architecture), batch()
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if name.endswith(("easiness.weight", "failures.weight", "slopes.weight")):
                parameter[2] = float("nan")
    present = torch.arange(data.skills.shape[1]) < torch.tensor(LENGTHS)[:, None]
    touched = ((data.skills == 2) & present).any(dim=1)
    assert touched.any()
    assert not touched.all()
    result = ClippedSumEngine(module).clipped_sum(
        lambda: student_losses(module, data), clipping_norm=0.1
    )
    assert np.isfinite(result.total).all()
    assert np.isfinite(result.norms[~touched.numpy()]).all()


def test_the_module_is_left_as_it_was_even_after_an_error() -> None:
    module, data = model(), batch()
    before = {name: value.clone() for name, value in module.state_dict().items()}

    def check() -> None:
        assert all((module.state_dict()[name] == value).all() for name, value in before.items())
        assert all(parameter.grad is None for parameter in module.parameters())
        for layer in module.modules():
            assert "forward" not in layer.__dict__
            assert not layer._forward_hooks

    engine = ClippedSumEngine(module)
    engine.clipped_sum(lambda: student_losses(module, data), clipping_norm=1.0)
    check()

    def fail() -> Tensor:
        module(data)
        raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError, match="in the middle"):
        engine.clipped_sum(fail, clipping_norm=1.0)
    check()
    with torch.no_grad():  # the engine asks for its own graph
        result = engine.clipped_sum(lambda: student_losses(module, data), clipping_norm=1.0)
    assert result.norms.any()


def test_the_result_shows_sizes_only() -> None:
    module, data = model(), batch()
    result = ClippedSumEngine(module).clipped_sum(
        lambda: student_losses(module, data), clipping_norm=1.0
    )
    assert repr(result) == f"ClippedSum(7 students, {len(result.total)} parameters)"
