"""What is spent stays spent, and an unknown epsilon is over every budget."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from functools import partial
from typing import Any

import pytest
from support.gate import linear_epsilon, plan_with

from fedtrace.governance.ledger import (
    LedgerEntry,
    PrivacyEvent,
    job_events,
    may_move_the_year,
    spent,
    spent_by_plan,
    student_year,
    would_exceed,
)

EVENT = PrivacyEvent(
    plan_digest="sha256:" + "a" * 64,
    run_id="run-1",
    round=1,
    kind="train",
    noise_multiplier=1.5,
    sampling_rate=0.3,
    count=1,
    trust_mode="local",
    student_year="2026/27",
)


def test_reserved_committed_and_abandoned_all_count() -> None:
    reserved = LedgerEntry(event=EVENT)
    entries = (reserved, reserved.committed(), reserved.abandoned())
    assert len(spent(entries, "2026/27")) == 3
    assert len(spent_by_plan(entries, EVENT.plan_digest)) == 3


def test_another_year_and_another_plan_do_not_count() -> None:
    entries = (
        LedgerEntry(event=replace(EVENT, student_year="2025/26")),
        LedgerEntry(event=replace(EVENT, plan_digest="sha256:" + "b" * 64)),
    )
    assert len(spent(entries, "2026/27")) == 1
    assert len(spent_by_plan(entries, EVENT.plan_digest)) == 1


def test_an_entry_closes_once() -> None:
    committed = LedgerEntry(event=EVENT).committed()
    assert committed.state == "committed"
    for again in (committed.committed, committed.abandoned):
        with pytest.raises(ValueError, match="only a reserved one"):
            again()


@pytest.mark.parametrize(
    "changes",
    [
        {"noise_multiplier": -1.0},
        {"noise_multiplier": float("nan")},
        {"noise_multiplier": float("inf")},
        {"sampling_rate": 0.0},
        {"sampling_rate": 1.01},
        {"sampling_rate": float("nan")},
        {"count": 0},
        {"round": 0},
        {"kind": "guess"},
        {"trust_mode": "blind"},
        {"student_year": "2026"},
    ],
)
def test_an_event_that_would_be_accounted_wrongly_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        replace(EVENT, **changes)


def test_an_unknown_state_is_refused() -> None:
    with pytest.raises(ValueError, match="not released"):
        LedgerEntry(event=EVENT, state="released")  # type: ignore[arg-type]


def test_a_budget_may_be_reached_and_not_passed() -> None:
    exceeds = partial(would_exceed, delta=1e-5, epsilon=lambda events, _: 0.5 * len(events))
    assert not exceeds([EVENT], [EVENT], budget_epsilon=1.0)
    assert exceeds([EVENT, EVENT], [EVENT], budget_epsilon=1.0)


@pytest.mark.parametrize("epsilon", [float("inf"), float("nan")])
def test_an_epsilon_that_is_no_number_is_over_every_budget(epsilon: float) -> None:
    assert would_exceed([], [EVENT], budget_epsilon=1e9, delta=1e-5, epsilon=lambda *_: epsilon)


def test_an_event_without_noise_is_over_every_budget() -> None:
    bare = replace(EVENT, noise_multiplier=0.0)
    assert would_exceed([], [bare], budget_epsilon=1e9, delta=1e-5, epsilon=linear_epsilon)


def test_the_rest_of_a_job_is_its_rounds_and_the_evaluation() -> None:
    plan = plan_with()

    def rest(first_round: int) -> list[tuple[str, int, int]]:
        events = job_events(
            plan, plan_digest=plan.digest(), run_id="r", first_round=first_round, year="2026/27"
        )
        return [(event.kind, event.round, event.count) for event in events]

    assert rest(1) == [("train", 1, 20), ("evaluate", 21, 1)]
    assert rest(20) == [("train", 20, 1), ("evaluate", 21, 1)]
    assert rest(21) == [("evaluate", 21, 1)]


@pytest.mark.parametrize(
    ("moment", "year"),
    [
        (datetime(2026, 8, 1, tzinfo=UTC), "2026/27"),
        (datetime(2026, 7, 31, 23, 59, tzinfo=UTC), "2025/26"),
        (datetime(2099, 12, 31, tzinfo=UTC), "2099/00"),
        (datetime(2026, 7, 31, 23, 59, tzinfo=timezone(timedelta(hours=-5))), "2025/26"),
    ],
)
def test_a_student_year_starts_in_its_first_month(moment: datetime, year: str) -> None:
    assert student_year(moment, 8) == year


def test_a_student_year_needs_a_time_zone_and_a_month() -> None:
    with pytest.raises(ValueError, match="time zone"):
        student_year(datetime(2026, 8, 1), 8)  # noqa: DTZ001
    with pytest.raises(ValueError, match="1 to 12, not 13"):
        student_year(datetime(2026, 8, 1, tzinfo=UTC), 13)


@pytest.mark.parametrize(
    ("before", "after", "now", "allowed"),
    [
        (8, 8, datetime(2026, 11, 1, tzinfo=UTC), True),
        (8, 12, datetime(2026, 11, 1, tzinfo=UTC), False),  # would be 2025/26 again
        (8, 9, datetime(2026, 11, 1, tzinfo=UTC), False),  # the year that runs has entries
        (12, 8, datetime(2027, 9, 1, tzinfo=UTC), False),  # 2026/27 still runs until December
        (8, 12, datetime(2027, 8, 2, tzinfo=UTC), True),  # a new year: 2026/27 counts on
        (None, 12, datetime(2026, 11, 1, tzinfo=UTC), False),
        (None, 8, datetime(2026, 11, 1, tzinfo=UTC), True),
    ],
)
def test_moving_the_year_gives_no_budget_twice(
    before: int | None, after: int, now: datetime, allowed: bool
) -> None:
    entries = (LedgerEntry(event=EVENT).abandoned(),)
    assert may_move_the_year(entries, now, before=before, after=after) is allowed
    assert may_move_the_year((), now, before=before, after=after)
