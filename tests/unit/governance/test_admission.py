"""Bytes that are no order of this consortium, and plans that are nobody's, stop before any rule."""

from __future__ import annotations

import pytest
from support.gate import charter, order_for, plan_with, policy_with, signer

from fedtrace.governance.decision import admit
from fedtrace.governance.facts import Denied, Rules
from fedtrace.governance.orders import ORDER_TYPE, sign_order
from fedtrace.governance.plan_signing import open_plan, sign_plan
from fedtrace.governance.refusals import RefusalCode, Refused
from fedtrace.governance.signing import sign_envelope


def test_what_the_aggregator_signed_is_not_always_an_order() -> None:
    rules = Rules(charter=charter(), policy=policy_with())
    envelope = sign_envelope(b'{"round":1}', ORDER_TYPE, [signer("aggregator")])
    assert admit(envelope, rules) == Denied.by(RefusalCode.R14)


def test_an_order_with_a_field_more_is_refused() -> None:
    rules = Rules(charter=charter(), policy=policy_with())
    payload = order_for(plan_with()).to_bytes()[:-1] + b',"zz_learning_rate":1}'
    envelope = sign_envelope(payload, ORDER_TYPE, [signer("aggregator")])
    assert admit(envelope, rules) == Denied.by(RefusalCode.R14)


@pytest.mark.parametrize("junk", [b"", b"{}", b"\x00" * 100, b"[" * 100_000, b"x" * 3_000_000])
def test_junk_is_nobodys_order(junk: bytes) -> None:
    rules = Rules(charter=charter(), policy=policy_with())
    assert admit(junk, rules) == Denied.by(RefusalCode.R09)


def test_a_changed_order_is_nobodys_order() -> None:
    rules = Rules(charter=charter(), policy=policy_with())
    envelope = sign_order(order_for(plan_with()), signer("aggregator"))
    position = envelope.index(b'"payload":"') + 40
    flipped = b"A" if envelope[position : position + 1] != b"A" else b"B"
    changed = envelope[:position] + flipped + envelope[position + 1 :]
    assert admit(changed, rules) == Denied.by(RefusalCode.R09)


def test_a_plan_signed_by_strangers_does_not_open() -> None:
    envelope = sign_plan(plan_with(), [signer("stranger"), signer("school-1")])
    with pytest.raises(Refused) as refused:
        open_plan(envelope, charter())
    assert refused.value.code is RefusalCode.R01
