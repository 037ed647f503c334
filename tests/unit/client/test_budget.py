"""The remembered answer is always the exact one, and a job's rounds are paid for by one sum."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from unittest.mock import patch

import hypothesis.strategies as st
import pytest
from hypothesis import given
from support.thoroughness import examples

from fedtrace.client.budget import BudgetCheck
from fedtrace.governance.ledger import PrivacyEvent, would_exceed
from fedtrace.privacy.accounting import epsilon

DELTA = 1e-5
EVENT = PrivacyEvent(
    plan_digest="sha256:" + "a" * 64,
    run_id="run-1",
    round=1,
    kind="train",
    noise_multiplier=20.0,
    sampling_rate=1.0,
    count=1,
    trust_mode="local",
    student_year="2026/27",
)
EVALUATION = replace(EVENT, kind="evaluate", noise_multiplier=10.0)


class Accountant:
    """Costs that add up exactly, and how often they were asked for."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, events: Sequence[PrivacyEvent], delta: float) -> float:
        self.calls += 1
        if any(event.noise_multiplier == 0 for event in events):
            return math.inf
        return sum(event.count * event.sampling_rate / event.noise_multiplier for event in events)


@pytest.fixture
def accountant() -> Iterator[Accountant]:
    counting = Accountant()
    with patch("fedtrace.client.budget.epsilon", counting):
        yield counting


def rounds(count: int) -> PrivacyEvent:
    return replace(EVENT, count=count)


def asked(
    check: BudgetCheck, already: int, new: int, *, limit: float, delta: float = DELTA
) -> bool:
    before = [rounds(1)] * already
    return check(before, [rounds(new)], budget_epsilon=limit, delta=delta)


def test_the_limit_is_the_accountants_to_the_last_bit() -> None:
    spent = epsilon([rounds(3), EVALUATION], DELTA)
    below = math.nextafter(spent, 0)

    for already, new in (([], [rounds(3), EVALUATION]), ([rounds(1), EVALUATION], [rounds(2)])):
        assert not BudgetCheck()(already, new, budget_epsilon=spent, delta=DELTA)
        assert BudgetCheck()(already, new, budget_epsilon=below, delta=DELTA)


def test_one_release_more_than_fits_is_found_after_what_fits_was_remembered() -> None:
    check = BudgetCheck()
    limit = epsilon([rounds(3)], DELTA)

    assert not asked(check, 0, 3, limit=limit)
    assert asked(check, 3, 1, limit=limit)
    assert not asked(check, 2, 1, limit=limit)


def test_the_rounds_of_a_job_that_fits_cost_one_computation(accountant: Accountant) -> None:
    check = BudgetCheck()

    answers = [asked(check, done, 10 - done, limit=1.0) for done in range(10)]

    assert answers == [False] * 10
    assert accountant.calls == 1


def test_what_does_not_fit_is_computed_again_each_time(accountant: Accountant) -> None:
    check = BudgetCheck()

    assert [asked(check, 0, 100, limit=1.0) for _ in range(2)] == [True, True]
    assert accountant.calls == 2


def test_no_answer_serves_another_limit(accountant: Accountant) -> None:
    check = BudgetCheck()

    assert not asked(check, 0, 10, limit=1.0)
    assert asked(check, 0, 10, limit=0.4)
    assert not asked(check, 0, 10, limit=1.0, delta=1e-6)
    assert accountant.calls == 3


def test_other_noise_or_sampling_is_another_release(accountant: Accountant) -> None:
    check = BudgetCheck()
    assert not asked(check, 0, 5, limit=0.25)

    for less_noise in (0.5, 0.0):
        louder = replace(EVENT, noise_multiplier=less_noise)
        assert check([], [louder], budget_epsilon=0.25, delta=DELTA)
    assert not check([], [replace(EVENT, sampling_rate=0.5)], budget_epsilon=0.25, delta=DELTA)
    assert accountant.calls == 4


EVENTS = st.builds(
    lambda noise, rate, count: replace(
        EVENT, noise_multiplier=noise, sampling_rate=rate, count=count
    ),
    noise=st.sampled_from([0.0, 1.0, 4.0]),
    rate=st.sampled_from([0.25, 1.0]),
    count=st.integers(1, 6),
)
QUESTIONS = st.lists(
    st.tuples(
        st.lists(EVENTS, max_size=3), st.lists(EVENTS, max_size=2), st.sampled_from([1.0, 4.0])
    ),
    max_size=12,
)


@given(questions=QUESTIONS)
@examples(40)
def test_whatever_was_asked_before_the_answer_is_the_exact_one(
    questions: list[tuple[list[PrivacyEvent], list[PrivacyEvent], float]],
) -> None:
    exact = Accountant()
    with patch("fedtrace.client.budget.epsilon", exact):
        check = BudgetCheck()
        for already, new, limit in questions:
            assert check(already, new, budget_epsilon=limit, delta=DELTA) == would_exceed(
                already, new, budget_epsilon=limit, delta=DELTA, epsilon=exact
            )
