"""One value, one encoding; any bytes, a value or one error."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st
from support.gate import charter, order_for, plan_with, policy_with, signer
from support.thoroughness import examples

from fedtrace.governance.canonical import canonical
from fedtrace.governance.decision import admit
from fedtrace.governance.errors import PolicyError, Rejected
from fedtrace.governance.facts import Denied, Rules
from fedtrace.governance.orders import RoundOrder, sign_order
from fedtrace.governance.plan import Plan, load_toml
from fedtrace.governance.refusals import RefusalCode
from fedtrace.governance.signing import SignatureError, sign_envelope, verify_envelope

RULES = Rules(charter=charter(), policy=policy_with())
TYPE = "application/vnd.fedtrace.test+json"

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(-1e15, 1e15)  # beyond 2^53 a number is written like an integer that JSON lacks
    | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
json_objects = st.dictionaries(texts, json_values, max_size=4)
junk = st.binary(max_size=200) | json_objects.map(lambda value: json.dumps(value).encode())

orders = st.builds(
    lambda **values: order_for(plan_with(), values),
    kind=st.sampled_from(["train", "evaluate"]),
    run_id=st.text("abcXYZ019", min_size=1, max_size=64),
    round=st.integers(1, 1_000_000),
    deadline=st.datetimes(datetime(2000, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    nonce=st.binary(min_size=16, max_size=32).map(bytes.hex),
    schools=st.sets(st.integers(0, 99).map(str), min_size=1, max_size=9).map(tuple),
)


@examples(30)
@given(json_objects)
def test_canonical_json_round_trips(value: dict[str, Any]) -> None:
    encoded = canonical(value)
    again = json.loads(encoded)
    assert again == value
    assert canonical(again) == encoded


@examples(200)
@given(json_objects)
def test_canonical_json_is_that_of_the_reference_encoder(value: dict[str, Any]) -> None:
    assert canonical(value) == rfc8785.dumps(value)


@examples(30)
@given(json_objects)
def test_canonical_json_does_not_know_the_order_of_keys(value: dict[str, Any]) -> None:
    assert canonical(dict(reversed(value.items()))) == canonical(value)


@examples(30)
@given(orders)
def test_every_order_survives_its_bytes(order: RoundOrder) -> None:
    again = RoundOrder.from_bytes(order.to_bytes())
    assert again == order
    assert again.to_bytes() == order.to_bytes()


@examples(30)
@given(junk)
def test_any_bytes_are_a_plan_or_rejected(payload: bytes) -> None:
    with pytest.raises(Rejected):
        Plan.from_bytes(payload)


@examples(30)
@given(st.text(max_size=200))
def test_any_text_is_a_plan_or_a_policy_error(text: str) -> None:
    with pytest.raises(PolicyError):
        load_toml(text)


@examples(30)
@given(junk)
def test_any_bytes_are_denied(envelope: bytes) -> None:
    assert admit(envelope, RULES) == Denied.by(RefusalCode.R09)


@examples(30)
@given(junk)
def test_any_signed_bytes_are_denied(payload: bytes) -> None:
    envelope = sign_envelope(
        payload, "application/vnd.fedtrace.round-order+json", [signer("aggregator")]
    )
    assert admit(envelope, RULES) == Denied.by(RefusalCode.R14)


@examples(30)
@given(data=st.data())
def test_an_envelope_with_one_byte_changed_never_yields_another_order(data: st.DataObject) -> None:
    order = order_for(plan_with())
    envelope = bytearray(sign_order(order, signer("aggregator")))
    position = data.draw(st.integers(0, len(envelope) - 1))
    envelope[position] = data.draw(st.integers(0, 255))
    admitted = admit(bytes(envelope), RULES)
    assert isinstance(admitted, Denied) or admitted.order == order


@examples(30)
@given(
    signed_by=st.lists(st.sampled_from("abcde"), max_size=6),
    known=st.sets(st.sampled_from("abcde"), min_size=1),
    threshold=st.integers(1, 5),
)
def test_a_threshold_counts_distinct_known_keys(
    signed_by: list[str], known: set[str], threshold: int
) -> None:
    envelope = sign_envelope(b"x", TYPE, [signer(name) for name in signed_by])
    keys = {name: signer(name).public_key for name in known}
    expected = sorted(known & set(signed_by))
    if len(expected) >= threshold:
        assert list(verify_envelope(envelope, TYPE, keys, threshold).signers) == expected
    else:
        with pytest.raises(SignatureError):
            verify_envelope(envelope, TYPE, keys, threshold)
