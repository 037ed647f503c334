"""Epsilon against published values, other accountants and itself."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from scipy import optimize, stats

from fedtrace.privacy.accounting import (
    GaussianEvent,
    attack_bound,
    calibrate_noise,
    epsilon,
    epsilon_rdp,
    epsilon_sentence,
    merged,
)

DELTA = 1e-5


def event(noise_multiplier: float, sampling_rate: float = 1.0, count: int = 1) -> GaussianEvent:
    return GaussianEvent(
        noise_multiplier=noise_multiplier, sampling_rate=sampling_rate, count=count
    )


def exact_gaussian_epsilon(noise_multiplier: float, count: int) -> float:
    """Balle and Wang 2018, theorem 8: the Gaussian mechanism's exact trade-off; k releases are
    one of z / sqrt(k)."""
    z = noise_multiplier / math.sqrt(count)

    def excess(eps: float) -> float:
        second = stats.norm.cdf(-1 / (2 * z) - eps * z)
        return float(stats.norm.cdf(1 / (2 * z) - eps * z) - math.exp(eps) * second - DELTA)

    return float(optimize.brentq(excess, 0, 200))


@pytest.mark.parametrize(("count", "golden"), [(1, 4.7285), (2, 7.0774), (3, 9.0100)])
def test_renyi_reference_values(count: int, golden: float) -> None:
    assert epsilon_rdp([event(1.0, count=count)], DELTA) == pytest.approx(golden, abs=5e-5)


@pytest.mark.parametrize("count", [1, 2, 3, 20])
@pytest.mark.parametrize("noise_multiplier", [1.0, 3.0])
def test_unsampled_releases_cost_the_exact_epsilon_from_above(
    noise_multiplier: float, count: int
) -> None:
    exact = exact_gaussian_epsilon(noise_multiplier, count)
    ours = epsilon([event(noise_multiplier, count=count)], DELTA)
    assert exact - 1e-6 <= ours <= exact + 2e-3


@pytest.mark.parametrize(
    ("z", "q", "count"), [(1.0, 0.01, 1000), (2.0, 0.1, 100), (1.0, 0.5, 3), (5.0, 1.0, 100)]
)
def test_privacy_loss_distribution_stays_just_below_renyi(z: float, q: float, count: int) -> None:
    pld = epsilon([event(z, q, count)], DELTA)
    rdp = epsilon_rdp([event(z, q, count)], DELTA)
    assert 0.75 * rdp < pld < rdp


def test_a_thousand_rounds_take_under_two_seconds() -> None:
    events = [event(1.1, 0.05) for _ in range(1000)]
    start = time.perf_counter()
    split = epsilon(events, DELTA)
    assert time.perf_counter() - start < 2
    assert split == epsilon([event(1.1, 0.05, 1000)], DELTA)


def test_equal_events_are_merged_in_any_order() -> None:
    assert merged([event(2, 1), event(1, 1), event(2, 1, 3), event(1, 0.5, 0)]) == (
        event(1, 1),
        event(2, 1, 4),
    )
    forth = [event(1.5, 0.2, 7), event(3.0)]
    assert epsilon(forth, DELTA) == epsilon(forth[::-1], DELTA)


def test_any_object_with_the_three_fields_is_an_event() -> None:
    @dataclass(frozen=True)
    class LedgerEvent:
        plan_digest: str
        noise_multiplier: float
        sampling_rate: float
        count: int

    assert epsilon([LedgerEvent("sha256:0", 1.0, 1.0, 1)], DELTA) == epsilon([event(1.0)], DELTA)


def test_nothing_costs_nothing_and_no_noise_costs_everything() -> None:
    assert epsilon([], DELTA) == 0
    assert epsilon([event(1.0, count=0), event(0.0, sampling_rate=0.0)], DELTA) == 0
    assert epsilon([event(5.0), event(0.0)], DELTA) == math.inf
    assert epsilon_rdp([event(0.0)], DELTA) == math.inf


def test_epsilon_grows_with_every_event_also_past_the_limit_of_the_fine_accountant() -> None:
    values = [epsilon([event(0.5, 1.0, count)], DELTA) for count in (1, 20, 200)]
    assert values == sorted(values)
    assert values[-1] > 300


@pytest.mark.parametrize(
    ("events", "delta", "sentence"),
    [
        ([event(-1.0)], DELTA, "noise multiplier"),
        ([event(math.nan)], DELTA, "noise multiplier"),
        ([event(1.0, 1.5)], DELTA, "sampling rate"),
        ([event(1.0, 1.0, -1)], DELTA, "at least 0 times"),
        ([event(1.0)], 0.0, "delta"),
        ([event(1.0)], 1.0, "delta"),
        ([], math.nan, "delta"),
    ],
)
def test_accounting_refuses(events: list[GaussianEvent], delta: float, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        epsilon(events, delta)


@pytest.mark.parametrize(
    ("target", "q", "rounds"), [(0.5, 1.0, 100), (1.0, 0.1, 50), (8.0, 1.0, 10)]
)
def test_calibration_ends_on_the_safe_side_and_close(target: float, q: float, rounds: int) -> None:
    z = calibrate_noise(target_epsilon=target, delta=DELTA, sampling_rate=q, rounds=rounds)
    assert epsilon([event(z, q, rounds)], DELTA) <= target
    assert epsilon([event(z * 0.998, q, rounds)], DELTA) > target


def test_calibration_leaves_room_for_the_other_releases() -> None:
    extra = [event(4.0, count=2)]
    z = calibrate_noise(target_epsilon=3.0, delta=DELTA, sampling_rate=1.0, rounds=10, extra=extra)
    assert 2.9 < epsilon([*extra, event(z, count=10)], DELTA) <= 3.0


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"target_epsilon": 0.0}, "target epsilon"),
        ({"target_epsilon": math.inf}, "target epsilon"),
        ({"rounds": 0}, "at least 1 round"),
        ({"sampling_rate": 0.0}, "sampling rate"),
        ({"extra": [event(0.5)]}, "already spend"),
        ({"extra": [event(0.0)]}, "already spend"),
    ],
)
def test_calibration_refuses(change: dict[str, Any], sentence: str) -> None:
    arguments: dict[str, Any] = {
        "target_epsilon": 2.0,
        "delta": DELTA,
        "sampling_rate": 1.0,
        "rounds": 3,
    }
    with pytest.raises(ValueError, match=sentence):
        calibrate_noise(**(arguments | change))


def test_calibration_gives_up_where_the_rest_leaves_nothing() -> None:
    extra = [event(4.0, count=2)]
    barely = epsilon(extra, DELTA) * (1 + 1e-12)
    with pytest.raises(ValueError, match="leave too little"):
        calibrate_noise(
            target_epsilon=barely, delta=DELTA, sampling_rate=1.0, rounds=10, extra=extra
        )


@pytest.mark.parametrize(
    ("eps", "caught"), [(0.0, 0.01), (1.0, 0.027), (2.0, 0.074), (4.0, 0.546), (8.0, 1.0)]
)
def test_attack_bound_at_one_percent_false_alarms(eps: float, caught: float) -> None:
    assert attack_bound(eps, DELTA, 0.01) == pytest.approx(caught, abs=6e-4)


def test_attack_bound_at_its_edges() -> None:
    assert attack_bound(math.inf, DELTA, 0.01) == 1
    assert attack_bound(1e6, DELTA, 0.01) == 1
    assert attack_bound(5.0, DELTA, 0.0) == DELTA
    for eps, delta, rate in [
        (-1.0, 0.0, 0.1),
        (math.nan, 0.0, 0.1),
        (1.0, 2.0, 0.1),
        (1.0, 0.0, -1),
    ]:
        with pytest.raises(ValueError):
            attack_bound(eps, delta, rate)


def test_the_sentence_names_unit_adjacency_delta_and_trust_mode() -> None:
    sentence = epsilon_sentence(2.0, DELTA, trust_mode="local")
    for word in ("Epsilon 2.00", "one student", "add or remove one", "1e-05", "local", "7.4 %"):
        assert word in sentence
    assert "100 % of the time" in epsilon_sentence(8.0, DELTA, trust_mode="local")
    assert "No differential privacy" in epsilon_sentence(math.inf, DELTA, trust_mode="local")
    assert "anonym" not in sentence


def test_the_exact_epsilon_of_the_test_is_itself_right() -> None:
    """z=1, one release, delta=1e-5: 4.3772 (Balle and Wang's analytic Gaussian mechanism)."""
    assert exact_gaussian_epsilon(1.0, 1) == pytest.approx(4.3772, abs=1e-3)
    assert np.isfinite(exact_gaussian_epsilon(1.0, 20))
