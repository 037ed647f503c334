"""To answer a round or to refuse it: one check after the other, each with its code.

What may happen is plan ∩ school policy ∩ consent. `admit` believes nothing and asks who sent the
order; `decide` then asks everything else. Cheap checks run first and the accountant last; the
first check that fails decides. Both are pure and total: whatever goes wrong inside is a refusal.

The counter. Rounds of a plan only rise, whatever run they belong to, so an aggregator that died
goes on where it stopped. A round that this school has answered is asked for again in two cases:

* the same order, byte for byte (the answer was lost on the way): `Repeat`, the stored answer goes
  out again, nothing is trained and nothing spent;
* a new order for the newest answered round, with the very same model (the aggregator lost the
  answer, or this school crashed before it had one): `Allowed`, as one more release that is
  paid for like any other. The budget bounds how often, and at its end the answer is R11.

Anything else about an answered round is R10: above all an order that was answered once and has
been replaced since, whose masks are used up.
"""

from __future__ import annotations

from datetime import datetime

from fedtrace.governance.checks import ABOUT_A_NEW_ANSWER, ABOUT_EVERY_ORDER, Question
from fedtrace.governance.errors import Rejected
from fedtrace.governance.facts import (
    Allowed,
    CheckpointFacts,
    Decision,
    Denied,
    Repeat,
    Rules,
    SchoolState,
)
from fedtrace.governance.ledger import (
    Exceeds,
    PrivacyEvent,
    job_events,
    round_event,
    spent,
    spent_by_plan,
    student_year,
)
from fedtrace.governance.orders import SignedOrder, open_order
from fedtrace.governance.plan_signing import SignedPlan
from fedtrace.governance.refusals import RefusalCode, Refused
from fedtrace.governance.signing import SignatureError

UNDECIDED = "node.decision"
"""The clause of a refusal that no check asked for: something failed while deciding."""


def admit(order_envelope: bytes, rules: Rules) -> SignedOrder | Denied:
    """Is this an order, and did the aggregator sign it? Until here the bytes may be anybody's.

    R09: the signature is not the aggregator's. R14: signed, but not an order as defined here.

    Args:
        order_envelope: DSSE bytes as they came.
        rules: whose aggregator counts.
    """
    try:
        return open_order(order_envelope, rules.charter.aggregator.public_key)
    except SignatureError:
        return Denied.by(RefusalCode.R09)
    except Rejected:
        return Denied.by(RefusalCode.R14)
    except Exception:  # noqa: BLE001 - fail closed
        return Denied.by(RefusalCode.R20, UNDECIDED)


def decide(
    signed_order: SignedOrder,
    checkpoint: CheckpointFacts,
    *,
    rules: Rules,
    plan: SignedPlan | None,
    state: SchoolState,
    exceeds: Exceeds,
    now: datetime,
) -> Decision:
    """May this school answer this order?

    Args:
        signed_order: from `admit`.
        checkpoint: what came with the order.
        rules: charter and policy.
        plan: the plan that the order names, from `open_plan`; None where the school has none.
        state: what the school's disk says.
        exceeds: the accountant's question; asked last, because it is expensive.
        now: with a time zone.
    """
    question = Question(
        order=signed_order.order,
        order_digest=signed_order.digest,
        checkpoint=checkpoint,
        charter=rules.charter,
        policy=rules.policy,
        signed=plan,
        state=state,
        now=now,
    )
    try:
        for require in ABOUT_EVERY_ORDER:
            require(question)
        if _is_repeat(question):
            return Repeat(order=signed_order.order, order_digest=signed_order.digest)
        for require in ABOUT_A_NEW_ANSWER:
            require(question)
        event = _require_budget(question, exceeds)
        return Allowed(order=signed_order.order, order_digest=signed_order.digest, event=event)
    except Refused as refused:
        return Denied.by(refused.code, refused.clause)
    except Exception:  # noqa: BLE001 - fail closed
        return Denied.by(RefusalCode.R20, UNDECIDED)


def decide_stage(
    signed_order: SignedOrder,
    *,
    rules: Rules,
    plan: SignedPlan | None,
    state: SchoolState,
    now: datetime,
) -> Denied | None:
    """May this school go on with a stage of a secure sum that reads no record and spends nothing?

    Everything that holds for every order holds here too; None where nothing is against it.

    Args:
        signed_order: from `admit`.
        rules: charter and policy.
        plan: the plan that the order names.
        state: what the school's disk says.
        now: with a time zone.
    """
    order = signed_order.order
    question = Question(
        order=order,
        order_digest=signed_order.digest,
        checkpoint=CheckpointFacts.unreadable(order.checkpoint_digest),
        charter=rules.charter,
        policy=rules.policy,
        signed=plan,
        state=state,
        now=now,
    )
    try:
        for require in ABOUT_EVERY_ORDER:
            require(question)
        if question.plan.secure_sum is None:
            raise Refused(RefusalCode.R22)
    except Refused as refused:
        return Denied.by(refused.code, refused.clause)
    except Exception:  # noqa: BLE001 - fail closed
        return Denied.by(RefusalCode.R20, UNDECIDED)
    return None


def _is_repeat(question: Question) -> bool:
    last = question.state.last_round
    return last is not None and last.reply_stored and last.order_digest == question.order_digest


def _require_budget(question: Question, exceeds: Exceeds) -> PrivacyEvent:
    """R11: neither the job's nor the student-year's epsilon may be passed.

    A school that has not yet answered this plan asks about the whole rest of the job, so that no
    job starts that cannot end; afterwards about the one round. Of two limits the smaller binds.
    A student-year that was promised under another plan this year stays as it was promised.

    Returns:
        What this round costs.
    """
    order, plan, policy, state = (
        question.order,
        question.plan,
        question.policy,
        question.state,
    )
    year = student_year(question.now, policy.student_year_first_month)
    event = round_event(
        plan,
        plan_digest=order.plan_digest,
        run_id=order.run_id,
        round_number=order.round,
        kind=order.kind,
        year=year,
    )
    new_events: tuple[PrivacyEvent, ...] = (event,)
    if state.last_round is None and order.kind == "train":
        new_events = job_events(
            plan,
            plan_digest=order.plan_digest,
            run_id=order.run_id,
            first_round=order.round,
            year=year,
        )
    budgets = (
        (
            spent_by_plan(state.ledger, order.plan_digest),
            (plan.privacy.epsilon_job, "plan.privacy.epsilon_job"),
            (policy.privacy.max_epsilon_job, "policy.privacy.max_epsilon_job"),
        ),
        (
            spent(state.ledger, year),
            (plan.privacy.epsilon_student_year, "plan.privacy.epsilon_student_year"),
            (
                policy.privacy.max_epsilon_student_year,
                "policy.privacy.max_epsilon_student_year",
            ),
        ),
    )
    for already, plan_limit, policy_limit in budgets:
        limit, clause = min(plan_limit, policy_limit)
        if exceeds(already, new_events, budget_epsilon=limit, delta=plan.privacy.delta):
            raise Refused(RefusalCode.R11, clause)
    for promised, delta in sorted(state.promises):
        if exceeds(spent(state.ledger, year), new_events, budget_epsilon=promised, delta=delta):
            raise Refused(RefusalCode.R11, "earlier_plan.privacy.epsilon_student_year")
    return event
