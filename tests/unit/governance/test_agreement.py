"""People sign; members are counted."""

from __future__ import annotations

import base64
import itertools
import json

import pytest
from support.gate import plan_with, signer

from fedtrace.governance.agreement import (
    add_agreement,
    merge_agreements,
    read_agreement,
    require_agreement,
)
from fedtrace.governance.charter import Aggregator, Charter, LogKey, Member, Person, Role
from fedtrace.governance.plan import PLAN_TYPE
from fedtrace.governance.plan_signing import open_plan, sign_plan
from fedtrace.governance.refusals import RefusalCode, Refused
from fedtrace.governance.signing import PublicKey, SignatureError, valid_signers

PLAN = plan_with()
PEOPLE: tuple[Role, ...] = ("privacy_officer", "it", "leadership")


def public(name: str) -> PublicKey:
    return signer(name).public_key


def member(name: str, roles: tuple[Role, ...] = PEOPLE) -> Member:
    return Member(
        name=name,
        public_key=public(name),
        log_public_key=public(f"{name}.log"),
        people=tuple(Person(role=role, public_key=public(f"{name}.{role}")) for role in roles),
    )


def charter(threshold: int = 2, people: int = 2, *members: Member) -> Charter:
    return Charter(
        consortium="county",
        threshold=threshold,
        people_per_member=people,
        aggregator=Aggregator(name="aggregator", public_key=public("aggregator")),
        log=LogKey(origin="county/log", public_key=public("log")),
        members=members or tuple(member(f"school-{i}") for i in (1, 2, 3)),
    )


def signed(*names: str) -> bytes:
    return sign_plan(PLAN, [signer(name) for name in names])


def test_a_member_agrees_when_two_of_its_people_signed() -> None:
    envelope = signed("school-1.it", "school-1.privacy_officer", "school-2.it", "school-3.it")
    found = read_agreement(envelope, PLAN_TYPE, charter())
    assert found.members == ("school-1",)
    assert found.waiting == {"school-2": 1, "school-3": 1}
    with pytest.raises(SignatureError, match=r"1 of the 2 members .* 1 of school-2, 1 of school-3"):
        require_agreement(envelope, PLAN_TYPE, charter())


def test_many_people_of_one_member_are_one_member() -> None:
    envelope = signed(*(f"school-1.{role}" for role in PEOPLE))
    with pytest.raises(Refused) as refused:
        open_plan(envelope, charter())
    assert refused.value.code is RefusalCode.R01


def test_a_machine_does_not_sign_where_people_do() -> None:
    envelope = signed("school-1", "school-2", "school-1.it", "school-2.it")
    assert read_agreement(envelope, PLAN_TYPE, charter()).members == ()
    with pytest.raises(ValueError, match="machine of school-1; people sign for it"):
        charter().signatory(public("school-1"))


def test_neither_log_keys_nor_strangers_sign() -> None:
    names = ["school-1.log", "school-2.log", "aggregator", "log", "stranger", "school-9.it"]
    assert read_agreement(signed(*names), PLAN_TYPE, charter()).members == ()
    for name in names:
        with pytest.raises(ValueError, match="of nobody who signs"):
            charter().signatory(public(name))


@pytest.mark.parametrize("people", [1, 2, 3])
@pytest.mark.parametrize("signing", list(itertools.product(range(4), repeat=2)))
def test_every_number_of_people(people: int, signing: tuple[int, int]) -> None:
    names = [
        f"school-{school}.{role}"
        for school, count in enumerate(signing, start=1)
        for role in PEOPLE[:count]
    ]
    found = read_agreement(signed(*names, "stranger"), PLAN_TYPE, charter(2, people))
    expected = tuple(f"school-{i}" for i, count in enumerate(signing, start=1) if count >= people)
    assert found.members == expected


def test_one_person_or_a_machine_where_the_charter_says_so() -> None:
    mixed = charter(2, 1, member("school-1"), member("school-2", ()))
    assert open_plan(signed("school-1.it", "school-2"), mixed).signers == ("school-1", "school-2")
    assert str(mixed.signatory(public("school-1.it"))) == "school-1 (it)"
    assert str(mixed.signatory(public("school-2"))) == "school-2"


def test_a_signature_is_added_to_the_same_document_only() -> None:
    first = add_agreement(None, PLAN, signer("school-1.it"))
    both = add_agreement(first, PLAN, signer("school-1.privacy_officer"))
    assert read_agreement(both, PLAN_TYPE, charter()).members == ("school-1",)
    with pytest.raises(SignatureError, match="but another document"):
        add_agreement(first, plan_with({"name": "another"}), signer("school-2.it"))


@pytest.mark.parametrize("order", [1, -1])
def test_a_copy_with_a_spoilt_signature_undoes_nothing(order: int) -> None:
    whole = signed("school-1.it", "school-1.privacy_officer", "school-2.it", "stranger")
    other = json.loads(signed("school-1.it", "school-2.it", "school-2.privacy_officer"))
    for each in other["signatures"][:2]:
        each["sig"] = base64.b64encode(bytes(64)).decode()
    copies = [whole, json.dumps(other).encode()][::order]
    merged = merge_agreements(copies, PLAN_TYPE, charter())
    assert read_agreement(merged, PLAN_TYPE, charter()).members == ("school-1", "school-2")
    keys = {"stranger": public("stranger")}
    assert valid_signers(merged, PLAN_TYPE, keys).signers == ("stranger",)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"people_per_member": 4}, "school-1 has keys of 3 people, 4 must sign for it"),
        ({"version": 2}, "names the digest of the one before"),
        ({"previous": "sha256:" + "0" * 64}, "names the digest of the one before"),
        ({"members": (member("school-1"), member("school-2", ("it",)))}, "school-2 has keys of 1"),
        ({"members": (member("school-1"), member("school-2", ()))}, "school-2 has keys of 0"),
    ],
)
def test_charters_that_cannot_be(values: dict[str, object], sentence: str) -> None:
    whole = {name: getattr(charter(), name) for name in Charter.model_fields}
    with pytest.raises(ValueError, match=sentence):
        Charter(**{**whole, **values})


def test_a_person_in_two_places() -> None:
    other = Member(
        name="school-2",
        public_key=public("school-2"),
        log_public_key=public("school-2.log"),
        people=member("school-1").people,
    )
    with pytest.raises(ValueError, match="one key stands in two places"):
        charter(1, 2, member("school-1"), other)
