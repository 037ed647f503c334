"""Entries: one encoding, closed schemas, and no room for a student."""

from __future__ import annotations

import json
import types
import typing
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from enum import Enum
from typing import Any

import pytest
import rfc8785
from pydantic import ValidationError
from support.logs import NOW, encode, tell_story

from fedtrace.governance.errors import Rejected
from fedtrace.governance.log.entries import (
    ENTRY_LIMIT_BYTES,
    ENTRY_TYPES,
    Entry,
    KillSwitchChanged,
    OrderRefused,
    PlanAccepted,
    RoundReserved,
    decimal,
    decode_entry,
    encode_entry,
    size_bucket,
)
from fedtrace.governance.refusals import RefusalCode

ORIGIN = "county/log"
LINE = encode([KillSwitchChanged(on=True)], ORIGIN)[0]


def all_lines() -> list[bytes]:
    story = tell_story()
    refused = OrderRefused(
        code=RefusalCode.R11, clause="ledger.budget", plan_digest=None, run_id=None, round=None
    )
    return encode([*story.consortium, *story.schools["school-1"], refused], ORIGIN)


def test_every_entry_comes_back_as_it_was() -> None:
    for index, line in enumerate(all_lines()):
        logged = decode_entry(line, index=index, origin=ORIGIN)
        assert logged.index == index
        assert logged.time == NOW + timedelta(seconds=index)
        assert encode_entry(logged.entry, index=index, origin=ORIGIN, now=logged.time) == line


def test_the_encoding_is_rfc_8785_and_cloudevents() -> None:
    for line in all_lines():
        plain = json.loads(line)
        assert rfc8785.dumps(plain) == line
        assert plain["specversion"] == "1.0"
        assert {"id", "source", "type", "time", "data"} <= plain.keys()


def test_times_are_kept_in_utc() -> None:
    local = NOW.astimezone(timezone(timedelta(hours=-5)))
    entry = KillSwitchChanged(on=True)
    assert encode_entry(entry, index=0, origin=ORIGIN, now=local) == LINE


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        encode_entry(KillSwitchChanged(on=True), index=0, origin=ORIGIN, now=datetime(2026, 9, 1))  # noqa: DTZ001


def test_a_type_that_is_not_in_the_list_is_refused() -> None:
    class Gossip(Entry):
        type = "kill_switch.changed"
        text: str

    with pytest.raises(ValueError, match="Gossip is not an entry type"):
        encode_entry(Gossip(text="..."), index=0, origin=ORIGIN, now=NOW)


def test_an_entry_over_the_limit_is_refused() -> None:
    signers = tuple(f"{'s' * 60}{number:04}" for number in range(600))
    accepted = PlanAccepted(plan_digest=f"sha256:{'0' * 64}", signers=signers)
    with pytest.raises(ValueError, match=str(ENTRY_LIMIT_BYTES)):
        encode_entry(accepted, index=0, origin=ORIGIN, now=NOW)


@pytest.mark.parametrize(
    "origin", ["", "county log", 'county","type":"x', "county/l\u00f6g", "x" * 129]
)
def test_an_origin_that_no_log_can_have_is_refused(origin: str) -> None:
    with pytest.raises(ValueError, match="is not a log's origin"):
        encode_entry(KillSwitchChanged(on=True), index=0, origin=origin, now=NOW)


def altered(**changes: object) -> bytes:
    """The line with another envelope, in its canonical encoding."""
    return rfc8785.dumps({**json.loads(LINE), **changes})  # type: ignore[dict-item]


def without(name: str) -> bytes:
    plain = json.loads(LINE)
    del plain[name]
    return rfc8785.dumps(plain)


BAD = {
    "oversize": (altered(source="x" * ENTRY_LIMIT_BYTES), "size"),
    "nothing": (b"", "json"),
    "no JSON": (b"{", "json"),
    "a list": (b"[]", "type"),
    "nested deeply": (b"[" * 8000, "json"),
    "NaN": (LINE.replace(b"true", b"NaN"), "schema"),
    "not UTF-8": (LINE.replace(b"county", b"\xff\xfe"), "json"),
    "a byte order mark": (b"\xef\xbb\xbf" + LINE, "json"),
    "two values": (LINE + LINE, "json"),
    "a key twice": (LINE.replace(b'"on":true', b'"on":true,"on":true'), "canonical"),
    "a key twice, the first hidden": (
        LINE.replace(b'"on":true', b'"on":false,"on":true'),
        "canonical",
    ),
    "a space": (LINE.replace(b":true", b": true"), "canonical"),
    "a space at the end": (LINE + b" ", "canonical"),
    "a carriage return at the end": (LINE + b"\r", "canonical"),
    "another order of keys": (
        json.dumps(dict(reversed(json.loads(LINE).items())), separators=(",", ":")).encode(),
        "canonical",
    ),
    "an escaped letter": (LINE.replace(b"county", b"count\\u0079"), "canonical"),
    "an escaped slash": (LINE.replace(b"county/log", b"county\\/log"), "canonical"),
    "a letter that looks alike": (LINE.replace(b"county", "c\u043eunty".encode()), "canonical"),
    "the same, escaped": (LINE.replace(b"county", b"c\\u043eunty"), "canonical"),
    "half a surrogate": (LINE.replace(b"county", b"\\ud800"), "json"),
    "a type that is a list": (altered(type=["x"]), "type"),
    "an envelope within the data": (
        LINE.replace(b"{", LINE[:-1] + b',"x":{', 1),
        "json",
    ),
    "an unknown type": (altered(type="student.enrolled"), "type"),
    "a type that is a number": (altered(type=7), "type"),
    "no type": (without("type"), "type"),
    "another CloudEvents version": (altered(specversion="0.3"), "envelope"),
    "no source": (without("source"), "envelope"),
    "an extension attribute": (altered(subject="a student"), "envelope"),
    "a time with an offset": (altered(time="2026-09-01T08:00:00.000000+00:00"), "envelope"),
    "the 30th of February": (altered(time="2026-02-30T08:00:00.000000Z"), "envelope"),
    "an id with a zero before it": (altered(id="00"), "envelope"),
    "an unknown field": (altered(data={"on": True, "why": "free text"}), "schema"),
    "a missing field": (altered(data={}), "schema"),
    "a coerced value": (altered(data={"on": "true"}), "schema"),
    "data that are no object": (altered(data=True), "envelope"),
    "another index": (altered(id="1"), "index"),
    "another log": (altered(source="county/schools/school-1"), "origin"),
}


@pytest.mark.parametrize(("line", "check"), BAD.values(), ids=BAD.keys())
def test_what_is_no_entry_fails_a_named_check(line: bytes, check: str) -> None:
    assert line != LINE
    with pytest.raises(Rejected) as caught:
        decode_entry(line, index=0, origin=ORIGIN)
    assert caught.value.check == check
    assert "free text" not in caught.value.sentence


def reserved(**changes: object) -> RoundReserved:
    values = {
        "plan_digest": f"sha256:{'0' * 64}",
        "run_id": "run-1",
        "round": 1,
        "kind": "train",
        "noise_multiplier": "2.5",
        "sampling_rate": "0.1",
        "cohort_size": "20-49",
        "cohort_root": f"sha256:{'1' * 64}",
    }
    return RoundReserved.model_validate({**values, **changes})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("round", 0),
        ("round", True),
        ("round", 1.0),
        ("run_id", "Maria Garcia"),
        ("run_id", "n\u00e4me"),
        ("run_id", "run-1\n"),
        ("noise_multiplier", 2.5),
        ("noise_multiplier", "nan"),
        ("noise_multiplier", "-1"),
        ("noise_multiplier", "01"),
        ("noise_multiplier", "\u0661"),
        ("cohort_size", "23"),
        ("cohort_root", "sha256:00"),
        ("plan_digest", f"sha256:{'A' * 64}"),
    ],
)
def test_a_value_outside_its_closed_form_is_refused(field: str, value: object) -> None:
    reserved()
    with pytest.raises(ValidationError):
        reserved(**{field: value})


# --- no room for a student ------------------------------------------------------------------------

ALLOWED_NAMES = {
    "answered", "averaged", "charter_digest", "check", "checkpoint_digest", "clause",
    "clipping_norm", "code", "cohort_root", "cohort_size", "columns_dropped", "columns_kept",
    "delta", "digest", "epsilon_job", "inputs", "kind", "minimum", "noise_multiplier", "on",
    "order_digest", "output_digest", "plan_digest", "policy_digest", "previous_digest",
    "reason", "round", "rounds",
    "rows_kept", "rows_rejected", "rule", "run_id", "sampling_rate", "school", "schools",
    "signers", "students", "token_digest", "trust_mode", "version",
    "expired", "given", "matter", "refused",
    "request", "requested", "scope", "withdrawn",
}  # fmt: skip


def leaves(annotation: object, metadata: tuple[object, ...]) -> Iterator[tuple[object, Any]]:
    """Every plain type in an annotation, with what restricts it."""
    origin = typing.get_origin(annotation)
    if origin is typing.Annotated:
        inner, *more = typing.get_args(annotation)
        yield from leaves(inner, (*metadata, *more))
    elif origin in (tuple, typing.Union, types.UnionType):
        for argument in typing.get_args(annotation):
            if argument not in (type(None), Ellipsis):
                yield from leaves(argument, metadata)
    elif isinstance(annotation, type) and hasattr(annotation, "model_fields"):
        for field in annotation.model_fields.values():
            yield from leaves(field.annotation, tuple(field.metadata))
    else:
        yield annotation, metadata


@pytest.mark.parametrize("kind", ENTRY_TYPES.values(), ids=ENTRY_TYPES.keys())
def test_no_schema_has_room_for_free_text_or_a_default(kind: type[Entry]) -> None:
    assert kind.model_fields.keys() <= ALLOWED_NAMES
    for field in kind.model_fields.values():
        assert field.is_required(), "a default would give one entry two encodings"
        for plain, metadata in leaves(field.annotation, tuple(field.metadata)):
            if plain is str:
                patterns = [getattr(each, "pattern", None) for each in metadata]
                nested = [
                    getattr(item, "pattern", None)
                    for each in metadata
                    for item in getattr(each, "metadata", ())
                ]
                assert any(patterns + nested), "a string without a pattern is free text"
            elif isinstance(plain, type) and issubclass(plain, int) and plain is not bool:
                assert metadata, "an integer without bounds"
            elif not (isinstance(plain, type) and issubclass(plain, Enum)):
                assert plain is bool or typing.get_origin(plain) is typing.Literal


@pytest.mark.parametrize(
    ("count", "bucket"),
    [(0, "0"), (1, "1-9"), (9, "1-9"), (10, "10-19"), (499, "200-499"), (1000, "1000+")],
)
def test_counts_are_told_in_buckets(count: int, bucket: str) -> None:
    assert size_bucket(count) == bucket


@pytest.mark.parametrize(
    ("value", "text"), [(2.5, "2.5"), (1.0, "1"), (0.0, "0"), (1e-5, "1e-05"), (0.1, "0.1")]
)
def test_decimals_are_told_as_python_prints_them(value: float, text: str) -> None:
    assert decimal(value) == text
    assert float(text) == value
