"""From one version of a charter to the next: what no signatures make lawful, and what is said."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from support.gate import signer

from fedtrace.governance.charter import (
    CHARTER_TYPE,
    VERSIONS_LIMIT,
    Aggregator,
    Charter,
    LogKey,
    Member,
    Person,
)
from fedtrace.governance.charter_history import CharterHistory, changes
from fedtrace.governance.errors import Rejected
from fedtrace.governance.signing import (
    SIGNATURE_LIMIT,
    PublicKey,
    SignatureError,
    add_signature,
    sign_envelope,
)

NAMES = ("school-1", "school-2", "school-3")


def public(name: str) -> PublicKey:
    return signer(name).public_key


def member(name: str, *people: str, machine: str | None = None) -> Member:
    return Member(
        name=name,
        public_key=public(machine or name),
        log_public_key=public(f"{name}.log"),
        people=tuple(Person(role="it", public_key=public(person)) for person in people),
    )


def charter(*members: Member, **values: Any) -> Charter:
    fields: dict[str, Any] = {
        "consortium": "county",
        "threshold": 2,
        "aggregator": Aggregator(name="aggregator", public_key=public("aggregator")),
        "log": LogKey(origin="county/log", public_key=public("log")),
        "members": members or tuple(member(name) for name in NAMES),
    }
    return Charter(**{**fields, **values})


def after(before: Charter, *members: Member, **values: Any) -> Charter:
    fields = {name: getattr(before, name) for name in Charter.model_fields}
    fields |= {"version": before.version + 1, "previous": before.digest()}
    if members:
        fields["members"] = members
    return Charter(**{**fields, **values})


def followed(*versions: Charter) -> CharterHistory:
    names = [*NAMES, *(f"{name}.{person}" for name in NAMES for person in ("a", "b", "new"))]
    keys = [signer(name) for name in names]
    founding, *later = versions
    return CharterHistory.follow(
        founding, (sign_envelope(each.to_bytes(), CHARTER_TYPE, keys) for each in later)
    )


FIRST, SECOND, THIRD = (member(name) for name in NAMES)


@pytest.mark.parametrize(
    ("moved", "sentence"),
    [
        (member("school-4", "school-1.a"), "that of a person of school-1 .* a person of school-4"),
        (member("school-4", machine="school-1.a"), "cannot be that of the machine of school-4"),
        (member("school-4", "school-1"), "that of the machine of school-1 .* person of school-4"),
        (member("school-4", "school-1.log"), "that of the log of school-1 in version 1"),
    ],
)
def test_a_key_of_a_member_that_left_speaks_for_nobody_else(moved: Member, sentence: str) -> None:
    founding = charter(member("school-1", "school-1.a"), SECOND, THIRD)
    gone = after(founding, SECOND, THIRD)
    history = followed(founding, gone)
    with pytest.raises(Rejected, match=sentence):
        history.require_lawful(after(gone, SECOND, THIRD, moved))


def test_a_machines_key_does_not_become_a_persons() -> None:
    founding = charter()
    promoted = member("school-1", "school-1", machine="school-1.new")
    with pytest.raises(Rejected, match="make a new key"):
        followed(founding, after(founding, promoted, SECOND, THIRD))


def test_a_member_that_left_comes_back_with_its_keys() -> None:
    founding = charter()
    gone = after(founding, SECOND, THIRD)
    back = after(gone, FIRST, SECOND, THIRD)
    history = followed(founding, gone, back)
    assert history.current == back
    for each in (founding, gone, back):
        assert history.version(each.digest()) == each
    assert history.version("sha256:" + "0" * 64) is None


def test_the_version_after_the_last_that_is_read_is_never_in_force() -> None:
    last = charter(version=VERSIONS_LIMIT, previous="sha256:" + "0" * 64)
    beyond = json.loads(last.to_bytes()) | {"version": VERSIONS_LIMIT + 1}
    with pytest.raises(ValueError, match="less than or equal to 1000"):
        Charter.model_validate_json(json.dumps(beyond))


def test_what_signs_is_said_in_full_and_what_is_weaker_is_marked() -> None:
    founding = charter()
    rekeyed = member("school-1", machine="school-1.new")
    coming = member("school-4", "school-4.a")
    next_one = after(founding, rekeyed, SECOND, coming, threshold=1, witness_quorum=1)
    joined, *others = changes(founding, next_one)
    assert joined == (
        f"school-4 becomes a member; for it it {public('school-4.a')} can sign; its machine has "
        f"the key {public('school-4')}, its log {public('school-4.log')}"
    )
    assert others == [
        "school-3 is a member no more: what it signed does not count from then on",
        f"the machine of school-1 has another key, {public('school-1.new')}",
        "members that must agree: 1 instead of 2 (FEWER)",
        "members that must have cosigned the log: 1, instead of 2 (FEWER)",
    ]


def test_a_threshold_that_no_envelope_can_hold() -> None:
    key = [base64.b64encode((2**16 + n).to_bytes(32, "little")).decode() for n in range(12_000)]
    members = tuple(
        Member(
            name=f"school-{number}",
            public_key=key[12 * number],
            log_public_key=key[12 * number + 1],
            people=tuple(
                Person(role="it", public_key=each)
                for each in key[12 * number + 2 : 12 * number + 7]
            ),
        )
        for number in range(801)
    )
    assert charter(*members, threshold=800, people_per_member=5).threshold == 800
    with pytest.raises(ValueError, match="4005 signatures, and an envelope holds 4000"):
        charter(*members, threshold=801, people_per_member=5)


def test_a_signature_that_would_make_an_envelope_unreadable_is_not_added() -> None:
    full = json.loads(sign_envelope(b"x", CHARTER_TYPE, []))
    full["signatures"] = [
        {"keyid": f"{number:064x}", "sig": "AAAA"} for number in range(SIGNATURE_LIMIT)
    ]
    with pytest.raises(SignatureError, match="would have 4001 signatures"):
        add_signature(json.dumps(full).encode(), CHARTER_TYPE, signer("school-1"))
