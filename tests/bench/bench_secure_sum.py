"""What a secure sum costs a school and the aggregator."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median

import numpy as np
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from flwr.app import ConfigRecord, RecordDict
from flwr.supercore.inflatable.inflatable_object import get_all_nested_objects
from support.measurement import Measurement, spread

from fedtrace.client.app import RECORD
from fedtrace.client.checkpoint import write_tensor
from fedtrace.governance.log.merkle import root_of
from fedtrace.governance.manifest import Manifest, sign_manifest
from fedtrace.governance.secure_sum import SealedShares, handed_shares, sign_document
from fedtrace.governance.signing import generate_key
from fedtrace.privacy.secure_sum.group import SPARSE_NEIGHBOURS, Group
from fedtrace.privacy.secure_sum.protocol import MaskedInput, Member, unmask, unpack

SCHOOLS = 200
PARAMETERS = 1_000_000
REPETITIONS = 5
GOAL_SECONDS = 0.25
GOAL_BYTES = 4.1e6
_DIGEST = "sha256:" + "0" * 64


def run() -> list[Measurement]:
    """One round of 200 schools and a million parameters; a fifth is lost on the way."""
    keys = {f"school-{i:03d}": X25519PrivateKey.generate() for i in range(SCHOOLS)}
    public = {name: key.public_key().public_bytes_raw() for name, key in keys.items()}
    group = Group(public, colluding=0)
    values = np.arange(PARAMETERS) % 1000
    name = next(iter(keys))

    def masked() -> MaskedInput:
        member = Member(name, keys[name], group, run="plan/run", order="order")
        return member.mask(values)

    sent = masked()
    size = _message_bytes(name, sent, group)
    handed = _handed_bytes(name, sent, group)
    return [
        _timed("mask and share out, a school", masked, goal=GOAL_SECONDS),
        Measurement(
            name=f"secure_sum/bytes a school sends, {SCHOOLS} x {PARAMETERS}",
            value=size,
            unit="B",
            spread=0.0,
            baseline=f"goal of {GOAL_BYTES:g} B",
            ratio=GOAL_BYTES / size,
        ),
        Measurement(
            name=f"secure_sum/shares of {SPARSE_NEIGHBOURS} schools that one is handed",
            value=SPARSE_NEIGHBOURS * handed,
            unit="B",
            spread=0.0,
        ),
        _reveal_and_unmask(keys, group),
    ]


def _message_bytes(name: str, sent: MaskedInput, group: Group) -> int:
    """The reply as Flower sends it: masked input, shares, and a signature for each of them."""
    school, payload = generate_key(), write_tensor("masked", sent.words)
    manifest = Manifest(
        school=name,
        plan_digest=_DIGEST,
        run_id="run-2a2aa973b8e29c30",
        round=1,
        kind="train",
        order_digest=_DIGEST,
        nonce="0" * 64,
        update_digest=_DIGEST,
        payload_bytes=len(payload),
        schema_fingerprint=_DIGEST,
    )
    reply = {
        "manifest": sign_manifest(manifest, school),
        "payload": payload,
        "shares": sign_document(_signed_shares(name, sent, group), school),
        "sealed": sent.parcel,
    }
    message = RecordDict({RECORD: ConfigRecord(reply)})
    objects = get_all_nested_objects(message)
    return sum(len(each.deflate()) for each in objects.values())


def _handed_bytes(name: str, sent: MaskedInput, group: Group) -> int:
    """What one holder is handed of one school's shares."""
    envelope = sign_document(_signed_shares(name, sent, group), generate_key())
    pieces = unpack(sent.parcel, name, group)
    return max(len(each.to_bytes()) for each in handed_shares(envelope, pieces))


def _signed_shares(name: str, sent: MaskedInput, group: Group) -> SealedShares:
    return SealedShares(
        school=name,
        order_digest=_DIGEST,
        group_digest=group.digest,
        root=root_of(unpack(sent.parcel, name, group)).hex(),
    )


def _reveal_and_unmask(keys: dict[str, X25519PrivateKey], group: Group) -> Measurement:
    """Seconds of the aggregator, with vectors of 1,000 numbers: the shares, not the masks."""
    members = {
        name: Member(name, key, group, run="plan/run", order="order") for name, key in keys.items()
    }
    survivors = [name for i, name in enumerate(keys) if i % 5]
    sent = {name: members[name].mask(np.zeros(1000, dtype=np.int64)) for name in survivors}
    revealed = {
        name: members[name].reveal(
            {owner: each.sealed[name] for owner, each in sent.items() if name in each.sealed},
            survivors,
        )
        for name in survivors
    }
    words = np.zeros(1000, dtype=np.uint32)
    for each in sent.values():
        words = words + each.words
    commitments = {name: each.commitments for name, each in sent.items()}
    return _timed(
        "unmask 1,000 numbers of 160 of 200 schools, aggregator",
        lambda: unmask(group, words, commitments, revealed),
    )


def _timed(what: str, work: Callable[[], object], *, goal: float | None = None) -> Measurement:
    seconds = []
    for _ in range(REPETITIONS):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return Measurement(
        name=f"secure_sum/{what}",
        value=median(seconds),
        unit="s",
        spread=spread(seconds),
        baseline=f"goal of {goal:g} s" if goal else None,
        ratio=goal / median(seconds) if goal else None,
    )
