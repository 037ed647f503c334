"""Copies of a JSON document that are a little wrong, for two readers that must agree on them."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import numpy as np

from fedtrace.governance.canonical import canonical

ODD: tuple[Any, ...] = (
    None, 0, -1, 1, 2, 3, 4, 1001, 1.5, True, "", "x", "A" * 43 + "=", "B" * 42 + "A=",
    "a b", [], {}, [[]],
)  # fmt: skip


SMALL_ORDER = [
    bytes.fromhex(key)
    for key in (
        "01" + 31 * "00",
        "01" + 30 * "00" + "80",
        "ec" + 30 * "ff" + "7f",
        "ec" + 31 * "ff",
        32 * "00",
        31 * "00" + "80",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
        "ed" + 30 * "ff" + "7f",
        "ed" + 31 * "ff",
        "ee" + 30 * "ff" + "7f",
        "ee" + 31 * "ff",
    )
]
"""All encodings of Curve25519's eight points of small order, and of their twins not reduced."""


def copies_spoilt(whole: bytes, count: int) -> Iterator[bytes]:
    """Copies with one or two values exchanged, repeated, taken away or put in; always the same.

    Args:
        whole: a JSON object.
        count: how many copies.
    """
    chance = np.random.default_rng(1)
    for _ in range(count):
        value = json.loads(whole)
        for _ in range(int(chance.integers(1, 3))):
            _spoil(value, chance)
        yield canonical(value)


def _spoil(value: Any, chance: np.random.Generator) -> None:
    place = value
    while True:
        names = sorted(place) if isinstance(place, dict) else list(range(len(place)))
        if not names:
            return
        name = names[chance.integers(len(names))]
        if not isinstance(place[name], dict | list) or chance.random() < 0.15:
            break
        place = place[name]
    what = chance.choice(["exchange", "exchange", "repeat", "drop", "add"])
    if what == "exchange":
        place[name] = ODD[chance.integers(len(ODD))]
    elif what == "drop":
        del place[name]
    elif isinstance(place, dict):
        other = names[chance.integers(len(names))] if what == "repeat" else "another"
        place[other] = copy.deepcopy(place[name])
    else:
        place.append(copy.deepcopy(place[name]))
