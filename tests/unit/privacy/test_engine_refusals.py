"""What the engine will not do: each is one clear sentence before anything is computed wrongly."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from fedtrace.privacy.engine import ClippedSumEngine


class Small(nn.Module):
    """An embedding, an LSTM and a head, to be used rightly and wrongly."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(5, 3)
        self.memory = nn.LSTM(3, 4, batch_first=True)
        self.out = nn.Linear(4, 1)

    def forward(self, ids: Tensor) -> Tensor:
        states, _ = self.memory(self.table(ids))
        score: Tensor = self.out(states)
        return score.mean(dim=(1, 2))


IDS = torch.tensor([[0, 1, 2], [3, 4, 0]])


@pytest.mark.parametrize(
    ("layer", "sentence"),
    [
        (nn.LayerNorm(3), "LayerNorm"),
        (nn.GRU(3, 3), "GRU"),
        (nn.LSTM(3, 3), "batch-first"),
        (nn.LSTM(3, 3, num_layers=2, batch_first=True), "single-layer"),
        (nn.LSTM(3, 3, bidirectional=True, batch_first=True), "one-way"),
        (nn.LSTM(3, 4, proj_size=2, batch_first=True), "single-layer"),
        (nn.Embedding(3, 3, padding_idx=0), "option"),
        (nn.Embedding(3, 3, max_norm=1.0), "option"),
        (nn.Embedding(3, 3, sparse=True), "option"),
        (nn.Embedding(3, 3, scale_grad_by_freq=True), "option"),
        (type("Custom", (nn.Linear,), {})(3, 3), "Custom"),
    ],
)
def test_layers_without_a_book(layer: nn.Module, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        ClippedSumEngine(nn.Sequential(layer))


def test_a_parameter_of_the_module_itself() -> None:
    module = Small()
    module.scale = nn.Parameter(torch.ones(1))
    with pytest.raises(ValueError, match="the module itself"):
        ClippedSumEngine(module)


def test_shared_frozen_mixed_or_missing_parameters() -> None:
    shared = Small()
    shared.other = nn.Linear(4, 1)
    shared.other.weight = shared.out.weight
    with pytest.raises(ValueError, match=r"other.weight and out.weight are one shared"):
        ClippedSumEngine(shared)
    frozen = Small()
    frozen.out.weight.requires_grad_(False)
    with pytest.raises(ValueError, match=r"out.weight is frozen"):
        ClippedSumEngine(frozen)
    mixed = Small()
    mixed.out.double()
    with pytest.raises(ValueError, match="one dtype"):
        ClippedSumEngine(mixed)
    with pytest.raises(ValueError, match="one dtype"):
        ClippedSumEngine(nn.Sequential())


@pytest.mark.parametrize(
    "losses",
    [
        lambda module: module(IDS).sum(),
        lambda module: module(IDS)[:, None],
        lambda module: module(IDS)[:1],
        lambda module: torch.cat([module(IDS), torch.zeros(1)]),
    ],
)
def test_losses_that_are_not_one_a_student(losses: Callable[[Small], Tensor]) -> None:
    module = Small()
    with pytest.raises(ValueError, match=r"\[student\]|2 rows for"):
        ClippedSumEngine(module).clipped_sum(lambda: losses(module), clipping_norm=1.0)


def test_a_layer_called_twice() -> None:
    module = Small()
    for twice in (
        lambda: module(IDS) + module(IDS),
        lambda: module.table(IDS).sum(dim=(1, 2)) + module.table(IDS).sum(dim=(1, 2)),
    ):
        with pytest.raises(ValueError, match="called twice"):
            ClippedSumEngine(module).clipped_sum(twice, clipping_norm=1.0)


def test_a_state_handed_in_or_asked_for() -> None:
    module = Small()
    start = torch.zeros(1, 2, 4)
    with pytest.raises(ValueError, match="zero state"):
        ClippedSumEngine(module).clipped_sum(
            lambda: module.memory(module.table(IDS), (start, start))[0].sum(dim=(1, 2)),
            clipping_norm=1.0,
        )

    def last_state() -> Tensor:
        _, (last, _) = module.memory(module.table(IDS))
        total: Tensor = last[0].sum(dim=1)
        return total

    with pytest.raises(ValueError, match="unpack"):
        ClippedSumEngine(module).clipped_sum(last_state, clipping_norm=1.0)


@pytest.mark.parametrize(
    ("lengths", "sentence"),
    [
        (torch.tensor([3.0, 3.0]), "int64"),
        (torch.tensor([3, -1]), "at least 0"),
        (torch.tensor([[3, 3]]), "int64"),
        (torch.tensor([3]), "1 lengths for 2 students"),
        (torch.tensor([3, 2]), "after its student's length"),
    ],
)
def test_lengths_that_do_not_fit_the_losses(lengths: Tensor, sentence: str) -> None:
    module = Small()
    with pytest.raises(ValueError, match=sentence):
        ClippedSumEngine(module).clipped_sum(
            lambda: module(IDS), clipping_norm=1.0, lengths=lengths
        )


def test_lengths_beyond_the_padding_are_harmless() -> None:
    module = Small()
    plain = ClippedSumEngine(module).clipped_sum(lambda: module(IDS), clipping_norm=1.0)
    long = ClippedSumEngine(module).clipped_sum(
        lambda: module(IDS), clipping_norm=1.0, lengths=torch.tensor([9, 3])
    )
    assert abs(plain.total - long.total).max() < 1e-6


@pytest.mark.parametrize("clipping_norm", [0.0, -1.0, math.nan, math.inf])
def test_clipping_norms_that_are_none(clipping_norm: float) -> None:
    module = Small()
    with pytest.raises(ValueError, match="clipping norm"):
        ClippedSumEngine(module).clipped_sum(lambda: module(IDS), clipping_norm=clipping_norm)
