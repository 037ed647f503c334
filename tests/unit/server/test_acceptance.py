"""Each numbered check: an answer that is right in everything else fails exactly that one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from support.scripted_schools import (
    FINGERPRINT,
    PARAMETERS,
    START,
    World,
    build_world,
    payload_of,
    refusal,
    signed_reply,
)

from fedtrace.governance.canonical import digest
from fedtrace.governance.errors import Rejected
from fedtrace.governance.orders import RoundOrder, SignedOrder
from fedtrace.governance.refusals import RefusalCode
from fedtrace.server.acceptance import (
    CHECKS,
    SIGNED_LIMIT_BYTES,
    Accepted,
    Declined,
    Expectation,
    examine,
)
from fedtrace.server.codec import encode, update_spec
from fedtrace.server.ordering import expectation

SCHOOL = "school-001"
OTHER = "school-002"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return build_world(tmp_path_factory.mktemp("consortium") / "home")


@pytest.fixture(scope="module")
def order(world: World) -> RoundOrder:
    return RoundOrder(
        kind="train",
        run_id="run-1",
        plan_digest=world.plan_digest,
        round=2,
        checkpoint_digest=digest(b"checkpoint"),
        previous_round_digest=digest(b"round 1"),
        schools=world.plan.schools.members,
        deadline=START,
        nonce="ab" * 16,
        privacy=world.plan.round_privacy("train"),
    )


@pytest.fixture(scope="module")
def expected(world: World, order: RoundOrder) -> Expectation:
    keys = {name: key.public_key for name, key in world.keys.items()}
    return expectation(world.plan, SignedOrder(order=order, digest=order.digest()), keys)


def update(values: object = 0.5) -> bytes:
    vector = np.broadcast_to(np.asarray(values, dtype=np.float32), (PARAMETERS,))
    return encode(vector, update_spec(PARAMETERS))


Answer = Callable[[World, RoundOrder], dict[str, bytes]]

BAD_ANSWERS: list[tuple[str, str, Answer]] = [
    ("no parts", "A02", lambda w, o: {}),
    ("an extra part", "A02", lambda w, o: {**signed_reply(w, SCHOOL, o, update()), "log": b""}),
    (
        "a manifest that is too long",
        "A02",
        lambda w, o: {"manifest": b"x" * (SIGNED_LIMIT_BYTES + 1), "payload": update()},
    ),
    (
        "a payload that is too long",
        "A02",
        lambda w, o: signed_reply(w, SCHOOL, o, update() + bytes(10_000)),
    ),
    ("a manifest that is no envelope", "A03", lambda w, o: {"manifest": b"{}", "payload": b""}),
    ("a refusal that is no envelope", "A03", lambda w, o: {"refusal": b"\xff\x00"}),
    (
        "another school's signature",
        "A03",
        lambda w, o: signed_reply(w, SCHOOL, o, update(), signer=w.keys[OTHER]),
    ),
    (
        "a refusal in the place of a manifest",
        "A03",
        lambda w, o: {
            "manifest": refusal(w, SCHOOL, o, RefusalCode.R17)["refusal"],
            "payload": update(),
        },
    ),
    (
        "a manifest with a round that is none",
        "A03",
        lambda w, o: signed_reply(w, SCHOOL, o, update(), round=0),
    ),
    (
        "another school's name",
        "A04",
        lambda w, o: signed_reply(w, SCHOOL, o, update(), school=OTHER),
    ),
    (
        "a refusal in another's name",
        "A04",
        lambda w, o: refusal(w, SCHOOL, o, RefusalCode.R17, school=OTHER),
    ),
    (
        "another plan",
        "A05",
        lambda w, o: signed_reply(w, SCHOOL, o, update(), plan_digest=digest(b"other")),
    ),
    (
        "a refusal of another plan",
        "A05",
        lambda w, o: refusal(w, SCHOOL, o, RefusalCode.R17, plan_digest=digest(b"other")),
    ),
    ("another run", "A06", lambda w, o: signed_reply(w, SCHOOL, o, update(), run_id="run-2")),
    ("a stale round", "A06", lambda w, o: signed_reply(w, SCHOOL, o, update(), round=1)),
    ("another kind", "A06", lambda w, o: signed_reply(w, SCHOOL, o, update(), kind="evaluate")),
    ("a stale refusal", "A06", lambda w, o: refusal(w, SCHOOL, o, RefusalCode.R17, round=1)),
    (
        "another order of this round",
        "A07",
        lambda w, o: signed_reply(w, SCHOOL, o, update(), order_digest=digest(b"other")),
    ),
    ("another nonce", "A07", lambda w, o: signed_reply(w, SCHOOL, o, update(), nonce="cd" * 16)),
    ("another size", "A08", lambda w, o: signed_reply(w, SCHOOL, o, update(), payload_bytes=3)),
    (
        "bytes that changed on the way",
        "A08",
        lambda w, o: {**signed_reply(w, SCHOOL, o, update()), "payload": update(0.25)},
    ),
    (
        "another schema",
        "A09",
        lambda w, o: signed_reply(w, SCHOOL, o, update(), schema_fingerprint=digest(b"other")),
    ),
    ("no safetensors", "A10", lambda w, o: signed_reply(w, SCHOOL, o, b"pickle")),
    (
        "one number too few",
        "A10",
        lambda w, o: signed_reply(
            w, SCHOOL, o, encode(np.zeros(PARAMETERS - 1, np.float32), update_spec(PARAMETERS - 1))
        ),
    ),
    ("a number that is none", "A11", lambda w, o: signed_reply(w, SCHOOL, o, update(np.nan))),
    ("an infinite number", "A11", lambda w, o: signed_reply(w, SCHOOL, o, update(np.inf))),
    ("a norm over the bound", "A12", lambda w, o: signed_reply(w, SCHOOL, o, update(1e3))),
    ("a norm whose square overflows", "A12", lambda w, o: signed_reply(w, SCHOOL, o, update(3e38))),
]


@pytest.mark.parametrize(
    ("check", "answer"), [row[1:] for row in BAD_ANSWERS], ids=[row[0] for row in BAD_ANSWERS]
)
def test_a_bad_answer_fails_the_check_that_is_about_it(
    check: str, answer: Answer, world: World, order: RoundOrder, expected: Expectation
) -> None:
    with pytest.raises(Rejected) as caught:
        examine(SCHOOL, answer(world, order), expected, frozenset())
    assert caught.value.check == check


def test_every_check_has_a_bad_answer() -> None:
    assert {row[1] for row in BAD_ANSWERS} | {"A01"} == set(CHECKS)


def test_a_school_that_was_not_asked_or_has_answered_is_not_heard(
    world: World, order: RoundOrder, expected: Expectation
) -> None:
    reply = signed_reply(world, SCHOOL, order, update())
    for school, answered in (("stranger", set()), (SCHOOL, {SCHOOL})):
        with pytest.raises(Rejected) as caught:
            examine(school, reply, expected, answered)
        assert caught.value.check == "A01"


def test_an_honest_answer_is_accepted_bit_for_bit(
    world: World, order: RoundOrder, expected: Expectation
) -> None:
    payload = payload_of(world, SCHOOL, order)
    accepted = examine(SCHOOL, signed_reply(world, SCHOOL, order, payload), expected, set())
    assert isinstance(accepted, Accepted)
    assert accepted.digest == digest(payload)
    assert encode(accepted.values, update_spec(PARAMETERS)) == payload


def test_an_update_of_zeros_is_an_answer(
    world: World, order: RoundOrder, expected: Expectation
) -> None:
    assert isinstance(
        examine(SCHOOL, signed_reply(world, SCHOOL, order, update(0.0)), expected, set()), Accepted
    )


def test_a_refusal_keeps_its_code(world: World, order: RoundOrder, expected: Expectation) -> None:
    declined = examine(SCHOOL, refusal(world, SCHOOL, order, RefusalCode.R11), expected, set())
    assert isinstance(declined, Declined)
    assert declined.code == "R11"


def test_a_school_that_could_not_read_the_order_may_refuse_without_naming_it(
    world: World, order: RoundOrder, expected: Expectation
) -> None:
    reply = refusal(
        world, SCHOOL, order, RefusalCode.R09, plan_digest=None, run_id=None, round=None
    )
    assert isinstance(examine(SCHOOL, reply, expected, set()), Declined)


def test_a_rejection_says_nothing_about_the_values(
    world: World, order: RoundOrder, expected: Expectation
) -> None:
    with pytest.raises(Rejected) as caught:
        examine(SCHOOL, signed_reply(world, SCHOOL, order, update(123.5)), expected, set())
    assert "123" not in str(caught.value)


def test_the_fingerprint_is_the_plans(expected: Expectation) -> None:
    assert expected.schema_fingerprint == FINGERPRINT


def test_the_checks_are_documented() -> None:
    page = Path(__file__).parents[3].joinpath("docs", "acceptance-checks.md").read_text("utf-8")
    for check, sentence in CHECKS.items():
        assert f"| {check} | {sentence}" in page
