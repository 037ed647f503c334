"""The trainer takes the compiled engine where it is, and gets the same from torch where not."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from support.students import made_up_students
from support.tracing import close

from fedtrace.client import summing
from fedtrace.client.summing import CompiledSums, TorchSums, student_sums
from fedtrace.models.networks import ARCHITECTURES, Architecture, KnowledgeModel, ModelSpec, build
from fedtrace.privacy.kernel.library import kernel_available

needs_kernel = pytest.mark.skipif(
    not kernel_available(), reason="the compiled engine was not built: no C++ compiler at install"
)
LOGISTIC = ("pfa", "shared-logistic", "shared-logistic-2")
LENGTHS = [1, 30, 2, 9, 0, 14, 14, 5]


def spec(architecture: Architecture) -> ModelSpec:
    return ModelSpec(architecture=architecture, skills=6, hidden_size=5, embedding_size=4)


def model(architecture: Architecture) -> KnowledgeModel:
    built = build(spec(architecture), seed=0)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in built.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.3)
    return built


@needs_kernel
@pytest.mark.parametrize("architecture", ["dkt", "residual-dkt"])
def test_both_engines_give_the_same_sum(
    architecture: Architecture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(summing, "ROWS_PER_CALL", 3)
    students, module = made_up_students(LENGTHS, skills=6), model(architecture)
    compiled = student_sums(module, spec(architecture))
    assert isinstance(compiled, CompiledSums)
    assert compiled.name.startswith("compiled (")
    ours = compiled.clipped_sum(students, clipping_norm=0.1)
    theirs = TorchSums(module).clipped_sum(students, clipping_norm=0.1)
    assert ours.dtype == theirs.dtype == np.float64
    assert close(ours, theirs, 1e-5)


@needs_kernel
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_only_networks_with_an_lstm_are_compiled(architecture: Architecture) -> None:
    sums = student_sums(model(architecture), spec(architecture))
    assert (sums.name == "torch") is (architecture in LOGISTIC)


def test_torch_does_the_work_where_the_engine_was_not_built(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(summing, "kernel_available", lambda: False)
    assert student_sums(model("dkt"), spec("dkt")).name == "torch"


def test_the_environment_can_ask_for_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(summing.ENGINE_VARIABLE, "torch")
    sums = student_sums(model("dkt"), spec("dkt"))
    assert sums.name == "torch"
    nobody = sums.clipped_sum(made_up_students([], skills=6), clipping_norm=1.0)
    assert not nobody.any()
    monkeypatch.setenv(summing.ENGINE_VARIABLE, "abacus")
    with pytest.raises(ValueError, match="is empty or torch, not 'abacus'"):
        student_sums(model("dkt"), spec("dkt"))
