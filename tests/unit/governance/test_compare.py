"""What a plan asks for beyond another, what weakens the promise first."""

from __future__ import annotations

from typing import Any, get_args

import pytest
from support.gate import plan_with

from fedtrace.governance.compare import _LESS, _MORE, _OTHER, Weight, differences

BEFORE = plan_with({})

DISTRIBUTED = {
    "privacy.trust_mode": "distributed",
    "schools.minimum_per_round": 3,
    "secure_sum": {"protocol": "fedtrace-secure-sum/1", "colluding": 0},
}


@pytest.mark.parametrize(
    ("change", "weight"),
    [
        ({"privacy.epsilon_job": 7.5}, "asks more"),
        ({"privacy.epsilon_job": 0.5}, "asks less"),
        ({"privacy.noise_multiplier": 0.25}, "asks more"),
        ({"privacy.noise_multiplier": 900.0}, "asks less"),
        ({"data.min_students": 1}, "asks more"),
        ({"legal_basis": "consent"}, "asks less"),
        ({"release.to": "public"}, "asks more"),
        ({"retention.model": "P30Y"}, "asks more"),
        ({"retention.log": "P1D"}, "asks more"),
        ({"oversight.may_stop": ["consortium"]}, "asks more"),
        ({"valid_until": "2027-07-01T00:00:00Z"}, "asks less"),
        ({"purpose": "mastery_reporting"}, "differs"),
        ({"aggregation.learning_rate": 0.123}, "differs"),
        ({"schools.members": ["school-1", "school-2"]}, "differs"),
    ],
    ids=lambda value: str(value),
)
def test_a_clause_asks_for_more_or_less(change: dict[str, Any], weight: Weight) -> None:
    (clause,) = change
    (found,) = differences(BEFORE, plan_with(change))
    assert (found.clause, found.weight) == (clause, weight)
    (back,) = differences(plan_with(change), BEFORE)
    opposite = {"asks more": "asks less", "asks less": "asks more", "differs": "differs"}
    assert back.weight == opposite[weight]
    assert str(found.clause) in found.sentence


def test_one_field_more_is_more() -> None:
    fields = [field.model_dump() for field in BEFORE.data.fields]
    fewer = plan_with({"data.fields": fields[:-1]})
    (found,) = differences(fewer, BEFORE)
    assert (found.clause, found.weight) == ("data.fields", "asks more")
    assert fields[-1]["name"] in found.sentence


def test_shared_noise_asks_for_trust_in_others() -> None:
    found = {each.clause: each.weight for each in differences(BEFORE, plan_with(DISTRIBUTED))}
    assert found["privacy.trust_mode"] == "asks more"
    assert found["secure_sum.colluding"] == "differs"  # a clause that the other does not have


def test_what_asks_for_more_comes_first() -> None:
    after = plan_with({"aggregation.learning_rate": 0.1, "privacy.delta": 1e-3, "rounds.count": 3})
    weights = [each.weight for each in differences(BEFORE, after)]
    assert weights == sorted(weights, key=get_args(Weight).index)
    assert weights[0] == "asks more"
    assert differences(BEFORE, BEFORE) == ()


def test_every_clause_with_a_direction_is_one_of_the_plan() -> None:
    plan = plan_with(DISTRIBUTED).model_dump(mode="json")
    for clause in (*_MORE, *_LESS, *_OTHER):
        section, _, name = clause.partition(".")
        assert section in plan, clause
        assert not name or name in plan[section], clause
