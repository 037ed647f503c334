"""One private training step of DKT: our engine, Opacus, and no privacy at all.

All three take the same batch through the same network and end with one flat gradient in memory.
Single-threaded, interleaved in one process.
"""

from __future__ import annotations

import statistics
import warnings
from collections.abc import Callable, Mapping

import numpy as np
import torch
from support.measurement import Measurement, interleaved_seconds, spread
from support.students import made_up_students
from torch import Tensor, nn

from fedtrace.models.interactions import Batch, Interactions, to_batch
from fedtrace.models.networks import DKT, student_losses
from fedtrace.privacy.engine import ClippedSumEngine
from fedtrace.privacy.noise import OsRandom, add_gaussian_noise

STUDENTS, TIME, SIZE, SKILLS = 128, 200, 100, 124
CLIPPING_NORM = 0.1
REPETITIONS = 7
MILLION = 1_000_000


def run() -> list[Measurement]:
    """Steps on full-length and on skewed students, and the noise."""
    torch.set_num_threads(1)
    skewed = np.clip(np.random.default_rng(0).lognormal(3.5, 1, STUDENTS), 2, TIME).astype(int)
    return [
        *_steps(made_up_students([TIME] * STUDENTS, skills=SKILLS), "full length"),
        *_steps(made_up_students(skewed.tolist(), skills=SKILLS), "skewed lengths"),
        _noise(),
    ]


def _steps(students: Interactions, label: str) -> list[Measurement]:
    batch, lengths = to_batch(students), torch.from_numpy(students.lengths)
    plain, opacus, ours = (
        f"step/{name} ({label})" for name in ("nn.LSTM without privacy", "Opacus DPLSTM", "ours")
    )
    contestants = {
        plain: _without_privacy(batch),
        opacus: _opacus(batch),
        ours: _ours(batch, lengths),
    }
    seconds = interleaved_seconds(contestants, repetitions=REPETITIONS)
    return [
        _measurement(seconds, plain),
        _measurement(seconds, opacus, baseline=plain),
        _measurement(seconds, ours, baseline=opacus),
        _measurement(seconds, ours, baseline=plain, suffix=", against nn.LSTM"),
    ]


def _measurement(
    seconds: Mapping[str, list[float]], name: str, *, baseline: str | None = None, suffix: str = ""
) -> Measurement:
    values = [1000 * second for second in seconds[name]]
    ratio = None
    if baseline is not None:
        # Of neighbours in time, so that a busy machine does not tilt it.
        pairs = zip(seconds[baseline], seconds[name], strict=True)
        ratio = statistics.median(theirs / mine for theirs, mine in pairs)
    return Measurement(
        name=name + suffix,
        value=statistics.median(values),
        unit="ms",
        spread=spread(values),
        baseline=baseline,
        ratio=ratio,
    )


def _model() -> DKT:
    torch.manual_seed(0)
    return DKT(SKILLS, embedding_size=SIZE, hidden_size=SIZE)


def _without_privacy(batch: Batch) -> Callable[[], object]:
    model = _model()

    def step() -> None:
        model.zero_grad()
        torch.autograd.backward(student_losses(model, batch).sum())

    return step


def _ours(batch: Batch, lengths: Tensor) -> Callable[[], object]:
    model = _model()
    engine = ClippedSumEngine(model)
    return lambda: engine.clipped_sum(
        lambda: student_losses(model, batch), clipping_norm=CLIPPING_NORM, lengths=lengths
    )


class _Losses(nn.Module):
    """Per-student losses as one module, as Opacus wants it."""

    def __init__(self, model: DKT) -> None:
        super().__init__()
        self.model = model

    def forward(self, batch: Batch) -> Tensor:
        return student_losses(self.model, batch)


def _opacus(batch: Batch) -> Callable[[], object]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of deprecated modules that Opacus imports
        from opacus.grad_sample import GradSampleModule
        from opacus.layers import DPLSTM
        from opacus.optimizers import DPOptimizer

    model = _model()
    model.memory = DPLSTM(SIZE, SIZE, batch_first=True)
    module = GradSampleModule(_Losses(model), batch_first=True, loss_reduction="sum")
    optimiser = DPOptimizer(
        torch.optim.SGD(module.parameters(), lr=0.0),
        noise_multiplier=0.0,
        max_grad_norm=CLIPPING_NORM,
        expected_batch_size=STUDENTS,
        loss_reduction="sum",
    )

    def step() -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Opacus warns about its own hooks
            optimiser.zero_grad()
            module(batch).sum().backward()
            optimiser.clip_and_accumulate()

    return step


def _noise() -> Measurement:
    total, source = np.zeros(MILLION, dtype=np.float32), OsRandom()
    name = "noise for a million parameters"
    seconds = interleaved_seconds(
        {
            name: lambda: add_gaussian_noise(
                total, clipping_norm=CLIPPING_NORM, noise_multiplier=1.0, source=source
            )
        },
        repetitions=REPETITIONS,
    )
    return _measurement(seconds, name)


if __name__ == "__main__":
    for measured in run():
        print(measured)
