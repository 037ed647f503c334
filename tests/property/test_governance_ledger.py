"""However reservations, commits, abandonments and crashes interleave, nothing spent is lost."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st
from support.gate import linear_epsilon

from fedtrace.governance.ledger import LedgerEntry, PrivacyEvent, spent, spent_by_plan, would_exceed

EVENT = PrivacyEvent(
    plan_digest="sha256:" + "a" * 64,
    run_id="run-1",
    round=1,
    kind="train",
    noise_multiplier=2.0,
    sampling_rate=0.5,
    count=1,
    trust_mode="local",
    student_year="2026/27",
)
PLANS = ("sha256:" + "a" * 64, "sha256:" + "b" * 64)
YEARS = ("2026/27", "2027/28")

steps = st.lists(
    st.one_of(
        st.tuples(
            st.just("reserve"), st.sampled_from(PLANS), st.sampled_from(YEARS), st.integers(1, 3)
        ),
        st.tuples(st.sampled_from(["commit", "abandon"]), st.integers(0, 30)),
    ),
    max_size=30,
)


def play(steps: list[tuple[object, ...]]) -> list[tuple[LedgerEntry, ...]]:
    """The ledger after each step; closing an entry that is not open changes nothing."""
    entries: tuple[LedgerEntry, ...] = ()
    history = [entries]
    for step in steps:
        match step:
            case ("reserve", str(plan), str(year), int(count)):
                event = replace(EVENT, plan_digest=plan, student_year=year, count=count)
                entries = (*entries, LedgerEntry(event=event))
            case (str(verb), int(index)) if index < len(entries):
                entry = entries[index]
                if entry.state == "reserved":
                    closed = entry.committed() if verb == "commit" else entry.abandoned()
                    entries = (*entries[:index], closed, *entries[index + 1 :])
        history.append(entries)
    return history


@settings(max_examples=30)
@given(steps)
def test_what_is_spent_never_shrinks(steps: list[tuple[object, ...]]) -> None:
    history = play(steps)
    for before, after in pairwise(history):
        for year in YEARS:
            assert spent(after, year)[: len(spent(before, year))] == spent(before, year)
        for plan in PLANS:
            earlier = spent_by_plan(before, plan)
            assert spent_by_plan(after, plan)[: len(earlier)] == earlier


@settings(max_examples=30)
@given(steps)
def test_every_reservation_is_counted_once_in_its_year_and_once_in_its_plan(
    steps: list[tuple[object, ...]],
) -> None:
    entries = play(steps)[-1]
    reserved = sum(1 for step in steps if step[0] == "reserve")
    assert sum(len(spent(entries, year)) for year in YEARS) == reserved
    assert sum(len(spent_by_plan(entries, plan)) for plan in PLANS) == reserved


@settings(max_examples=30)
@given(steps, st.floats(0.1, 5.0))
def test_a_school_that_asks_before_it_reserves_never_passes_its_budget(
    steps: list[tuple[object, ...]], budget: float
) -> None:
    kept: list[tuple[object, ...]] = []
    for step in steps:
        entries = play(kept)[-1]
        if step[0] == "reserve":
            event = replace(EVENT, student_year=str(step[2]), count=int(str(step[3])))
            already = spent(entries, event.student_year)
            if would_exceed(
                already, [event], budget_epsilon=budget, delta=1e-5, epsilon=linear_epsilon
            ):
                continue
        kept.append(step)
    for year in YEARS:
        assert linear_epsilon(spent(play(kept)[-1], year), 1e-5) <= budget
