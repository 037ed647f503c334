"""What comes as a checkpoint is described and never trusted; nothing that comes can raise."""

from __future__ import annotations

import json
import struct

import numpy as np
import numpy.typing as npt
import pytest
from safetensors.numpy import save

from fedtrace.client.checkpoint import PARAMETERS, read_checkpoint, write_tensor
from fedtrace.governance.canonical import digest
from fedtrace.governance.facts import CheckpointFacts

VECTOR = np.array([3.0, 0.0, -4.0], dtype=np.float32)


def declared(dtype: str, shape: list[int], data: bytes) -> bytes:
    """A safetensors file that says whatever it is told to."""
    header = {PARAMETERS: {"dtype": dtype, "shape": shape, "data_offsets": [0, len(data)]}}
    encoded = json.dumps(header).encode("ascii")
    return struct.pack("<Q", len(encoded)) + encoded + data


def test_what_was_written_is_read_with_its_facts() -> None:
    payload = write_tensor(PARAMETERS, VECTOR)

    facts, vector = read_checkpoint(payload)

    assert facts == CheckpointFacts(
        digest=digest(payload), dtype="float32", shape=(3,), finite=True, norm=5.0
    )
    assert vector.dtype == np.float32
    assert np.array_equal(vector, VECTOR)


def test_a_view_with_gaps_is_written_by_its_values() -> None:
    spread = np.arange(6, dtype=np.float32)[::2]

    assert write_tensor(PARAMETERS, spread) == write_tensor(PARAMETERS, spread.copy())


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"PK\x03\x04 no safetensors",
        write_tensor(PARAMETERS, VECTOR)[:-1],
        write_tensor(PARAMETERS, VECTOR) + b"\0",
        struct.pack("<Q", 2**63) + b"{}",
        struct.pack("<Q", 2) + b"{}",
        struct.pack("<Q", 4) + b"null",
        declared("F32", [2**40, 2**40], b""),
        declared("F32", [2], b"\0" * 4),
        declared("BF16", [2], b"\0" * 4),
        write_tensor("weights", VECTOR),
        bytes(save({PARAMETERS: VECTOR, "more": VECTOR})),
    ],
    ids=[
        "nothing",
        "another format",
        "cut short",
        "too long",
        "endless header",
        "no tensor",
        "null",
        "more values than exist",
        "fewer bytes than values",
        "a type numpy lacks",
        "another name",
        "two tensors",
    ],
)
def test_anything_else_is_unreadable_and_gives_no_numbers(payload: bytes) -> None:
    facts, vector = read_checkpoint(payload)

    assert facts == CheckpointFacts.unreadable(digest(payload))
    assert vector.size == 0


@pytest.mark.parametrize(
    "tensor",
    [
        VECTOR.astype(np.float64),
        np.array([1e308, -1e308]),
        np.array([1 + 2j], dtype=np.complex64),
        np.array([1, 2], dtype=np.int32),
        VECTOR.astype(np.float16),
    ],
    ids=["float64", "overflowing", "complex", "whole", "half"],
)
def test_another_type_is_named_and_gives_no_numbers(tensor: npt.NDArray[np.float64]) -> None:
    facts, vector = read_checkpoint(write_tensor(PARAMETERS, tensor))

    assert (facts.dtype, facts.shape) == (str(tensor.dtype), tensor.shape)
    assert vector.size == 0


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_a_fact(bad: float) -> None:
    facts, _ = read_checkpoint(write_tensor(PARAMETERS, np.array([1, bad], dtype=np.float32)))

    assert not facts.finite
    assert not np.isfinite(facts.norm)


def test_the_norm_of_large_values_does_not_overflow() -> None:
    facts, _ = read_checkpoint(write_tensor(PARAMETERS, np.full(4, 3e38, dtype=np.float32)))

    assert facts.finite
    assert facts.norm == pytest.approx(6e38)
