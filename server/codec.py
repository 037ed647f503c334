"""Vectors as safetensors bytes and back: one tensor, of a known name, type and shape.

What arrives is expected in full before it is read: the receiver names the tensor and derives
from it the largest number of bytes worth looking at. Only the canonical encoding is accepted, so
that nothing else (a second tensor, a metadata block, padding) can travel inside a payload.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load, save

from fedtrace.server.aggregation import OptimiserState

HEADER_ALLOWANCE_BYTES = 512
"""Room for the safetensors header of one tensor; a real one takes about 80 bytes."""

_DTYPES: dict[str, type[np.floating[Any] | np.uint32]] = {
    "float32": np.float32,
    "float64": np.float64,
    "uint32": np.uint32,
}

FloatArray = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorSpec:
    """The one tensor that a payload may hold."""

    name: str
    dtype: Literal["float32", "float64", "uint32"]
    shape: tuple[int, ...]

    @property
    def data_bytes(self) -> int:
        """The size of the numbers alone."""
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize

    @property
    def limit_bytes(self) -> int:
        """The largest encoding of this tensor that is worth parsing."""
        return self.data_bytes + HEADER_ALLOWANCE_BYTES


def checkpoint_spec(parameters: int) -> TensorSpec:
    """Global parameters: ``parameters``, float32 [parameters]."""
    return TensorSpec(name="parameters", dtype="float32", shape=(parameters,))


def update_spec(parameters: int) -> TensorSpec:
    """One school's contribution to a round: ``update``, float32 [parameters]."""
    return TensorSpec(name="update", dtype="float32", shape=(parameters,))


def histograms_spec(bins: int) -> TensorSpec:
    """One school's evaluation: ``histograms``, float64 [2, bins] (wrong, right answers)."""
    return TensorSpec(name="histograms", dtype="float64", shape=(2, bins))


def masked_spec(size: int) -> TensorSpec:
    """One school's masked contribution under secure sum: ``masked``, uint32 [size]."""
    return TensorSpec(name="masked", dtype="uint32", shape=(size,))


def encode(array: FloatArray, spec: TensorSpec) -> bytes:
    """The canonical safetensors bytes of ``array`` as the tensor that ``spec`` names.

    Raises:
        ValueError: the array has another shape than ``spec``.
    """
    if array.shape != spec.shape:
        raise ValueError(f"{spec.name} has shape {array.shape}, expected {spec.shape}")
    values = np.ascontiguousarray(array, dtype=_DTYPES[spec.dtype])
    return bytes(save({spec.name: values}))


def decode(payload: bytes, spec: TensorSpec) -> FloatArray:
    """Read the one tensor that ``spec`` describes; whether it is finite is not asked here.

    No parser ever sees the bytes: a canonical file has exactly one possible header, and the
    payload begins with that or is refused.

    Raises:
        ValueError: the bytes are too many, or not the canonical encoding of such a tensor.
    """
    if len(payload) > spec.limit_bytes:
        raise ValueError(f"{len(payload)} bytes for {spec.name}, at most {spec.limit_bytes}")
    header = _header(spec)
    if len(payload) != len(header) + spec.data_bytes or not payload.startswith(header):
        raise ValueError(
            f"the bytes are not exactly one tensor {spec.name} of type {spec.dtype} and shape "
            f"{spec.shape} as canonical safetensors"
        )
    array = np.frombuffer(payload, dtype=_DTYPES[spec.dtype], offset=len(header))
    return array.reshape(spec.shape)


@lru_cache(maxsize=32)
def _header(spec: TensorSpec) -> bytes:
    """What every canonical encoding of this tensor begins with."""
    zeros = encode(np.zeros(spec.shape, dtype=_DTYPES[spec.dtype]), spec)
    return zeros[: len(zeros) - spec.data_bytes]


def encode_sum(total: npt.NDArray[np.float64]) -> bytes:
    """A running sum for the store: float64, little-endian, nothing else."""
    return total.astype("<f8").tobytes()


def decode_sum(data: bytes) -> npt.NDArray[np.float64]:
    """Read back what `encode_sum` wrote.

    Raises:
        ValueError: the length is no multiple of eight bytes.
    """
    return np.frombuffer(data, dtype="<f8").astype(np.float64)


def encode_optimiser(state: OptimiserState) -> bytes:
    """An optimiser's memory for the store: ``steps`` int64 [1], ``first``, ``second`` float64."""
    steps = np.array([state.steps], dtype=np.int64)
    return bytes(save({"steps": steps, "first": state.first, "second": state.second}))


def decode_optimiser(data: bytes) -> OptimiserState:
    """Read back what `encode_optimiser` wrote.

    Raises:
        ValueError: the bytes are something else.
    """
    try:
        tensors = load(data)
        steps, first, second = tensors["steps"], tensors["first"], tensors["second"]
    except (SafetensorError, KeyError) as error:
        raise ValueError("the stored optimiser state cannot be read") from error
    return OptimiserState(steps=int(steps[0]), first=first, second=second)
