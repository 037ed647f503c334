"""What a secure sum costs a school and the aggregator."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median

import numpy as np
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from support.measurement import Measurement, spread

from fedtrace.privacy.secure_sum.group import Group
from fedtrace.privacy.secure_sum.protocol import MaskedInput, Member, unmask

SCHOOLS = 200
PARAMETERS = 1_000_000
REPETITIONS = 5
GOAL_SECONDS = 0.25
GOAL_BYTES = 4.1e6


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
    size = sent.words.nbytes + len(sent.commitments) + sum(map(len, sent.sealed.values()))
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
        _reveal_and_unmask(keys, group),
    ]


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
