"""The fault table: what one school or the network does wrong, and what all records say of it.

Whole jobs in which `BAD` misbehaves; the other schools are honest. What must come out: the guilty
school is named, with a code; the others lose nothing; the job ends in order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass

import numpy as np
import pytest
from flwr.app import Message
from flwr.common.constant import ErrorCode
from support.consistency import check_consortium, logged
from support.federation import (
    Delivery,
    Fault,
    Federation,
    Wire,
    parts_of,
    resigned_answer,
    resigned_order,
)

from fedtrace.client.checkpoint import write_tensor
from fedtrace.client.store import SchoolStore
from fedtrace.client.trainer import Trainer
from fedtrace.governance.canonical import digest
from fedtrace.governance.log.entries import (
    Entry,
    OrderRefused,
    RoundReserved,
    SchoolMissing,
    SchoolRefused,
    UpdateRejected,
    UpdateSent,
)
from fedtrace.governance.refusals import RefusalCode
from fedtrace.governance.signing import generate_key
from fedtrace.server.outcome import Disposition

BAD = "school-2"
OTHER = "school-1"


class Died(BaseException):
    """The school's process is gone: nothing in it can catch this."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One fault and its price.

    Attributes:
        make: the fault, for the keys that it needs.
        disposition: what becomes of the school in that round.
        code: which check or refusal.
        spends: True where the school's students have paid for the round.
    """

    make: Callable[[Federation], Fault]
    disposition: Disposition
    code: str = ""
    spends: bool


def silent(federation: Federation) -> Fault:
    """The order does not arrive."""
    return lambda delivery: []


def too_late(federation: Federation) -> Fault:
    """The school works, and its answer comes when Flower has given the message up."""

    def fault(delivery: Delivery) -> Iterable[Message]:
        delivery.handed_over()
        return [delivery.failed(ErrorCode.MESSAGE_UNAVAILABLE)]

    return fault


def replays(federation: Federation) -> Fault:
    """The school sends what it sent in the round before."""

    def fault(delivery: Delivery) -> Iterable[Message]:
        store = SchoolStore(federation.home(BAD) / "school.db")
        with closing(store):
            last = store.last_round(delivery.order.plan_digest)
            assert last is not None
            assert last.round == delivery.order.round - 1
            reply = store.reply_to(last.order_digest)
        assert reply is not None
        return [delivery.answer(reply)]

    return fault


def dies_while_training(federation: Federation) -> Fault:
    """The process ends after the privacy was reserved and before there is an answer."""

    def die(*_: object) -> None:
        raise Died

    def fault(delivery: Delivery) -> Iterable[Message]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Trainer, "private_update", die)
            with pytest.raises(Died):
                delivery.handed_over()
        return [delivery.failed(ErrorCode.CLIENT_APP_RAISED_EXCEPTION)]

    return fault


def answers_twice(federation: Federation) -> Fault:
    """The network doubles the answer."""

    def fault(delivery: Delivery) -> Iterable[Message]:
        answer = delivery.handed_over()
        return [answer, answer]

    return fault


def corrupts_bytes(federation: Federation) -> Fault:
    """A bit flips on the way."""

    def fault(delivery: Delivery) -> Iterable[Message]:
        parts = parts_of(delivery.handed_over())
        flipped = bytes([parts["payload"][-1] ^ 1])
        return [delivery.answer({**parts, "payload": parts["payload"][:-1] + flipped})]

    return fault


def sends_nan(federation: Federation) -> Fault:
    """A school's own software is broken: a correctly signed update that is not a number."""

    def fault(delivery: Delivery) -> Iterable[Message]:
        parts = parts_of(delivery.handed_over())
        size = federation.parameters
        payload = write_tensor("update", np.full(size, np.nan, dtype=np.float32))
        yield delivery.answer(resigned_answer(parts, payload, federation.signer(BAD)))

    return fault


def sends_far_too_much(federation: Federation) -> Fault:
    """A school tries to outweigh all others."""

    def fault(delivery: Delivery) -> Iterable[Message]:
        parts = parts_of(delivery.handed_over())
        size = federation.parameters
        payload = write_tensor("update", np.full(size, 1e4, dtype=np.float32))
        yield delivery.answer(resigned_answer(parts, payload, federation.signer(BAD)))

    return fault


def speaks_for_another(federation: Federation) -> Fault:
    """A member signs, with its own key, an answer in the name of another."""

    def fault(delivery: Delivery) -> Iterable[Message]:
        parts = parts_of(delivery.handed_over())
        payload, signer = parts["payload"], federation.signer(BAD)
        yield delivery.answer(resigned_answer(parts, payload, signer, school=OTHER))

    return fault


def order_of_a_stranger(federation: Federation) -> Fault:
    """Somebody else sends an order in the aggregator's name."""
    return lambda delivery: [
        delivery.handed_over(order=resigned_order(delivery.order, generate_key()))
    ]


def tampered_checkpoint(federation: Federation) -> Fault:
    """The model is changed on its way to the school."""

    def fault(delivery: Delivery) -> Iterable[Message]:
        checkpoint = bytearray(delivery.request["checkpoint"])
        checkpoint[-1] ^= 1
        return [delivery.handed_over(checkpoint=bytes(checkpoint))]

    return fault


def unsound_checkpoint(federation: Federation) -> Fault:
    """The aggregator sends, and signs for, a model that is not a number and not in the log."""

    def fault(delivery: Delivery) -> Iterable[Message]:
        size = federation.parameters
        checkpoint = write_tensor("parameters", np.full(size, np.nan, dtype=np.float32))
        order = resigned_order(
            delivery.order, federation.aggregator(), checkpoint_digest=digest(checkpoint)
        )
        return [delivery.handed_over(order=order, checkpoint=checkpoint)]

    return fault


JOBS: dict[str, tuple[Row, Row, Row]] = {
    "a bad network": (
        Row(make=answers_twice, disposition="accepted", spends=True),
        Row(make=corrupts_bytes, disposition="rejected", code="A08", spends=True),
        Row(make=silent, disposition="missing", spends=False),
    ),
    "a failing school": (
        Row(make=too_late, disposition="missing", spends=True),
        Row(make=replays, disposition="rejected", code="A06", spends=False),
        Row(make=dies_while_training, disposition="missing", spends=True),
    ),
    "a hostile school": (
        Row(make=speaks_for_another, disposition="rejected", code="A04", spends=True),
        Row(make=sends_nan, disposition="rejected", code="A11", spends=True),
        Row(make=sends_far_too_much, disposition="rejected", code="A12", spends=True),
    ),
    "a hostile aggregator": (
        Row(make=order_of_a_stranger, disposition="refused", code="R09", spends=False),
        Row(make=tampered_checkpoint, disposition="refused", code="R15", spends=False),
        Row(make=unsound_checkpoint, disposition="refused", code="R02", spends=False),
    ),
}
"""A job each, in which the school is struck by another fault in every round."""


@pytest.mark.parametrize(
    "rows",
    [
        pytest.param(rows, id=name, marks=() if "hostile" in name else pytest.mark.system)
        for name, rows in JOBS.items()
    ],
)
def test_faults_name_the_guilty_and_cost_nobody_else(
    rows: tuple[Row, Row, Row], federation: Federation
) -> None:
    faults = {(BAD, number): row.make(federation) for number, row in enumerate(rows, 1)}
    outcome = federation.run(wire=Wire(federation, faults=faults))
    assert outcome.reason == "completed"
    assert outcome.model_path is not None
    assert outcome.evaluation is not None
    assert outcome.evaluation.round.answered == federation.schools
    for round_outcome, row in zip(outcome.rounds, rows, strict=True):
        assert round_outcome.closed
        assert round_outcome.attempts == 1
        assert set(federation.schools) - {BAD} <= set(round_outcome.answered)
        assert round_outcome.verdict(row.disposition)[BAD] == row.code
    blamed = [each for each in enumerate(rows, 1) if each[1].disposition != "accepted"]
    told = blames(logged(federation.workspace.consortium_home))
    assert told == [(BAD, number, row.code) for number, row in blamed]
    own = logged(federation.home(BAD))
    reserved = [entry.round for entry in own if isinstance(entry, RoundReserved)]
    assert reserved == [*(number for number, row in enumerate(rows, 1) if row.spends), 4]
    refused = [str(entry.code) for entry in own if isinstance(entry, OrderRefused)]
    assert refused == [row.code for row in rows if row.disposition == "refused"]
    # The audit warns of updates that were sent and counted nowhere, once a school.
    orphaned = any(row.spends and row.disposition != "accepted" for row in rows)
    check_consortium(federation.workspace, warnings=["updates.received"] * orphaned)


def blames(entries: Iterable[Entry]) -> list[tuple[str, int, str]]:
    """(school, round, code) of whoever the consortium's log says has not contributed."""
    found = []
    for entry in entries:
        match entry:
            case SchoolMissing():
                found.append((entry.school, entry.round, ""))
            case SchoolRefused():
                found.append((entry.school, entry.round, str(entry.code)))
            case UpdateRejected() if entry.check != "A01":  # A01: its first answer counts
                found.append((entry.school, entry.round, entry.check))
    return found


def test_an_order_that_comes_twice_gets_the_same_bytes_and_spends_once(
    federation: Federation,
) -> None:
    answers: list[dict[str, bytes]] = []

    def twice(delivery: Delivery) -> Iterable[Message]:
        for _ in range(2):
            answer = delivery.handed_over()
            answers.append(parts_of(answer))
        return [answer]

    outcome = federation.run(wire=Wire(federation, faults={(BAD, 2): twice}))
    assert len(answers) == 2
    assert answers[0] == answers[1]
    assert outcome.reason == "completed"
    own = logged(federation.home(BAD))
    assert [e.round for e in own if isinstance(e, RoundReserved)] == [1, 2, 3, 4]
    assert [e.round for e in own if isinstance(e, UpdateSent)] == [1, 2, 3, 4]
    check_consortium(federation.workspace)


def test_a_plan_for_other_code_is_refused_by_all_and_spends_nothing(
    federation: Federation,
) -> None:
    outcome = federation.run("foreign")
    assert outcome.reason == "quorum_not_reached"
    assert outcome.model_path is None
    code = RefusalCode.R07.value
    assert outcome.rounds[0].refused == dict.fromkeys(federation.schools, code)
    assert outcome.rounds[0].attempts == 1
    check_consortium(federation.workspace)
