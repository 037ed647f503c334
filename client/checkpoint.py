"""One tensor in safetensors bytes: how a checkpoint comes in and a payload goes out.

Safetensors carries numbers and nothing that could be executed. Whoever sent the bytes, reading
them never raises: what is wrong with them is a fact for the decision.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load, save

from fedtrace.governance.canonical import digest
from fedtrace.governance.facts import CheckpointFacts

Vector = npt.NDArray[np.float32]

PARAMETERS = "parameters"
"""The one tensor of a checkpoint: float32 [parameters]."""


def read_checkpoint(payload: bytes) -> tuple[CheckpointFacts, Vector]:
    """What came, and its numbers; no numbers where it is not exactly one readable tensor.

    Returns:
        The facts that the decision looks at, and the vector, float32 [parameters]. It may be used
        only after the decision allowed it.
    """
    nothing = np.zeros(0, dtype=np.float32)
    name = digest(payload)
    try:
        tensors = load(payload)
    except (SafetensorError, ValueError, KeyError, TypeError, OverflowError):
        return CheckpointFacts.unreadable(name), nothing
    if set(tensors) != {PARAMETERS}:
        return CheckpointFacts.unreadable(name), nothing
    tensor = tensors[PARAMETERS]
    vector = tensor if tensor.dtype == np.float32 else nothing
    facts = CheckpointFacts(
        digest=name,
        dtype=str(tensor.dtype),
        shape=tuple(tensor.shape),
        finite=bool(np.isfinite(tensor).all()),
        norm=float(np.linalg.norm(vector.astype(np.float64))),  # of float32 it cannot overflow
    )
    return facts, vector


def write_tensor(
    name: str, tensor: Vector | npt.NDArray[np.float64] | npt.NDArray[np.uint32]
) -> bytes:
    """The safetensors bytes of one tensor."""
    return bytes(save({name: np.ascontiguousarray(tensor)}))
