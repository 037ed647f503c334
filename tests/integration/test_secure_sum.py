"""Whole jobs under secure sum: nothing lost but what is lost, nothing revealed that need not be.

The hostile server of these tests holds the aggregator's key: it can sign any order and send any
message, and sees every answer. What it asks beyond the protocol is refused, with a code, and the
refusal stands in the school's log.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import Message
from safetensors.numpy import load
from support.consistency import check_consortium, logged
from support.federation import Delivery, Fault, Federation, Wire, copy_of, parts_of

from fedtrace.governance.log.entries import (
    OrderRefused,
    RoundFailed,
    SharesRevealed,
    UpdateRejected,
)
from fedtrace.governance.manifest import REFUSAL_TYPE, RefusalNotice
from fedtrace.governance.secure_sum import (
    RUN_KEY_TYPE,
    SHARES_TYPE,
    SURVIVORS_TYPE,
    HandedShares,
    RunKey,
    SealedShares,
    Survivors,
    merged_agreement,
    sign_document,
)
from fedtrace.governance.signing import generate_key, unverified_payload
from fedtrace.privacy.discrete import NoiseShare
from fedtrace.privacy.randomness import RandomSource
from fedtrace.privacy.secure_sum import protocol
from fedtrace.server.outcome import JobOutcome

BAD, OTHER = "school-2", "school-1"


def stage_of(delivery: Delivery) -> str:
    return delivery.request.get("stage", b"contribute").decode()


def test_a_whole_job(federation: Federation) -> None:
    payloads: list[bytes] = []

    def listening(delivery: Delivery) -> Iterable[Message]:
        answer = delivery.handed_over()
        payloads.extend(p for name, p in parts_of(answer).items() if name == "payload")
        return [answer]

    faults = {(school, r): listening for school in federation.schools for r in (1, 2, 3, 4)}
    outcome = federation.run("distributed", wire=Wire(federation, faults=faults))

    assert outcome.reason == "completed"
    assert [each.answered for each in outcome.rounds] == [federation.schools] * 3
    assert outcome.evaluation is not None
    assert outcome.evaluation.per_school == {}
    assert outcome.epsilon <= federation.plans["distributed"].privacy.epsilon_job
    for payload in payloads:  # three rounds and an evaluation of three schools: all of it uniform
        words = load(payload)["masked"]
        assert words.dtype == np.uint32
        assert abs(words.astype(float).mean() / 2**32 - 0.5) < 0.25
    assert len(payloads) == 12
    revealed = [e for e in logged(federation.home(OTHER)) if isinstance(e, SharesRevealed)]
    assert [each.schools for each in revealed] == [federation.schools] * 4
    check_consortium(federation.workspace)


@pytest.mark.system
def test_what_is_unmasked_is_the_sum_of_what_was_masked(
    federation: Federation, monkeypatch: pytest.MonkeyPatch
) -> None:
    shares: list[np.ndarray] = []
    sums: list[np.ndarray] = []
    protect, unmask = NoiseShare.protect, protocol.unmask

    def protecting(self: NoiseShare, total: np.ndarray, source: RandomSource) -> np.ndarray:
        shares.append(protect(self, total, source))
        return shares[-1]

    def unmasking(*arguments: Any) -> np.ndarray:
        sums.append(unmask(*arguments))
        return sums[-1]

    monkeypatch.setattr(NoiseShare, "protect", protecting)
    monkeypatch.setattr(protocol, "unmask", unmasking)
    federation.run("distributed")
    assert len(shares) == 12
    assert len(sums) == 4
    for i, total in enumerate(sums):
        assert (total == np.sum(shares[3 * i : 3 * i + 3], axis=0)).all()
        assert np.abs(total).max() > 10**5


def silent_at(stage: str) -> Fault:
    return lambda delivery: [] if stage_of(delivery) == stage else [delivery.handed_over()]


@pytest.mark.parametrize(
    ("stage", "number", "summed"),
    [
        pytest.param("keys", 1, 2, marks=pytest.mark.system),
        ("contribute", 2, 2),
        pytest.param("agree", 2, 3, marks=pytest.mark.system),
        ("reveal", 2, 3),
    ],
)
def test_a_school_lost_at_any_stage_costs_at_most_itself(
    federation: Federation, stage: str, number: int, summed: int
) -> None:
    wire = Wire(federation, faults={(BAD, number): silent_at(stage)})
    outcome = federation.run("distributed", wire=wire)
    assert outcome.reason == "completed"
    assert [len(each.answered) for each in outcome.rounds] == [
        summed if each.round == number else 3 for each in outcome.rounds
    ]
    assert all(each.attempts == 1 for each in outcome.rounds)
    check_consortium(federation.workspace)


def test_a_round_that_cannot_be_unmasked_is_asked_again_from_all(federation: Federation) -> None:
    lost = {"agree": 2}

    def once(delivery: Delivery) -> Iterable[Message]:
        stage = stage_of(delivery)
        if stage == "agree" and lost["agree"]:
            lost["agree"] -= 1
            return []
        return [delivery.handed_over()]

    faults = {(BAD, 2): once, (OTHER, 2): once}
    outcome = federation.run("distributed", wire=Wire(federation, faults=faults))
    assert [each.attempts for each in outcome.rounds[:2]] == [1, 2]
    assert [len(each.answered) for each in outcome.rounds[:2]] == [3, 3]
    assert outcome.rounds[1].closed
    assert outcome.reason == "budget_exhausted"  # the second attempt was a release of its own
    entries = logged(federation.workspace.consortium_home)
    assert [each.answered for each in entries if isinstance(each, RoundFailed)] == [0]
    check_consortium(federation.workspace, warnings=["updates.received"] * 3)


@pytest.mark.parametrize(
    ("change", "check"),
    [
        pytest.param(
            lambda parts: {name: part for name, part in parts.items() if name != "sealed"},
            "A02",
            id="without shares",
        ),
        pytest.param(
            lambda parts: {**parts, "sealed": parts["sealed"][:-1]},
            "A02",
            id="cut short",
            marks=pytest.mark.system,
        ),
        pytest.param(
            lambda parts: {**parts, "sealed": b"\x00" + parts["sealed"][1:]},
            "A08",
            id="other commitments",
            marks=pytest.mark.system,
        ),
        pytest.param(
            lambda parts: {**parts, "sealed": parts["sealed"][:-1] + b"\x00"},
            "A08",
            id="another share",
        ),
    ],
)
def test_shares_that_are_not_those_that_a_school_signed_leave_it_out(
    federation: Federation, change: Callable[[dict[str, bytes]], dict[str, bytes]], check: str
) -> None:
    def changed(delivery: Delivery) -> Iterable[Message]:
        answer = delivery.handed_over()
        if stage_of(delivery) != "contribute":
            return [answer]
        return [delivery.answer(change(dict(parts_of(answer))))]

    outcome = federation.run("distributed", wire=Wire(federation, faults={(BAD, 2): changed}))
    assert outcome.reason == "completed"
    assert [len(each.answered) for each in outcome.rounds] == [3, 2, 3]
    entries = logged(federation.workspace.consortium_home)
    rejected = [each for each in entries if isinstance(each, UpdateRejected)]
    assert [(each.school, each.check) for each in rejected] == [(BAD, check)]
    check_consortium(federation.workspace, warnings=["updates.received"])


# --- a hostile server -----------------------------------------------------------------------------

Attack = Callable[[Federation, Delivery], Message | None]
"""What the server asks for beside the protocol; None where this message is not the place."""

Refusal = tuple[str, str]
"""Code and clause."""


@dataclass(frozen=True)
class Attacked:
    """A job under attack, and what the school said, in order."""

    federation: Federation
    outcome: JobOutcome
    said: list[tuple[Attack, Refusal]]


def two_lists(federation: Federation, delivery: Delivery) -> Message | None:
    """After everybody's list, one without a school: to get its pair seeds too."""
    if stage_of(delivery) != "agree":
        return None
    delivery.handed_over()
    listed = Survivors.from_bytes(delivery.request["survivors"])
    other = tuple(school for school in listed.survivors if school != BAD)
    changed = listed.model_copy(update={"survivors": other})
    return delivery.handed_over(survivors=changed.to_bytes())


def both_shares(federation: Federation, delivery: Delivery) -> Message | None:
    """Reveal again, for a list that the server signed for the schools that it controls."""
    if stage_of(delivery) != "reveal":
        return None
    delivery.handed_over()
    payload = unverified_payload(delivery.request["agreement"], SURVIVORS_TYPE)
    listed = Survivors.from_bytes(payload)
    other = tuple(school for school in listed.survivors if school != BAD)
    changed = listed.model_copy(update={"survivors": other})
    signers = {school: federation.signer(school) for school in other}
    forged = {school: sign_document(changed, signer) for school, signer in signers.items()}
    keys = {school: signer.public_key for school, signer in signers.items()}
    return delivery.handed_over(agreement=merged_agreement(forged, keys))


def no_agreement(federation: Federation, delivery: Delivery) -> Message | None:
    """Reveal for a list that only one school signed."""
    if stage_of(delivery) != "reveal":
        return None
    payload = unverified_payload(delivery.request["agreement"], SURVIVORS_TYPE)
    listed = Survivors.from_bytes(payload)
    return delivery.handed_over(agreement=sign_document(listed, federation.signer(BAD)))


def small_list(federation: Federation, delivery: Delivery) -> Message | None:
    """A sum of one is no sum."""
    if stage_of(delivery) != "agree":
        return None
    listed = Survivors.from_bytes(delivery.request["survivors"])
    alone = listed.model_copy(update={"survivors": (OTHER,)})
    return delivery.handed_over(survivors=alone.to_bytes())


def list_without_the_school(federation: Federation, delivery: Delivery) -> Message | None:
    """Help to unmask others without being among them."""
    if stage_of(delivery) != "agree":
        return None
    listed = Survivors.from_bytes(delivery.request["survivors"])
    others = tuple(school for school in listed.survivors if school != OTHER)
    changed = listed.model_copy(update={"survivors": others})
    return delivery.handed_over(survivors=changed.to_bytes())


def list_of_another_group(federation: Federation, delivery: Delivery) -> Message | None:
    """The right names over other keys."""
    if stage_of(delivery) != "agree":
        return None
    listed = Survivors.from_bytes(delivery.request["survivors"])
    changed = listed.model_copy(update={"group_digest": "sha256:" + "0" * 64})
    return delivery.handed_over(survivors=changed.to_bytes())


def own_keys(federation: Federation, delivery: Delivery) -> Message | None:
    """Everybody else's key is one that the server made."""
    if stage_of(delivery) != "contribute":
        return None
    own, *others = delivery.request["keys"].split(b"\n")
    swapped = [own]
    for envelope in others:
        key = RunKey.from_bytes(unverified_payload(envelope, RUN_KEY_TYPE))
        changed = key.model_copy(update={"public_key": "77" * 32})
        swapped.append(sign_document(changed, generate_key()))
    return delivery.handed_over(keys=b"\n".join(swapped))


def small_group(federation: Federation, delivery: Delivery) -> Message | None:
    """Only the school itself is in the group."""
    if stage_of(delivery) != "contribute":
        return None
    return delivery.handed_over(keys=delivery.request["keys"].split(b"\n")[0])


def no_group(federation: Federation, delivery: Delivery) -> Message | None:
    """No keys at all: an unmasked contribution would be needed."""
    return delivery.handed_over(keys=b"") if stage_of(delivery) == "contribute" else None


def keys_of_another_run(federation: Federation, delivery: Delivery) -> Message | None:
    """The keys of a run that is over, whose private halves may be known."""
    if stage_of(delivery) != "contribute":
        return None
    old = []
    for envelope in delivery.request["keys"].split(b"\n"):
        key = RunKey.from_bytes(unverified_payload(envelope, RUN_KEY_TYPE))
        again = key.model_copy(update={"run_id": "run-before"})
        old.append(sign_document(again, federation.signer(key.school)))
    return delivery.handed_over(keys=b"\n".join(old))


def strangers_shares(federation: Federation, delivery: Delivery) -> Message | None:
    """Shares that their school did not sign."""
    if stage_of(delivery) != "reveal":
        return None
    first, *others = delivery.request["shares"].split(b"\n")
    handed = HandedShares.from_bytes(first)
    shares = SealedShares.from_bytes(unverified_payload(handed.signed.encode(), SHARES_TYPE))
    forged = sign_document(shares, generate_key()).decode()
    changed = handed.model_copy(update={"signed": forged}).to_bytes()
    return delivery.handed_over(shares=b"\n".join([changed, *others]))


def exchanged_pieces(federation: Federation, delivery: Delivery) -> Message | None:
    """Under each school's signature what another one sealed."""
    if stage_of(delivery) != "reveal":
        return None
    first, second = map(HandedShares.from_bytes, delivery.request["shares"].split(b"\n"))
    changed = [
        first.model_copy(update={"piece": second.piece}).to_bytes(),
        second.model_copy(update={"piece": first.piece}).to_bytes(),
    ]
    return delivery.handed_over(shares=b"\n".join(changed))


def unknown_stage(federation: Federation, delivery: Delivery) -> Message | None:
    """A stage that does not exist."""
    return delivery.handed_over(stage=b"modulus-2") if stage_of(delivery) == "agree" else None


ATTACKS: dict[Attack, Refusal] = {
    small_list: ("R13", "plan.schools.minimum_per_round"),
    list_without_the_school: ("R22", "secure_sum.survivors"),
    list_of_another_group: ("R22", "secure_sum.group"),
    own_keys: ("R22", "secure_sum.keys"),
    small_group: ("R13", "plan.schools.minimum_per_round"),
    no_group: ("R13", "plan.schools.minimum_per_round"),
    keys_of_another_run: ("R22", "secure_sum.keys"),
    strangers_shares: ("R22", "secure_sum.shares"),
    exchanged_pieces: ("R22", "secure_sum.shares"),
    no_agreement: ("R22", "secure_sum.survivors"),
    unknown_stage: ("R14", "order.kind"),
    # These two have the real order answered first.
    two_lists: ("R22", "secure_sum.survivors"),
    both_shares: ("R22", "secure_sum.survivors"),
}
"""What is asked, in this order within a message of the round -> how it is refused."""


@pytest.fixture(scope="module")
def attacked(template: Federation, folder: Path) -> Iterator[Attacked]:
    """One job in whose second round a school meets every attack before the real message."""
    said: list[tuple[Attack, Refusal]] = []
    with copy_of(template, folder / "attacked") as federation:

        def attack_first(delivery: Delivery) -> Iterable[Message]:
            for attack in ATTACKS:
                answer = attack(federation, delivery)
                if answer is not None:
                    said.append((attack, _refusal_in(answer)))
            return [delivery.handed_over()]

        wire = Wire(federation, faults={(OTHER, 2): attack_first})
        outcome = federation.run("distributed", wire=wire)
        yield Attacked(federation, outcome, said)


def _refusal_in(answer: Message) -> Refusal:
    parts = parts_of(answer)
    assert set(parts) == {"refusal"}
    notice = RefusalNotice.from_bytes(unverified_payload(parts["refusal"], REFUSAL_TYPE))
    return str(notice.code), notice.clause


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
def test_a_hostile_server_is_refused(attacked: Attacked, attack: Attack) -> None:
    assert {refusal for each, refusal in attacked.said if each is attack} == {ATTACKS[attack]}


def test_every_refusal_is_logged_and_the_round_goes_on(attacked: Attacked) -> None:
    entries = logged(attacked.federation.home(OTHER))
    refusals = [(str(e.code), e.clause) for e in entries if isinstance(e, OrderRefused)]
    assert refusals == [refusal for _, refusal in attacked.said]
    assert attacked.outcome.reason == "completed"
    assert [len(each.answered) for each in attacked.outcome.rounds] == [3, 3, 3]
    check_consortium(attacked.federation.workspace)


def test_an_earlier_round_is_never_unmasked_again(federation: Federation) -> None:
    kept: dict[str, Delivery] = {}
    answers: list[Message] = []

    def keeping(delivery: Delivery) -> Iterable[Message]:
        kept[stage_of(delivery)] = delivery
        return [delivery.handed_over()]

    def replaying(delivery: Delivery) -> Iterable[Message]:
        answer = delivery.handed_over()
        if stage_of(delivery) == "contribute":
            answers.extend(kept[stage].handed_over() for stage in ("agree", "reveal"))
        return [answer]

    faults = {(OTHER, 1): keeping, (OTHER, 2): replaying}
    outcome = federation.run("distributed", wire=Wire(federation, faults=faults))
    assert [set(parts_of(answer)) for answer in answers] == [{"refusal"}, {"refusal"}]
    assert outcome.reason == "completed"
    check_consortium(federation.workspace)


def test_no_two_contributions_ever_leave_under_one_mask(federation: Federation) -> None:
    """An order that a newer attempt has replaced: its masks are used up, its answer is gone.

    Answered again, the difference of both answers would be the school's own, without any mask.
    """
    contributions: list[Delivery] = []
    lost = {OTHER: 1, BAD: 1}
    answers: list[Message] = []

    def first_attempt_fails(delivery: Delivery) -> Iterable[Message]:
        stage = stage_of(delivery)
        if stage == "agree" and lost[delivery.school]:
            lost[delivery.school] = 0
            return []
        answer = delivery.handed_over()
        if delivery.school == OTHER and stage == "contribute":
            contributions.append(delivery)
            if len(contributions) == 2:
                answers.append(contributions[0].handed_over())
        return [answer]

    faults = {(BAD, 1): first_attempt_fails, (OTHER, 1): first_attempt_fails}
    federation.run("distributed", wire=Wire(federation, faults=faults))
    assert len({delivery.order.nonce for delivery in contributions}) == 2
    (answer,) = answers
    notice = RefusalNotice.from_bytes(unverified_payload(parts_of(answer)["refusal"], REFUSAL_TYPE))
    assert str(notice.code) == "R10"


def test_the_same_order_again_reveals_nothing_new(federation: Federation) -> None:
    """An aggregator that died asks again; every stage gives the same bytes."""
    answers: dict[str, list[dict[str, bytes]]] = {}

    def twice(delivery: Delivery) -> Iterable[Message]:
        first, second = delivery.handed_over(), delivery.handed_over()
        answers.setdefault(stage_of(delivery), []).extend([parts_of(first), parts_of(second)])
        return [second]

    federation.run("distributed", wire=Wire(federation, faults={(OTHER, 2): twice}))
    assert set(answers) == {"contribute", "agree", "reveal"}
    for first, second in answers.values():
        assert first == second
