"""Sums, public denominators, each optimiser against a trajectory computed by hand, averaging."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import pytest
from support.scripted_schools import make_plan

from fedtrace.server.aggregation import (
    OptimiserState,
    RunningSum,
    ServerOptimiser,
    averaged,
    norm_bound,
    public_denominator,
)

UPDATES = (np.array([1.0, -2.0]), np.array([0.5, 0.0]), np.array([-1.0, 4.0]))


def trajectory(optimiser: ServerOptimiser) -> list[list[float]]:
    parameters, state = np.array([0.0, 1.0], dtype=np.float32), OptimiserState.fresh(2)
    points = []
    for update in UPDATES:
        parameters, state = optimiser.step(parameters, update, state)
        points.append([float(value) for value in parameters])
    return points


def test_sgd_adds_the_update_times_the_rate() -> None:
    points = trajectory(ServerOptimiser(rule="sgd", learning_rate=0.5))
    assert points == [[0.5, 0.0], [0.75, 0.0], [0.25, 2.0]]


def test_momentum_keeps_half_of_its_velocity() -> None:
    # v: (1, -2), then (1, -1), then (-.5, 3.5); p moves by half of each
    points = trajectory(ServerOptimiser(rule="momentum", learning_rate=0.5, momentum=0.5))
    assert points == [[0.5, 0.0], [1.0, -0.5], [0.75, 1.25]]


def test_adam_by_hand() -> None:
    # beta 1 = beta 2 = 1/2, no stability. Per coordinate, with bias correction:
    # m: 1/2, 1/2, -1/4  -> 1, 2/3, -2/7;  v: 1/2, 3/8, 11/16 -> 1, 1/2, 11/14
    # m: -1, -1/2, 7/4   -> -2, -2/3, 2;   v: 2, 1, 17/2      -> 4, 4/3, 68/7
    first = [1.0, (2 / 3) / math.sqrt(1 / 2), (-2 / 7) / math.sqrt(11 / 14)]
    second = [-1.0, (-2 / 3) / math.sqrt(4 / 3), 2 / math.sqrt(68 / 7)]
    optimiser = ServerOptimiser(
        rule="adam", learning_rate=0.1, momentum=0.5, second_momentum=0.5, stability=0.0
    )
    expected = np.array([0.0, 1.0]) + 0.1 * np.cumsum([first, second], axis=1).T
    np.testing.assert_allclose(trajectory(optimiser), expected, rtol=1e-6)


@pytest.mark.parametrize("rule", ["sgd", "momentum", "adam"])
def test_a_step_factor_stretches_its_own_parameters_alone(
    rule: Literal["sgd", "momentum", "adam"],
) -> None:
    usual = np.array(trajectory(ServerOptimiser(rule=rule, learning_rate=0.5)))
    factors = np.array([1.0, 3.0])
    longer = np.array(trajectory(ServerOptimiser(rule=rule, learning_rate=0.5, factors=factors)))
    start = np.array([0.0, 1.0])

    np.testing.assert_allclose(longer - start, factors * (usual - start), rtol=1e-6)


def test_a_plan_names_the_factors_by_stretches_and_they_hold_in_turn() -> None:
    stretches = (
        {"parameters": 2, "factors": (0.5,)},
        {"parameters": 4, "factors": (4.0, 1.0)},
    )
    plan = make_plan(("north", "south"), parameters=6, step_factors=stretches)

    factors = ServerOptimiser.of(plan.aggregation).factors

    assert factors is not None
    assert factors.tolist() == [0.5, 0.5, 4.0, 1.0, 4.0, 1.0]


def test_factors_of_another_model_move_nothing() -> None:
    optimiser = ServerOptimiser(rule="sgd", learning_rate=0.5, factors=np.ones(3))

    with pytest.raises(ValueError, match="3 step factors, 2 parameters"):
        trajectory(optimiser)


def test_adams_first_step_is_the_rate_whatever_the_size_of_the_update() -> None:
    for size in (1e-3, 1.0, 1e3):
        moved, _ = ServerOptimiser(rule="adam", learning_rate=0.25, stability=1e-12).step(
            np.zeros(1, np.float32), np.array([size]), OptimiserState.fresh(1)
        )
        assert moved[0] == pytest.approx(0.25)


def test_adam_stands_still_at_a_zero_update() -> None:
    moved, state = ServerOptimiser(rule="adam", learning_rate=1.0).step(
        np.ones(2, np.float32), np.zeros(2), OptimiserState.fresh(2)
    )
    assert list(moved) == [1.0, 1.0]
    assert state.steps == 1


def test_a_step_leaves_its_arguments_alone() -> None:
    parameters, update, state = np.ones(2, np.float32), np.ones(2), OptimiserState.fresh(2)
    for rule in ("sgd", "momentum", "adam"):
        ServerOptimiser(rule=rule, learning_rate=1.0).step(parameters, update, state)
    assert [*parameters, *update, *state.first, *state.second] == [1, 1, 1, 1, 0, 0, 0, 0]


def test_a_step_out_of_the_finite_numbers_is_refused() -> None:
    optimiser = ServerOptimiser(rule="sgd", learning_rate=1e6)
    with pytest.raises(ValueError, match="learning rate"):
        optimiser.step(np.zeros(1, np.float32), np.array([1e38]), OptimiserState.fresh(1))


def test_a_step_wants_one_shape() -> None:
    with pytest.raises(ValueError, match="one shape"):
        ServerOptimiser(rule="sgd", learning_rate=1.0).step(
            np.zeros(2, np.float32), np.zeros(3), OptimiserState.fresh(2)
        )


def test_the_sum_does_not_depend_on_the_order_of_updates_on_one_grid() -> None:
    rng = np.random.default_rng(0)
    updates = (rng.integers(-(2**22), 2**22, (50, 7)) * 2.0**-20).astype(np.float32)
    forwards, backwards = RunningSum(7), RunningSum(7)
    for update in updates:
        forwards.add(update)
    for update in updates[::-1]:
        backwards.add(update)
    assert forwards.total.tobytes() == backwards.total.tobytes()
    assert forwards.count == 50


@pytest.mark.parametrize("update", [np.zeros(3), np.array([np.nan, 0.0]), np.array([0.0, np.inf])])
def test_a_sum_takes_nothing_that_it_cannot_add(update: np.ndarray) -> None:
    running = RunningSum(2)
    with pytest.raises(ValueError):
        running.add(update)
    assert running.count == 0
    assert not running.total.any()


def test_the_denominator_is_public_and_shrinks_with_the_schools_that_answered() -> None:
    full = public_denominator(sampling_rate=0.5, planned_students=60, answered=3, members=3)
    most = public_denominator(sampling_rate=0.5, planned_students=60, answered=2, members=3)
    assert (full, most) == (30.0, 20.0)


@pytest.mark.parametrize(
    "change",
    [
        {"sampling_rate": 0.0},
        {"sampling_rate": 1.5},
        {"planned_students": 0},
        {"answered": 0},
        {"answered": 4},
    ],
)
def test_a_denominator_of_nothing_is_refused(change: dict[str, float]) -> None:
    numbers = {"sampling_rate": 0.5, "planned_students": 60, "answered": 3, "members": 3}
    with pytest.raises(ValueError):
        public_denominator(**(numbers | change))  # type: ignore[arg-type]


def test_the_released_model_is_the_mean_of_the_last_checkpoints() -> None:
    mean = averaged([np.array([0, 2], np.float32), np.array([1, 4], np.float32)])
    assert list(mean) == [0.5, 3.0]
    assert mean.dtype == np.float32
    with pytest.raises(ValueError, match="no checkpoint"):
        averaged([])


def test_honest_noise_stays_below_the_norm_bound() -> None:
    rng = np.random.default_rng(1)
    size, clipping_norm, noise_multiplier = 400, 0.1, 5.0
    bound = norm_bound(
        clipping_norm=clipping_norm,
        noise_multiplier=noise_multiplier,
        size=size,
        planned_students=10,
    )
    worst = clipping_norm * 10  # every student pushes in the direction of the noise
    noise = rng.normal(0, clipping_norm * noise_multiplier, (1000, size))
    assert (np.linalg.norm(noise, axis=1) + worst).max() < bound
    assert bound < 2 * (np.linalg.norm(noise, axis=1) + worst).min()
