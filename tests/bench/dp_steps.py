"""The contestants of ``bench_dp_step``: one training step each, from a batch to a flat gradient."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from support.students import made_up_students
from torch import Tensor, nn

from fedtrace.models.interactions import Batch, Interactions, to_batch
from fedtrace.models.networks import DKT, student_losses
from fedtrace.models.parameters import to_vector
from fedtrace.privacy.engine import ClippedSumEngine
from fedtrace.privacy.kernel.tracing import TracingKernel, TracingShape

CLIPPING_NORM = 0.1

Step = Callable[[], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class StepShape:
    """Sizes of one step: B students of T interactions, H hidden and embedding units, S skills.

    Attributes:
        skewed: lengths as uneven as on real learning platforms, T the longest.
    """

    students: int
    time: int
    size: int
    skills: int
    skewed: bool = False

    def __str__(self) -> str:
        lengths = "skewed to " if self.skewed else ""
        return f"B={self.students} T={lengths}{self.time} H={self.size} S={self.skills}"

    def made_up(self) -> Interactions:
        """Students of this shape."""
        lengths = np.full(self.students, self.time)
        if self.skewed:
            drawn = np.random.default_rng(0).lognormal(3.5, 1, self.students)
            lengths = np.clip(drawn, 2, self.time).astype(int)
        return made_up_students(lengths.tolist(), skills=self.skills)

    def model(self) -> DKT:
        """A seeded network of this shape."""
        torch.manual_seed(0)
        return DKT(self.skills, embedding_size=self.size, hidden_size=self.size)


def without_privacy(shape: StepShape) -> Step:
    """PyTorch's own ``nn.LSTM``, padded, one gradient for the batch."""
    model, batch = shape.model(), to_batch(shape.made_up())

    def step() -> None:
        model.zero_grad()
        torch.autograd.backward(student_losses(model, batch).sum())

    return step


def in_torch(shape: StepShape) -> Step:
    """Our engine in torch."""
    model, students = shape.model(), shape.made_up()
    engine, batch = ClippedSumEngine(model), to_batch(students)
    lengths = torch.from_numpy(students.lengths)
    return lambda: engine.clipped_sum(
        lambda: student_losses(model, batch), clipping_norm=CLIPPING_NORM, lengths=lengths
    )


def compiled(shape: StepShape) -> Step:
    """Our engine in C++, one thread."""
    model, students = shape.model(), shape.made_up()
    kernel = TracingKernel(
        TracingShape(skills=shape.skills, embedding_size=shape.size, hidden_size=shape.size)
    )
    return lambda: kernel.clipped_sum(
        to_vector(model),
        skills=students.skills,
        correct=students.correct,
        offsets=students.offsets,
        clipping_norm=CLIPPING_NORM,
    )


class _Losses(nn.Module):
    """Per-student losses as one module, as Opacus wants it."""

    def __init__(self, model: DKT) -> None:
        super().__init__()
        self.model = model

    def forward(self, batch: Batch) -> Tensor:
        return student_losses(self.model, batch)


def with_opacus(shape: StepShape) -> Step:
    """Opacus' DPLSTM and its optimiser's clipping."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of deprecated modules that Opacus imports
        from opacus.grad_sample import GradSampleModule
        from opacus.layers import DPLSTM
        from opacus.optimizers import DPOptimizer

    model, batch = shape.model(), to_batch(shape.made_up())
    model.memory = DPLSTM(shape.size, shape.size, batch_first=True)
    module = GradSampleModule(_Losses(model), batch_first=True, loss_reduction="sum")
    optimiser = DPOptimizer(
        torch.optim.SGD(module.parameters(), lr=0.0),
        noise_multiplier=0.0,
        max_grad_norm=CLIPPING_NORM,
        expected_batch_size=shape.students,
        loss_reduction="sum",
    )

    def step() -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Opacus warns about its own hooks
            optimiser.zero_grad()
            module(batch).sum().backward()
            optimiser.clip_and_accumulate()

    return step


CONTESTANTS = {
    "nn.LSTM without privacy": without_privacy,
    "Opacus DPLSTM": with_opacus,
    "torch engine": in_torch,
    "compiled engine": compiled,
}


def peak_bytes(contestant: str, shape: StepShape) -> int:
    """How far a step's memory rises above what its process held before; in a fresh process.

    Linux only: the mark is reset before the step.
    """
    torch.set_num_threads(1)
    step = CONTESTANTS[contestant](shape)
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    before = _status("VmRSS")
    step()
    return _status("VmHWM") - before


def _status(field: str) -> int:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    line = next(line for line in lines if line.startswith(f"{field}:"))
    return 1024 * int(line.split()[1])
