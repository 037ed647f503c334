"""One attempt of one round: whom to ask, what came of it, and what it adds up to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from fedtrace.governance.charter import Charter
from fedtrace.governance.errors import Corrupt
from fedtrace.governance.orders import RoundOrder
from fedtrace.governance.plan import Plan
from fedtrace.server.acceptance import Accepted
from fedtrace.server.aggregation import RunningSum
from fedtrace.server.codec import FloatArray, encode, histograms_spec
from fedtrace.server.collecting import Question, collect
from fedtrace.server.head import Head, OpenRound
from fedtrace.server.ordering import expectation, read_order
from fedtrace.server.outcome import Receipt, verdicts
from fedtrace.server.ports import Clock, Transport

POOLED = "*"
"""In the place of a school: histograms that a secure sum added up. No school can have this name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """What one attempt brought.

    Attributes:
        order: what was asked.
        opened: the open round that it belongs to.
        receipts: of this attempt, in the order in which answers came.
        accepted: schools in the sum, those of earlier attempts included.
        pending: schools that may still answer this round: those that were missing.
        total: the sum over all attempts so far; empty for an evaluation.
        histograms: school -> noised score histograms, float64 [2, bins]; for an evaluation. Under
            secure sum only those of all together, under `POOLED`.
    """

    order: RoundOrder
    opened: OpenRound
    receipts: tuple[Receipt, ...]
    accepted: int
    pending: tuple[str, ...]
    total: RunningSum
    histograms: Mapping[str, FloatArray]

    @property
    def attempt(self) -> int:
        """Which attempt this was, from 1."""
        return self.opened.attempt

    def encoded_histograms(self) -> dict[str, bytes]:
        """School -> its histograms as safetensors bytes."""
        return {
            school: encode(values, histograms_spec(values.shape[1]))
            for school, values in self.histograms.items()
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """What it takes to ask, the same in every round of a job.

    Attributes:
        plan: for members, quorum and bounds.
        charter: for the keys.
        transport: how to ask.
        clock: for deadline and receipts.
        notify: gets round number and receipt as each is made.
    """

    plan: Plan
    charter: Charter
    transport: Transport
    clock: Clock
    notify: Callable[[int, Receipt], None]


def ask(head: Head, asking: Asking, *, checkpoint: bytes, earlier: tuple[Receipt, ...]) -> Answers:
    """Ask the schools that have not settled the open round yet, until its deadline.

    Where the connected schools can reach the quorum, only they are asked and the others are
    missing at once. Where they cannot, everybody is asked, and the deadline is the time that an
    absent school has to come back.

    Args:
        head: with the open round.
        asking: whom and how.
        checkpoint: safetensors bytes that go along with the order.
        earlier: receipts of this round's earlier attempts.

    Raises:
        Corrupt: the open order is not one that belongs to this head.
    """
    if head.open is None:
        raise Corrupt(f"run {head.run_id} has no open round")
    plan = asking.plan
    signed = read_order(head, asking.charter.aggregator.public_key)
    accepted, asked, unreachable = whom(asking, earlier)
    keys = asking.charter.member_keys()
    carried = head.open.carried
    if carried is not None:
        total = RunningSum.resumed(carried, accepted)
    else:
        total = RunningSum(plan.model.parameters)
    histograms: dict[str, FloatArray] = {}

    def take(school: str, contribution: Accepted) -> None:
        if signed.order.kind == "train":
            total.add(contribution.values)
        else:
            histograms[school] = contribution.values

    receipts = collect(
        Question(
            request={"order": head.open.order, "checkpoint": checkpoint},
            schools=asked,
            unreachable=unreachable,
            expected=expectation(plan, signed, {school: keys[school] for school in asked}),
            deadline=signed.order.deadline,
            opened_at=head.open.opened_at,
        ),
        transport=asking.transport,
        clock=asking.clock,
        take=take,
        notify=lambda receipt: asking.notify(signed.order.round, receipt),
    )
    now_settled = verdicts((*earlier, *receipts))
    return Answers(
        order=signed.order,
        opened=head.open,
        receipts=receipts,
        accepted=sum(r.disposition == "accepted" for r in now_settled.values()),
        pending=tuple(s for s, r in now_settled.items() if r.disposition == "missing"),
        total=total,
        histograms=histograms,
    )


def whom(
    asking: Asking, earlier: tuple[Receipt, ...]
) -> tuple[int, tuple[str, ...], tuple[str, ...]]:
    """How many contributions are there already, whom to ask, and who cannot be asked."""
    settled = {
        s: r for s, r in verdicts(earlier).items() if r.disposition not in ("missing", "unused")
    }
    pending = tuple(school for school in asking.plan.schools.members if school not in settled)
    accepted = sum(r.disposition == "accepted" for r in settled.values())
    connected = asking.transport.connected()
    asked = tuple(school for school in pending if school in connected)
    if accepted + len(asked) < asking.plan.schools.minimum_per_round:
        asked = pending
    return accepted, asked, tuple(school for school in pending if school not in asked)
