"""The budget is asked before anyone is, and at its end the job ends in order."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from support.scripted_schools import World, build_world, cheap_epsilon, counting_entropy

from fedtrace.governance.ledger import PrivacyEvent
from fedtrace.server.accounting import remembering
from fedtrace.server.consortium import open_consortium
from fedtrace.server.outcome import JobOutcome
from fedtrace.server.round import run_job


def run(world: World, price: float) -> tuple[JobOutcome, int, list[tuple[int, str]]]:
    """A job whose every release costs ``price`` of its 8; also how often epsilon was computed."""
    asked = 0

    def accountant(events: Sequence[PrivacyEvent], delta: float) -> float:
        nonlocal asked
        asked += 1
        return price * 10 * cheap_epsilon(events, delta)

    transport = world.transport()
    with closing(
        open_consortium(world.home, accountant=accountant, entropy=counting_entropy())
    ) as consortium:
        outcome = run_job(
            consortium, world.plan_digest, transport, world.clock, progress=lambda event: None
        )
    return outcome, asked, transport.asked


def test_a_job_that_fits_is_computed_once(tmp_path: Path) -> None:
    outcome, computed, _ = run(build_world(tmp_path / "home", rounds=7), price=1.0)
    assert outcome.reason == "completed"
    assert outcome.epsilon == 8.0
    assert computed == 1


def test_the_job_ends_in_order_when_the_next_round_would_not_leave_enough_to_evaluate(
    tmp_path: Path,
) -> None:
    outcome, _, asked = run(build_world(tmp_path / "home", rounds=7), price=1.9)
    assert outcome.reason == "budget_exhausted"
    assert [r.closed for r in outcome.rounds] == [True, True, True]
    assert outcome.evaluation is not None
    assert outcome.epsilon <= 8
    assert outcome.model_path is not None
    assert max(number for number, _ in asked) == 4  # the evaluation


def test_a_job_that_cannot_afford_a_round_asks_nobody(tmp_path: Path) -> None:
    outcome, _, asked = run(build_world(tmp_path / "home"), price=100.0)
    assert outcome.reason == "budget_exhausted"
    assert asked == []
    assert outcome.rounds == ()
    assert outcome.model_path is None
    assert outcome.epsilon == 0


def test_no_noise_is_never_affordable(tmp_path: Path) -> None:
    outcome, _, asked = run(build_world(tmp_path / "home"), price=float("inf"))
    assert outcome.reason == "budget_exhausted"
    assert asked == []


def test_an_epsilon_is_computed_once(tmp_path: Path) -> None:
    calls: list[int] = []

    def accountant(events: Sequence[PrivacyEvent], delta: float) -> float:
        calls.append(len(events))
        return float(len(events))

    event = PrivacyEvent(
        plan_digest="sha256:" + "0" * 64,
        run_id="run-1",
        round=1,
        kind="train",
        noise_multiplier=1.0,
        sampling_rate=0.5,
        count=1,
        trust_mode="local",
        student_year="2026/27",
    )
    ask = remembering(accountant)
    assert [ask([event], 1e-5), ask([event], 1e-5), ask([event], 1e-6)] == [1.0, 1.0, 1.0]
    assert ask([event, event], 1e-5) == 2.0
    assert calls == [1, 1, 2]
