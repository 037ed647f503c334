"""Doubling steps against a loop."""

import numpy as np
import pytest
import torch

from fedtrace.models.scan import sums_before


@pytest.mark.parametrize("length", [0, 1, 2, 7, 8, 33])
def test_sums_are_those_of_a_loop_within_each_segment(length: int) -> None:
    rng = np.random.default_rng(length)
    values = rng.normal(size=(3, length, 2))
    decay = (1.0, 0.6)
    rank = np.tile(np.arange(length) % 5, (3, 1))  # a new segment after every 5 cells

    found = sums_before(torch.from_numpy(values), torch.from_numpy(rank), decay=decay).numpy()

    for row in range(3):
        total = np.zeros(2)
        for time in range(length):
            total = np.zeros(2) if rank[row, time] == 0 else total
            np.testing.assert_allclose(found[row, time], total, atol=1e-12)
            total = np.asarray(decay) * total + values[row, time]


def test_a_gradient_flows_to_earlier_values_only() -> None:
    values = torch.ones(1, 6, 1, requires_grad=True)

    sums_before(values, torch.arange(6)[None], decay=(0.5,))[0, 3].sum().backward()  # type: ignore[no-untyped-call]

    assert values.grad is not None
    assert values.grad.flatten().tolist() == [0.25, 0.5, 1, 0, 0, 0]
