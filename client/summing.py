"""Who computes the clipped sum of a school's students: the compiled engine, or torch.

Both give the same sum within the rounding of floats. The compiled one serves the networks with an
LSTM, where nearly all of the time goes, and exists where a C++ compiler was there at installation.
"""

from __future__ import annotations

import os
from functools import partial
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch

from fedtrace.models.history import FEATURES, ragged_history
from fedtrace.models.interactions import Interactions, batches
from fedtrace.models.networks import (
    DKT,
    KnowledgeModel,
    LinearBase,
    ModelSpec,
    ResidualDKT,
    student_losses,
)
from fedtrace.models.parameters import to_vector
from fedtrace.privacy.engine import ClippedSumEngine
from fedtrace.privacy.kernel.library import kernel_available
from fedtrace.privacy.kernel.tracing import TracingKernel, TracingShape

ROWS_PER_BATCH = 128
"""Students in one forward and backward pass: bounds the memory, does not change the result."""

ROWS_PER_CALL = 1024
"""Students in one call of the compiled engine: bounds the memory, does not change the result."""

ENGINE_VARIABLE = "FEDTRACE_ENGINE"
"""``torch`` in this environment variable keeps the compiled engine out."""


class StudentSums(Protocol):
    """Sums the clipped gradients of students, for one model, at its present parameters."""

    @property
    def name(self) -> str:
        """For reports: ``compiled (avx2)`` or ``torch``."""

    def clipped_sum(
        self, students: Interactions, *, clipping_norm: float
    ) -> npt.NDArray[np.float64]:
        """float64 [parameters]; still secret."""


def student_sums(model: KnowledgeModel, spec: ModelSpec) -> StudentSums:
    """The fastest that this installation has for the model.

    Raises:
        ValueError: ``FEDTRACE_ENGINE`` is neither empty nor ``torch``.
    """
    wish = os.environ.get(ENGINE_VARIABLE, "")
    if wish not in ("", "torch"):
        raise ValueError(f"{ENGINE_VARIABLE} is empty or torch, not {wish!r}")
    if isinstance(model, ResidualDKT) and not isinstance(model.base, LinearBase):
        return TorchSums(model)
    if not wish and isinstance(model, DKT | ResidualDKT) and kernel_available():
        return CompiledSums(model, spec)
    return TorchSums(model)


class TorchSums:
    """Any model, by ``fedtrace.privacy.engine``."""

    name = "torch"

    def __init__(self, model: KnowledgeModel) -> None:
        self._model = model
        self._engine = ClippedSumEngine(model)

    def clipped_sum(
        self, students: Interactions, *, clipping_norm: float
    ) -> npt.NDArray[np.float64]:
        """See ``StudentSums.clipped_sum``."""
        total = np.zeros(sum(p.numel() for p in self._model.parameters()), dtype=np.float64)
        for batch, rows in batches(students, ROWS_PER_BATCH):
            total += self._engine.clipped_sum(
                partial(student_losses, self._model, batch),
                clipping_norm=clipping_norm,
                lengths=torch.from_numpy(students.lengths[rows]),
            ).total
        return total


class CompiledSums:
    """DKT and ResidualDKT, by ``fedtrace.privacy.kernel``.

    Raises:
        RuntimeError: the compiled engine was not built.
    """

    def __init__(self, model: DKT | ResidualDKT, spec: ModelSpec) -> None:
        self._model = model
        self._features = isinstance(model, ResidualDKT)
        self._kernel = TracingKernel(
            TracingShape(
                skills=spec.skills,
                embedding_size=spec.embedding_size,
                hidden_size=spec.hidden_size,
                features=len(FEATURES) if self._features else 0,
            )
        )

    @property
    def name(self) -> str:
        """Names the instruction set too."""
        return self._kernel.name

    def clipped_sum(
        self, students: Interactions, *, clipping_norm: float
    ) -> npt.NDArray[np.float64]:
        """See ``StudentSums.clipped_sum``."""
        parameters = to_vector(self._model)
        total = np.zeros(parameters.shape, dtype=np.float64)
        for first in range(0, len(students), ROWS_PER_CALL):
            part = students.select(np.arange(first, min(first + ROWS_PER_CALL, len(students))))
            total += self._kernel.clipped_sum(
                parameters,
                skills=part.skills,
                correct=part.correct,
                offsets=part.offsets,
                features=ragged_history(part) if self._features else None,
                clipping_norm=clipping_norm,
                threads=torch.get_num_threads(),
            ).total
        return total
