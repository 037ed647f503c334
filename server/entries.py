"""What a job says in the consortium's log, in the words of ``fedtrace.governance.log.entries``.

An entry has at most 8 KiB. Lists of schools that do not fit into one are told in several entries
of the same type, one after the other, that differ in nothing but the list.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

from fedtrace.governance.log.entries import (
    Entry,
    EvaluationClosed,
    Input,
    ModelReleased,
    RoundClosed,
    RoundFailed,
    RoundOpened,
    RunClosed,
    RunOpened,
    SchoolMissing,
    SchoolRefused,
    UpdateReceived,
    UpdateRejected,
    UpdateUnused,
    decimal,
)
from fedtrace.governance.orders import RoundOrder
from fedtrace.governance.plan import Plan
from fedtrace.governance.refusals import RefusalCode
from fedtrace.server.head import Head
from fedtrace.server.outcome import Receipt

INPUTS_PER_ENTRY = 40
"""Inputs with names of 64 characters take 7 kB."""

SCHOOLS_PER_ENTRY = 100
"""Names of 64 characters take 7 kB."""

_Item = TypeVar("_Item")


def run_opened(head: Head) -> Entry:
    """A job starts, or goes on."""
    return RunOpened(plan_digest=head.plan_digest, run_id=head.run_id)


def round_opened(order: RoundOrder) -> list[Entry]:
    """Schools are asked."""
    return [
        RoundOpened(
            plan_digest=order.plan_digest,
            run_id=order.run_id,
            round=order.round,
            kind=order.kind,
            order_digest=order.digest(),
            checkpoint_digest=order.checkpoint_digest,
            schools=schools,
        )
        for schools in _parts(order.schools, SCHOOLS_PER_ENTRY)
    ]


def receipt(order: RoundOrder, came: Receipt) -> Entry:
    """What became of one answer."""
    plan_digest, run_id, number, kind = order.plan_digest, order.run_id, order.round, order.kind
    if came.disposition in ("accepted", "unused"):
        kind_of_entry = UpdateReceived if came.disposition == "accepted" else UpdateUnused
        return kind_of_entry(
            plan_digest=plan_digest,
            run_id=run_id,
            round=number,
            kind=kind,
            school=came.school,
            digest=came.digest,
        )
    if came.disposition == "rejected":
        return UpdateRejected(
            plan_digest=plan_digest,
            run_id=run_id,
            round=number,
            kind=kind,
            school=came.school,
            check=came.code,
        )
    if came.disposition == "refused":
        return SchoolRefused(
            plan_digest=plan_digest,
            run_id=run_id,
            round=number,
            kind=kind,
            school=came.school,
            code=RefusalCode(came.code),
            digest=came.digest,
        )
    return SchoolMissing(
        plan_digest=plan_digest, run_id=run_id, round=number, kind=kind, school=came.school
    )


def round_closed(
    order: RoundOrder, plan: Plan, inputs: Sequence[Receipt], output_digest: str
) -> list[Entry]:
    """The sum became a checkpoint."""
    privacy = plan.round_privacy("train")
    return [
        RoundClosed(
            plan_digest=order.plan_digest,
            run_id=order.run_id,
            round=order.round,
            kind=order.kind,
            inputs=part,
            output_digest=output_digest,
            rule=plan.aggregation.optimiser,
            clipping_norm=decimal(privacy.clipping_norm),
            noise_multiplier=decimal(privacy.noise_multiplier),
            sampling_rate=decimal(privacy.sampling_rate),
        )
        for part in _inputs(inputs)
    ]


def round_failed(order: RoundOrder, plan: Plan, answered: int) -> Entry:
    """Too few answers."""
    return RoundFailed(
        plan_digest=order.plan_digest,
        run_id=order.run_id,
        round=order.round,
        kind=order.kind,
        answered=answered,
        minimum=plan.schools.minimum_per_round,
    )


def evaluation_closed(order: RoundOrder, plan: Plan, inputs: Sequence[Receipt]) -> list[Entry]:
    """The released model was judged."""
    return [
        EvaluationClosed(
            plan_digest=order.plan_digest,
            run_id=order.run_id,
            round=order.round,
            kind=order.kind,
            inputs=part,
            noise_multiplier=decimal(plan.evaluation.noise_multiplier),
        )
        for part in _inputs(inputs)
    ]


def run_ended(head: Head, plan: Plan) -> list[Entry]:
    """The job ended, and whether a model came of it.

    Raises:
        ValueError: the head says no reason.
    """
    if head.reason is None:
        raise ValueError(f"run {head.run_id} ended without a reason")
    closed = RunClosed(
        plan_digest=head.plan_digest, run_id=head.run_id, reason=head.reason, rounds=head.round
    )
    if head.model_digest is None:
        return [closed]
    released = ModelReleased(
        plan_digest=head.plan_digest,
        run_id=head.run_id,
        digest=head.model_digest,
        averaged=min(plan.aggregation.average_last, head.round),
    )
    return [closed, released]


def _inputs(receipts: Sequence[Receipt]) -> Iterator[tuple[Input, ...]]:
    inputs = [
        Input(school=each.school, digest=each.digest)
        for each in receipts
        if each.disposition == "accepted"
    ]
    return _parts(inputs, INPUTS_PER_ENTRY)


def _parts(items: Sequence[_Item], size: int) -> Iterator[tuple[_Item, ...]]:
    for start in range(0, len(items), size):
        yield tuple(items[start : start + size])
