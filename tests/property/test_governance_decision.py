"""Whatever is allowed lies in plan ∩ policy ∩ what the school can see; everything else is no."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from support.gate import (
    MODEL_DIGEST,
    NOW,
    OTHER_DIGEST,
    RECORD_DIGEST,
    SCHOOLS,
    SEEN,
    Scene,
    healthy_state,
    linear_epsilon,
    order_for,
    plan_with,
    policy_with,
)
from support.thoroughness import examples

from fedtrace.governance.facts import Allowed, AnsweredRound, Denied, Repeat
from fedtrace.governance.ledger import LedgerEntry, round_event, would_exceed
from fedtrace.governance.refusals import REFUSALS

INITIAL = plan_with().model.initial_parameters_digest


DEVIATIONS: tuple[tuple[str, str, Any], ...] = (
    ("plan", "purpose", "learning_research"),
    ("plan", "legal_basis", "consent"),
    ("plan", "valid_until", "2026-10-05T09:00:00Z"),
    ("plan", "data.max_sequence", 501),
    ("plan", "privacy.noise_multiplier", 0.0),
    ("plan", "privacy.noise_multiplier", 0.5),
    ("plan", "privacy.clipping_norm", 2.0),
    ("plan", "privacy.delta", 1e-3),
    ("plan", "privacy.epsilon_job", 0.4),
    ("plan", "privacy.epsilon_job", 100.0),
    ("policy", "purposes", []),
    ("policy", "min_students", 60),
    ("policy", "min_schools", 3),
    ("policy", "privacy.max_epsilon_job", 1.0),
    ("policy", "privacy.max_epsilon_student_year", 1.5),
    ("order", "kind", "evaluate"),
    ("order", "checkpoint_digest", OTHER_DIGEST),
    ("order", "checkpoint_digest", INITIAL),
    ("order", "previous_round_digest", None),
    ("order", "schools", SCHOOLS[:2]),
    ("order", "schools", SCHOOLS[1:]),
    ("order", "schools", ("school-1", "school-9")),
    ("order", "deadline", NOW),
    ("order", "deadline", NOW + timedelta(days=1)),
    ("state", "installed_fab_digest", OTHER_DIGEST),
    ("state", "kill_switch", True),
    ("state", "log_healthy", False),
    ("state", "free_bytes", 0),
    ("state", "eligible_students", 0),
    ("state", "eligible_students", 12),
    ("state", "log", replace(SEEN, closed_with=OTHER_DIGEST)),
    ("state", "log", replace(SEEN, witnessed=False, closed_with=MODEL_DIGEST)),
    ("state", "log", replace(SEEN, rolled_back=True, closed_with=MODEL_DIGEST)),
    ("state", "newest_record_at", NOW + timedelta(days=1)),
    ("checkpoint", "finite", False),
    ("checkpoint", "norm", float("nan")),
    ("checkpoint", "norm", 1e9),
    ("checkpoint", "shape", (59,)),
    ("scene", "plan_signers", SCHOOLS[:1]),
    ("scene", "plan_signers", SCHOOLS[1:]),
    ("scene", "order_signer", "school-1"),
)
"""(part, key, value): a way in which an order or its surroundings can differ; some are harmless."""

answered_rounds = st.none() | st.builds(
    AnsweredRound,
    round=st.integers(1, 22),
    kind=st.sampled_from(["train", "evaluate"]),
    order_digest=st.just(OTHER_DIGEST),
    checkpoint_digest=st.sampled_from([MODEL_DIGEST, OTHER_DIGEST]),
    reply_stored=st.booleans(),
    used_orders=st.just(frozenset()),
)


@examples(120)
@given(
    deviations=st.lists(st.sampled_from(DEVIATIONS), max_size=2),
    round_number=st.integers(2, 22) | st.just(1),
    last=answered_rounds,
    spent_rounds=st.integers(0, 30),
)
def test_nothing_outside_plan_and_policy_is_ever_allowed(
    deviations: list[tuple[str, str, Any]],
    round_number: int,
    last: AnsweredRound | None,
    spent_rounds: int,
) -> None:
    changed: dict[str, dict[str, Any]] = {
        "plan": {"privacy.epsilon_job": 2.5},
        "policy": {"privacy.max_epsilon_job": 3.0},
        "order": {
            "round": round_number,
            "checkpoint_digest": INITIAL if round_number == 1 else MODEL_DIGEST,
            "previous_round_digest": RECORD_DIGEST,
        },
        "state": {"last_round": last},
        "checkpoint": {},
        "scene": {},
    }
    for part, key, value in deviations:
        changed[part][key] = value
    plan, policy = plan_with(changed["plan"]), policy_with(changed["policy"])
    event = round_event(
        plan,
        plan_digest=plan.digest(),
        run_id="run-0",
        round_number=1,
        kind="train",
        year="2026/27",
    )
    ledger = (LedgerEntry(event=event),) * spent_rounds
    scene = Scene(
        plan=plan,
        policy=policy,
        order=changed["order"],
        state={**changed["state"], "ledger": ledger},
        checkpoint=changed["checkpoint"],
        exceeds=partial(would_exceed, epsilon=linear_epsilon),
        **changed["scene"],
    )
    decision = scene.decide()
    if isinstance(decision, Denied):
        assert decision == scene.decide()  # nothing but the arguments decides
        assert decision.code in REFUSALS
        return
    assert isinstance(decision, Allowed)  # no stored order digest is this order's
    asked = order_for(plan, changed["order"])
    state = replace(healthy_state(plan), **scene.known_log(asked), **scene.state)

    # who
    assert scene.order_signer == "aggregator"
    assert len(scene.plan_signers) >= 2
    assert policy.school in scene.plan_signers
    # plan
    assert plan.valid_from <= NOW < plan.valid_until
    assert NOW < asked.deadline <= NOW + timedelta(seconds=600 + 300)
    assert asked.round <= 20 + (asked.kind == "evaluate")
    assert set(asked.schools) <= set(plan.schools.members)
    assert len(asked.schools) >= max(plan.schools.minimum_per_round, policy.min_schools)
    assert policy.school in asked.schools
    # policy
    assert plan.purpose in policy.purposes
    assert plan.data.max_sequence <= policy.max_sequence
    assert plan.privacy.trust_mode == "local"
    assert decision.event.noise_multiplier >= policy.privacy.min_noise_multiplier
    assert plan.privacy.clipping_norm <= policy.privacy.max_clipping_norm
    assert plan.privacy.delta <= policy.privacy.max_delta
    # the school
    assert not state.kill_switch
    assert state.log_healthy
    assert state.newest_record_at is None
    assert state.free_bytes >= policy.min_free_bytes
    assert state.eligible_students >= max(plan.data.min_students, policy.min_students)
    assert state.installed_fab_digest == plan.app.fab_digest
    # the counter
    if last is not None:
        assert asked.round >= last.round
        assert asked.round > last.round or asked.checkpoint_digest == last.checkpoint_digest
    # the model
    assert changed["checkpoint"] == {}
    assert asked.round > 1 or asked.checkpoint_digest == INITIAL
    assert asked.kind == "evaluate" or asked.checkpoint_digest == (state.log.closed_with or INITIAL)
    # the log
    assert state.log.witnessed
    assert not state.log.rolled_back
    # the budget, with what this answer adds
    total = linear_epsilon([event] * spent_rounds + [decision.event], 1e-5)
    assert total <= min(plan.privacy.epsilon_job, policy.privacy.max_epsilon_job)
    assert total <= min(plan.privacy.epsilon_student_year, policy.privacy.max_epsilon_student_year)


@examples(40)
@given(round_number=st.integers(2, 20), last=st.integers(1, 22), stored=st.booleans())
def test_only_the_very_same_order_is_repeated(round_number: int, last: int, stored: bool) -> None:
    changes = {
        "round": round_number,
        "checkpoint_digest": MODEL_DIGEST,
        "previous_round_digest": RECORD_DIGEST,
    }
    order = order_for(plan_with(), changes)
    for digest in (order.digest(), OTHER_DIGEST):
        answered = AnsweredRound(
            round=last,
            kind="train",
            order_digest=digest,
            checkpoint_digest=OTHER_DIGEST,
            reply_stored=stored,
            used_orders=frozenset(),
        )
        decision = Scene(order=changes, state={"last_round": answered}).decide()
        assert isinstance(decision, Repeat) == (stored and digest == order.digest())
