"""Round orders: what is signed and sent, and what an answer to it must be."""

from __future__ import annotations

from datetime import datetime, timedelta

from fedtrace.governance.errors import Corrupt, Rejected
from fedtrace.governance.orders import RoundOrder, SignedOrder, open_order
from fedtrace.governance.plan import Plan, RoundKind
from fedtrace.governance.signing import PublicKey, SignatureError
from fedtrace.server.acceptance import Expectation, tensor_and_bound
from fedtrace.server.head import Head

NONCE_BYTES = 16
"""Random bytes in an order's nonce."""


def new_order(
    plan: Plan,
    head: Head,
    *,
    kind: RoundKind,
    round_number: int,
    previous_record_digest: str | None,
    now: datetime,
    nonce: bytes,
) -> RoundOrder:
    """An order whose deadline is the plan's from now on.

    It names every member of the plan, also those that are not asked again in a second attempt:
    a school judges by it in what company its contribution will be.

    Raises:
        Corrupt: an evaluation of a model that the head does not have.
    """
    sent = head.model_digest if kind == "evaluate" else head.checkpoint_digest
    if sent is None:
        raise Corrupt(f"run {head.run_id} has no model to evaluate")
    return RoundOrder(
        kind=kind,
        run_id=head.run_id,
        plan_digest=head.plan_digest,
        round=round_number,
        checkpoint_digest=sent,
        previous_round_digest=previous_record_digest,
        schools=plan.schools.members,
        deadline=now + timedelta(seconds=plan.rounds.deadline_seconds),
        nonce=nonce.hex(),
        privacy=plan.round_privacy(kind),
    )


def read_order(head: Head, aggregator: PublicKey) -> SignedOrder:
    """The order of a head's open round.

    Raises:
        Corrupt: there is none, the aggregator did not sign it, or it is not about this run.
    """
    if head.open is None:
        raise Corrupt(f"run {head.run_id} has no open round")
    try:
        signed = open_order(head.open.order, aggregator)
    except (SignatureError, Rejected) as error:
        raise Corrupt(f"the open order of run {head.run_id} is not the aggregator's") from error
    if (signed.order.run_id, signed.order.plan_digest) != (head.run_id, head.plan_digest):
        raise Corrupt(f"the open order of run {head.run_id} belongs to another run")
    if head.state == "training":
        sent = ("train", head.checkpoint_digest)
    else:
        sent = ("evaluate", head.model_digest or "")
    if (signed.order.kind, signed.order.checkpoint_digest) != sent:
        raise Corrupt(f"the open order of run {head.run_id} sends another model than the run has")
    if signed.order.round <= head.round:
        raise Corrupt(f"the open order of run {head.run_id} is about a round that was closed")
    return signed


def expectation(plan: Plan, signed: SignedOrder, keys: dict[str, PublicKey]) -> Expectation:
    """What an answer to an order must be, from the schools with these keys."""
    order = signed.order
    tensor, bound = tensor_and_bound(plan, order.kind)
    return Expectation(
        kind=order.kind,
        plan_digest=order.plan_digest,
        run_id=order.run_id,
        round=order.round,
        order_digest=signed.digest,
        nonce=order.nonce,
        schema_fingerprint=plan.model.schema_fingerprint,
        tensor=tensor,
        norm_bound=bound,
        keys=keys,
    )
