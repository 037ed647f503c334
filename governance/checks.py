"""The checks of the gate, each with its code: they return nothing or raise `Refused`.

`ABOUT_EVERY_ORDER` holds for new answers and for repeated ones; `ABOUT_A_NEW_ANSWER` is what a
new training needs besides. Within both, cheap checks come first.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from fedtrace.governance.charter import Charter
from fedtrace.governance.facts import CheckpointFacts, SchoolState
from fedtrace.governance.orders import RoundOrder
from fedtrace.governance.plan import Plan
from fedtrace.governance.plan_signing import SignedPlan
from fedtrace.governance.policy import SchoolPolicy
from fedtrace.governance.refusals import RefusalCode, Refused
from fedtrace.governance.witnessing import require_log

CHECKPOINT_RMS_LIMIT = 1e3
"""Root mean square of a model's parameters; those of a trained model stay below 10."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """Everything that one decision looks at.

    Attributes:
        signed: the plan that the order names, or None where the school has none.
        now: with a time zone.
    """

    order: RoundOrder
    order_digest: str
    checkpoint: CheckpointFacts
    charter: Charter
    policy: SchoolPolicy
    signed: SignedPlan | None
    state: SchoolState
    now: datetime

    @property
    def plan(self) -> Plan:
        """The plan.

        Raises:
            Refused: R01, there is none.
        """
        if self.signed is None:
            raise Refused(RefusalCode.R01)
        return self.signed.plan


def require_training_not_stopped(question: Question) -> None:
    """R17: nobody at the school has stopped training."""
    if question.state.kill_switch:
        raise Refused(RefusalCode.R17)


def require_health(question: Question) -> None:
    """R20: there is a log to write to and room to write."""
    if not question.state.log_healthy:
        raise Refused(RefusalCode.R20, "node.log")
    if question.state.free_bytes < question.policy.min_free_bytes:
        raise Refused(RefusalCode.R20, "policy.min_free_bytes")


def require_quorum(question: Question) -> None:
    """R01: enough members signed exactly this plan, this school among them."""
    signed, members = question.signed, question.charter.member_keys()
    if signed is None or signed.digest != question.order.plan_digest:
        raise Refused(RefusalCode.R01, "order.plan_digest")
    if len(set(signed.signers) & set(members)) < question.charter.threshold:
        raise Refused(RefusalCode.R01, "charter.threshold")
    if question.policy.school not in signed.signers:
        raise Refused(RefusalCode.R01, "charter.members")


def require_not_revoked(question: Question) -> None:
    """R04: neither this school nor the consortium's members have taken the plan back."""
    if question.order.plan_digest in question.policy.revoked_plans:
        raise Refused(RefusalCode.R04, "policy.revoked_plans")
    if question.state.log.plan_revoked:
        raise Refused(RefusalCode.R04, "log.plan_revoked")


def require_clocks(question: Question) -> None:
    """R19: time has not run backwards here, and the aggregator's clock is not far ahead.

    A deadline is set ``deadline_seconds`` after the order was made, so one that is further away
    was made by a clock that is ahead of this one.
    """
    skew = timedelta(seconds=question.policy.max_clock_skew_seconds)
    newest = question.state.newest_record_at
    if newest is not None and question.now < newest - skew:
        raise Refused(RefusalCode.R19, "node.clock")
    longest = timedelta(seconds=question.plan.rounds.deadline_seconds)
    if question.order.deadline > question.now + longest + skew:
        raise Refused(RefusalCode.R19, "order.deadline")


def require_validity(question: Question) -> None:
    """R03: the plan is valid now and the deadline has not passed."""
    if question.now < question.plan.valid_from:
        raise Refused(RefusalCode.R03, "plan.valid_from")
    if question.now >= question.plan.valid_until:
        raise Refused(RefusalCode.R03, "plan.valid_until")
    if question.now >= question.order.deadline:
        raise Refused(RefusalCode.R03, "order.deadline")


def require_purpose(question: Question) -> None:
    """R05: the school allows this purpose on this legal basis."""
    _require_purpose(question.plan, question.policy)


def _require_purpose(plan: Plan, policy: SchoolPolicy) -> None:
    if plan.purpose not in policy.purposes:
        raise Refused(RefusalCode.R05, "policy.purposes")
    if plan.legal_basis not in policy.legal_bases:
        raise Refused(RefusalCode.R05, "policy.legal_bases")


def require_fields(question: Question) -> None:
    """R06: the plan reads no more of a student's record than the school allows."""
    _require_fields(question.plan, question.policy)


def _require_fields(plan: Plan, policy: SchoolPolicy) -> None:
    if not {field.name for field in plan.data.fields} <= set(policy.fields):
        raise Refused(RefusalCode.R06, "policy.fields")
    if plan.data.max_sequence > policy.max_sequence:
        raise Refused(RefusalCode.R06, "policy.max_sequence")


def require_installed_code(question: Question) -> None:
    """R07, R08: the plan names the code that is installed, and that code builds this model."""
    if question.plan.app.fab_digest != question.state.installed_fab_digest:
        raise Refused(RefusalCode.R07)
    if question.plan.model.schema_fingerprint != question.state.schema_fingerprint:
        raise Refused(RefusalCode.R08)


def require_trust_mode(question: Question) -> None:
    """R12: the school accepts who adds the noise."""
    _require_trust_mode(question.plan, question.policy)


def _require_trust_mode(plan: Plan, policy: SchoolPolicy) -> None:
    if plan.privacy.trust_mode not in policy.privacy.trust_modes:
        raise Refused(RefusalCode.R12, "policy.privacy.trust_modes")


def require_protection(question: Question) -> None:
    """R12: the order says what the plan says, and the plan is not weaker than the policy.

    An order that differs is refused even where it is stronger: the ledger accounts the plan's
    parameters, and both sides must mean the same release.
    """
    plan = question.plan
    if question.order.privacy != plan.round_privacy(question.order.kind):
        raise Refused(RefusalCode.R12, "order.privacy")
    _require_protection(plan, question.policy)


def _require_protection(plan: Plan, policy: SchoolPolicy) -> None:
    bounds = policy.privacy
    noise = min(plan.privacy.noise_multiplier, plan.evaluation.noise_multiplier)
    if noise < bounds.min_noise_multiplier:
        raise Refused(RefusalCode.R12, "policy.privacy.min_noise_multiplier")
    if plan.privacy.clipping_norm > bounds.max_clipping_norm:
        raise Refused(RefusalCode.R12, "policy.privacy.max_clipping_norm")
    if plan.privacy.sampling_rate > bounds.max_sampling_rate:
        raise Refused(RefusalCode.R12, "policy.privacy.max_sampling_rate")
    if plan.privacy.delta > bounds.max_delta:
        raise Refused(RefusalCode.R12, "policy.privacy.max_delta")


def against_policy(plan: Plan, policy: SchoolPolicy) -> Refused | None:
    """What every order of a plan will be refused with, whatever else it says; None if nothing.

    For the person who accepts a plan: the same checks ask again with every order.
    """
    try:
        _require_purpose(plan, policy)
        _require_fields(plan, policy)
        _require_trust_mode(plan, policy)
        _require_protection(plan, policy)
    except Refused as refused:
        return refused
    return None


def require_order_in_plan(question: Question) -> None:
    """R14: the round exists in the plan, and so does every school that the order names."""
    rounds = question.plan.rounds.count
    last = rounds if question.order.kind == "train" else rounds + 1
    if question.order.round > last:
        raise Refused(RefusalCode.R14, "plan.rounds.count")
    members = set(question.plan.schools.members) & set(question.charter.member_keys())
    if not set(question.order.schools) <= members:
        raise Refused(RefusalCode.R14, "plan.schools.members")


def require_company(question: Question) -> None:
    """R13: this school was asked, with enough others, and has enough students."""
    plan, policy, order = question.plan, question.policy, question.order
    if policy.school not in order.schools:
        raise Refused(RefusalCode.R13, "order.schools")
    if len(order.schools) < plan.schools.minimum_per_round:
        raise Refused(RefusalCode.R13, "plan.schools.minimum_per_round")
    if len(order.schools) < policy.min_schools:
        raise Refused(RefusalCode.R13, "policy.min_schools")
    if question.state.eligible_students < plan.data.min_students:
        raise Refused(RefusalCode.R13, "plan.data.min_students")
    if question.state.eligible_students < policy.min_students:
        raise Refused(RefusalCode.R13, "policy.min_students")


def require_logged_order(question: Question) -> None:
    """R02, R20: the order stands in the consortium's log, which has one witnessed history."""
    require_log(question.state.log)


def require_round_not_answered(question: Question) -> None:
    """R10: rounds only rise; the newest one may be asked again with the very same model.

    Not under an order that was answered before: one order is one mask, and the difference of two
    contributions under one mask wears none.
    """
    last, order = question.state.last_round, question.order
    if last is None or order.round > last.round:
        return
    asked_again = (last.round, last.kind, last.checkpoint_digest) == (
        order.round,
        order.kind,
        order.checkpoint_digest,
    )
    if not asked_again or question.order_digest in last.used_orders:
        raise Refused(RefusalCode.R10)


def require_known_model(question: Question) -> None:
    """R15: the bytes are the ones that the order names, and those that the round before left.

    Round 1 starts from the plan's initial parameters. What a later one must start from stands in
    the school's own copy of the consortium's log. A model to be judged is an average that no entry
    names before it was judged; the order that names it stands in the log.
    """
    order = question.order
    if question.checkpoint.digest != order.checkpoint_digest:
        raise Refused(RefusalCode.R15, "order.checkpoint_digest")
    initial = question.plan.model.initial_parameters_digest
    if order.round == 1 and order.checkpoint_digest != initial:
        raise Refused(RefusalCode.R15, "plan.model.initial_parameters_digest")
    if order.round > 1 and order.previous_round_digest is None:
        raise Refused(RefusalCode.R15, "order.previous_round_digest")
    left = question.state.log.closed_with or initial
    if order.kind == "train" and order.checkpoint_digest != left:
        raise Refused(RefusalCode.R15, "log.round_closed")


def require_sound_model(question: Question) -> None:
    """R16: float32, as many as the plan says, finite, and not absurdly large."""
    facts, parameters = question.checkpoint, question.plan.model.parameters
    if (facts.dtype, facts.shape) != ("float32", (parameters,)):
        raise Refused(RefusalCode.R16, "plan.model.parameters")
    bound = CHECKPOINT_RMS_LIMIT * math.sqrt(parameters)
    if not (facts.finite and 0 <= facts.norm <= bound):
        raise Refused(RefusalCode.R16, "order.checkpoint_digest")


Check = Callable[[Question], None]
"""Returns nothing or raises `Refused`."""

ABOUT_EVERY_ORDER: tuple[Check, ...] = (
    require_training_not_stopped,
    require_health,
    require_quorum,
    require_not_revoked,
    require_clocks,
    require_validity,
    require_purpose,
    require_fields,
    require_installed_code,
    require_trust_mode,
    require_protection,
    require_order_in_plan,
    require_company,
    require_logged_order,
)
"""In this order."""

ABOUT_A_NEW_ANSWER: tuple[Check, ...] = (
    require_round_not_answered,
    require_known_model,
    require_sound_model,
)
"""In this order, after those; the budget (R11) comes last."""
