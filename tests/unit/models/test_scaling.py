"""The public constants against the simulator that they come from."""

import torch

from fedtrace.models.history import history
from fedtrace.models.interactions import Interactions, to_batch
from fedtrace.models.scaling import COLUMNS, TYPICAL, scaled
from fedtrace.models.simulator import simulate_schools
from fedtrace.models.surprise import surprises


def test_constants_name_every_feature_in_order() -> None:
    assert tuple(TYPICAL) == COLUMNS


def test_simulated_students_have_about_mean_zero_and_the_common_spread() -> None:
    schools = simulate_schools(schools=8, students_per_school=60, skills=100, seed=0)
    batch = to_batch(Interactions.concatenate([school.interactions for school in schools]))
    right = torch.zeros(100).scatter_add_(0, batch.skills.flatten(), batch.correct.flatten())
    real = torch.arange(batch.skills.shape[1]) <= batch.predicted.sum(dim=1, keepdim=True)
    met = torch.zeros(100).scatter_add_(0, batch.skills.flatten(), real.float().flatten())
    expected = ((right + 1) / (met + 2))[batch.skills]

    found = scaled(torch.cat([history(batch), surprises(batch.correct, expected)], dim=2))
    judged = found[batch.predicted]

    assert (judged.mean(dim=0).abs() < 0.25).all()
    assert ((judged.std(dim=0) > 0.75) & (judged.std(dim=0) < 1.25)).all()
