"""Clipped sums of a knowledge-tracing LSTM by the compiled engine.

The network is the one of Deep Knowledge Tracing (Piech et al. 2015): a table of embedded answers,
an LSTM, a head with one row a skill and an easiness a skill; optionally a logistic regression on
given features is added to every logit. It is described by a ``TracingShape``, its parameters are
one flat vector, and students are ragged rows, so that no padding is ever worked on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fedtrace.privacy.engine import ROUNDING_UNITS, ClippedSum
from fedtrace.privacy.kernel.library import InstructionSet, Task, instruction_sets, run
from fedtrace.privacy.noise import require_clipping_norm


@dataclass(frozen=True, slots=True, kw_only=True)
class TracingShape:
    """Sizes of the network, and with them the order of its parameters in the flat vector.

    Without features: answers [2 * skills, embedding], LSTM weights [4H, embedding] and [4H, H], two
    biases [4H], head [skills, H], easiness [skills]. With features: their weights [features] and an
    intercept, the easiness, the answers, the LSTM, the head. The LSTM's gates are in PyTorch's
    order (input, forget, cell, output); an answer's row is 2 * skill + correct.

    Attributes:
        skills: size of the catalogue.
        embedding_size: width of an embedded answer.
        hidden_size: H.
        features: numbers that the caller gives for each interaction; 0 for none.

    Raises:
        ValueError: a size below 1, or a negative number of features.
    """

    skills: int
    embedding_size: int
    hidden_size: int
    features: int = 0

    def __post_init__(self) -> None:
        """Refuse what no network can be built from."""
        for name in ("skills", "embedding_size", "hidden_size"):
            size = getattr(self, name)
            if size < 1:
                raise ValueError(f"{name} is at least 1, not {size}")
        if self.features < 0:
            raise ValueError(f"the number of features is at least 0, not {self.features}")

    @property
    def parameters(self) -> int:
        """The length of the flat vector."""
        return sum(self._sizes().values())

    def places(self) -> dict[str, int]:
        """Where each table starts in the flat vector."""
        places, start = {}, 0
        for name, size in self._sizes().items():
            places[name] = start
            start += size
        return places

    def _sizes(self) -> dict[str, int]:
        gates = 4 * self.hidden_size
        lstm = {
            "answered": 2 * self.skills * self.embedding_size,
            "onto_input": gates * self.embedding_size,
            "onto_hidden": gates * self.hidden_size,
            "biases": 2 * gates,
            "head": self.skills * self.hidden_size,
        }
        if self.features:
            return {"shared": self.features + 1, "easiness": self.skills, **lstm}
        return {"shared": 0, **lstm, "easiness": self.skills}


class TracingKernel:
    """The compiled counterpart of ``ClippedSumEngine`` for networks of a ``TracingShape``.

    Guarantees:
        Those of ``ClippedSumEngine``, whose table holds here too. A student's loss is the mean
        cross-entropy over their own predictions, all interactions but the first; there is no way
        to ask for another. What a gradient does not depend on is not read: the answer to the last
        interaction, and the head's row of a skill that only came first, may hold a NaN.

    Calls from several threads at once are fine.

    Args:
        shape: of the network.
        instruction_set: by default the fastest that this processor has.

    Raises:
        RuntimeError: the library is missing, or cannot run the instruction set here.
    """

    def __init__(
        self, shape: TracingShape, *, instruction_set: InstructionSet | None = None
    ) -> None:
        usable = instruction_sets()
        if not usable:
            raise RuntimeError("the compiled engine was not built when fedtrace was installed")
        if instruction_set is not None and instruction_set not in usable:
            raise RuntimeError(f"{instruction_set} is not one of {', '.join(usable)}")
        self._shape = shape
        self._instruction_set = instruction_set or usable[-1]

    @property
    def name(self) -> str:
        """For reports: ``compiled (avx2)``."""
        return f"compiled ({self._instruction_set})"

    def clipped_sum(
        self,
        parameters: npt.NDArray[np.floating[Any]],
        *,
        skills: npt.NDArray[np.int32],
        correct: npt.NDArray[np.int8],
        offsets: npt.NDArray[np.int64],
        clipping_norm: float,
        features: npt.NDArray[np.floating[Any]] | None = None,
        threads: int = 1,
    ) -> ClippedSum:
        """The sum of the students' gradients, each clipped to norm C.

        Args:
            parameters: float32 or float64 [parameters], in the order of the shape; the norms have
                the same dtype, the sum is float64.
            skills: int32 [interactions].
            correct: int8 [interactions], 0 or 1.
            offsets: int64 [students + 1]; student i owns ``offsets[i]:offsets[i + 1]``.
            clipping_norm: C.
            features: [interactions, features] where the shape has any, of the parameters' dtype.
            threads: how many share the students; the same number gives the same sum to the bit.

        Raises:
            ValueError: arrays that do not fit the shape or each other, or a clipping norm that is
                not positive and finite.
            MemoryError: not enough memory for the students' activations.
        """
        require_clipping_norm(clipping_norm)
        if threads < 1:
            raise ValueError(f"the number of threads is at least 1, not {threads}")
        vector = self._require_vector(parameters)
        self._require_rows(skills, correct, offsets)
        given = self._require_features(features, len(skills), vector.dtype)
        # The library walks through memory, so that every row must lie behind the one before.
        arrays = [np.ascontiguousarray(part) for part in (offsets, skills, correct, given, vector)]
        total = np.empty(vector.shape, dtype=np.float64)
        norms = np.empty(len(offsets) - 1, dtype=vector.dtype)
        offsets_, skills_, correct_, features_, parameters_ = (part.ctypes.data for part in arrays)
        shape = self._shape
        task = Task(
            students=len(norms),
            offsets=offsets_,
            asked=skills_,
            correct=correct_,
            features=features_,
            skills=shape.skills,
            embedding=shape.embedding_size,
            hidden=shape.hidden_size,
            feature_count=shape.features,
            size=shape.parameters,
            parameters=parameters_,
            total=total.ctypes.data,
            norms=norms.ctypes.data,
            clipping_norm=clipping_norm,
            norm_raise=1 + ROUNDING_UNITS * float(np.finfo(vector.dtype).eps),
            threads=threads,
            **{f"at_{name}": place for name, place in shape.places().items()},
        )
        run(task, double=vector.dtype == np.float64, instruction_set=self._instruction_set)
        return ClippedSum(total=total, norms=norms)

    def _require_vector(self, parameters: npt.NDArray[Any]) -> npt.NDArray[Any]:
        if parameters.dtype not in (np.float32, np.float64):
            raise ValueError(f"parameters are float32 or float64, not {parameters.dtype}")
        if parameters.shape != (self._shape.parameters,):
            raise ValueError(
                f"the network has {self._shape.parameters} parameters, the vector's shape is "
                f"{parameters.shape}"
            )
        return parameters

    def _require_rows(
        self, skills: npt.NDArray[Any], correct: npt.NDArray[Any], offsets: npt.NDArray[Any]
    ) -> None:
        dtypes = ", ".join(str(part.dtype) for part in (skills, correct, offsets))
        if dtypes != "int32, int8, int64":
            raise ValueError(f"skills, correct, offsets are int32, int8, int64, not {dtypes}")
        if skills.ndim != 1 or skills.shape != correct.shape:
            raise ValueError(f"{skills.shape} skills and {correct.shape} answers do not match")
        covers = offsets.ndim == 1 and len(offsets) and offsets[0] == 0
        if not (covers and offsets[-1] == len(skills) and (np.diff(offsets) >= 0).all()):
            raise ValueError(f"offsets must rise from 0 to {len(skills)} interactions")
        if len(skills) and not (skills.min() >= 0 and skills.max() < self._shape.skills):
            raise ValueError(f"a skill id is not from 0 to {self._shape.skills - 1}")
        if len(correct) and not (correct.min() >= 0 and correct.max() <= 1):
            raise ValueError("an answer is neither 0 nor 1")

    def _require_features(
        self, features: npt.NDArray[Any] | None, interactions: int, dtype: np.dtype[Any]
    ) -> npt.NDArray[Any]:
        given = np.empty((interactions, 0), dtype=dtype) if features is None else features
        if given.shape != (interactions, self._shape.features) or given.dtype != dtype:
            raise ValueError(
                f"features are {dtype} [{interactions}, {self._shape.features}], not "
                f"{given.dtype} of shape {given.shape}"
            )
        return given
