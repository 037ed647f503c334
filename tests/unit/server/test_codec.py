"""One tensor, of a known name, type and shape, and nothing else in the bytes."""

from __future__ import annotations

import json

import numpy as np
import pytest
from safetensors.numpy import save

from fedtrace.server.aggregation import OptimiserState
from fedtrace.server.codec import (
    HEADER_ALLOWANCE_BYTES,
    checkpoint_spec,
    decode,
    decode_optimiser,
    decode_sum,
    encode,
    encode_optimiser,
    encode_sum,
    histograms_spec,
    update_spec,
)

SPEC = update_spec(4)
VALUES = np.array([1.5, -0.0, 3e-39, np.nan], dtype=np.float32)


def with_header(header: dict[str, object], data: bytes) -> bytes:
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def test_every_bit_survives() -> None:
    assert decode(encode(VALUES, SPEC), SPEC).tobytes() == VALUES.tobytes()


def test_histograms_travel_in_float64() -> None:
    counts = np.arange(6, dtype=np.float64).reshape(2, 3) / 7
    assert (
        decode(encode(counts, histograms_spec(3)), histograms_spec(3)).tolist() == counts.tolist()
    )


ENTRY = {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}

OTHER_FILES = {
    "empty": b"",
    "a torn header": encode(VALUES, SPEC)[:20],
    "torn data": encode(VALUES, SPEC)[:-1],
    "trailing bytes": encode(VALUES, SPEC) + b"x",
    "another name": encode(VALUES, checkpoint_spec(4)),
    "another type": save({"update": VALUES.astype(np.float64)}),
    "another shape": save({"update": VALUES.reshape(2, 2)}),
    "a scalar": save({"update": np.array(1.0, dtype=np.float32)}),
    "a second tensor": save({"update": VALUES, "names": np.zeros(1, np.float32)}),
    "a metadata block": save({"update": VALUES}, metadata={"note": "hidden"}),
    "spaces in the header": with_header({"update": ENTRY}, VALUES.tobytes()),
    "an unknown type": with_header({"update": {**ENTRY, "dtype": "PICKLE"}}, VALUES.tobytes()),
    "offsets beyond the end": with_header(
        {"update": {**ENTRY, "data_offsets": [0, 2**60]}}, VALUES.tobytes()
    ),
    "a header of 2^63 bytes": b"\xff" * 7 + b"\x7f" + b"{}",
    "too long": encode(VALUES, SPEC) + bytes(HEADER_ALLOWANCE_BYTES),
}


@pytest.mark.parametrize("payload", OTHER_FILES.values(), ids=OTHER_FILES)
def test_other_bytes_are_refused(payload: bytes) -> None:
    with pytest.raises(ValueError):
        decode(payload, SPEC)


def test_another_shape_is_not_encoded() -> None:
    with pytest.raises(ValueError, match="shape"):
        encode(np.zeros(5, np.float32), SPEC)


def test_a_running_sum_survives_the_store_bit_for_bit() -> None:
    total = np.array([0.1, -1e300, 5e-324])
    assert decode_sum(encode_sum(total)).tobytes() == total.tobytes()
    with pytest.raises(ValueError):
        decode_sum(b"1234567")


def test_an_optimisers_memory_survives_the_store_bit_for_bit() -> None:
    state = OptimiserState(steps=7, first=np.array([0.1, 0.2]), second=np.array([1e-300, 3.0]))
    again = decode_optimiser(encode_optimiser(state))
    assert again.steps == 7
    assert again.first.tobytes() == state.first.tobytes()
    assert again.second.tobytes() == state.second.tobytes()
    for other in (b"", encode(VALUES, SPEC)):
        with pytest.raises(ValueError, match="optimiser"):
            decode_optimiser(other)
