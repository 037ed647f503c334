"""A network of ``fedtrace.models`` beside its compiled counterpart, for tests and benchmarks."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.utils import parameters_to_vector

from fedtrace.models.history import FEATURES, history, ragged_history
from fedtrace.models.interactions import Batch, Interactions, to_batch
from fedtrace.models.networks import KnowledgeModel, ModelSpec, build, student_losses
from fedtrace.privacy.engine import ClippedSum, ClippedSumEngine
from fedtrace.privacy.kernel.library import InstructionSet
from fedtrace.privacy.kernel.tracing import TracingKernel, TracingShape

TracingArchitecture = Literal["dkt", "residual-dkt"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """One model and one set of students, to be put through either engine.

    Attributes:
        spec: of the model.
        model: in float32 or float64.
        students: ragged.
    """

    spec: ModelSpec
    model: KnowledgeModel
    students: Interactions

    @classmethod
    def made_up(
        cls,
        students: Interactions,
        *,
        architecture: TracingArchitecture = "dkt",
        skills: int,
        embedding_size: int = 4,
        hidden_size: int = 5,
        dtype: torch.dtype = torch.float64,
    ) -> Subject:
        """Seeded parameters away from the zeros that some networks start from."""
        spec = ModelSpec(
            architecture=architecture,
            skills=skills,
            hidden_size=hidden_size,
            embedding_size=embedding_size,
        )
        model = build(spec, seed=0).to(dtype)
        generator = torch.Generator().manual_seed(1)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.5)
        return cls(spec=spec, model=model, students=students)

    @property
    def vector(self) -> npt.NDArray[Any]:
        """The model's parameters, flat."""
        return parameters_to_vector(self.model.parameters()).detach().numpy().copy()

    @property
    def batch(self) -> Batch:
        """The students padded, in the model's dtype."""
        dtype = next(self.model.parameters()).dtype
        batch = to_batch(self.students)
        return replace(batch, correct=batch.correct.to(dtype), history=history(batch).to(dtype))

    def losses(self) -> Tensor:
        """[student]."""
        return student_losses(self.model, self.batch)

    def kernel(self, instruction_set: InstructionSet | None = None) -> TracingKernel:
        """The compiled engine for the model's shape."""
        shape = TracingShape(
            skills=self.spec.skills,
            embedding_size=self.spec.embedding_size,
            hidden_size=self.spec.hidden_size,
            features=len(FEATURES) if self.spec.architecture == "residual-dkt" else 0,
        )
        return TracingKernel(shape, instruction_set=instruction_set)

    def compiled(
        self,
        clipping_norm: float,
        *,
        instruction_set: InstructionSet | None = None,
        threads: int = 1,
        vector: npt.NDArray[Any] | None = None,
        features: npt.NDArray[Any] | None = None,
    ) -> ClippedSum:
        """By the compiled engine; ``vector`` and ``features`` replace what the model says."""
        parameters = self.vector if vector is None else vector
        if features is None and self.spec.architecture == "residual-dkt":
            features = ragged_history(self.students).astype(parameters.dtype)
        return self.kernel(instruction_set).clipped_sum(
            parameters,
            skills=self.students.skills,
            correct=self.students.correct,
            offsets=self.students.offsets,
            features=features,
            clipping_norm=clipping_norm,
            threads=threads,
        )

    def in_torch(self, clipping_norm: float) -> ClippedSum:
        """By the engine in torch."""
        return ClippedSumEngine(self.model).clipped_sum(
            partial(student_losses, self.model, self.batch),
            clipping_norm=clipping_norm,
            lengths=torch.from_numpy(self.students.lengths),
        )


def close(found: npt.NDArray[Any], expected: npt.NDArray[Any], tolerance: float) -> bool:
    """Whether no number is off by more than ``tolerance`` times the largest expected one."""
    largest = float(np.abs(expected).max(initial=0.0))
    return bool(np.abs(found - expected).max(initial=0.0) <= tolerance * largest)
