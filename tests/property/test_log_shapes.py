"""The fast yes of reading a log is never more than the schema's own."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from support.logs import tell_story
from support.thoroughness import examples

from fedtrace.governance.log.entries import ENTRY_TYPES, Entry
from fedtrace.governance.log.shapes import data_pattern

STORY = tell_story()
EXAMPLES: Sequence[Entry] = list(
    {
        type(entry): entry for log in (STORY.consortium, *STORY.schools.values()) for entry in log
    }.values()
)
PATTERNS = {kind: data_pattern(kind) for kind in ENTRY_TYPES.values()}
PIECES = ['"', "\\", "\\u0061", " ", "\n", "0", "9", "null", "true", "-1", "é", "{", "}", "]", ","]


def is_valid(kind: type[Entry], data: bytes) -> bool:
    try:
        return kind.model_validate_json(data).model_dump_json().encode() == data
    except ValidationError:
        return False


@pytest.mark.parametrize("entry", EXAMPLES, ids=lambda entry: entry.type)
def test_what_logs_hold_is_read_fast(entry: Entry) -> None:
    data = entry.model_dump_json().encode()
    assert PATTERNS[type(entry)].fullmatch(data)
    assert not PATTERNS[type(entry)].fullmatch(data + b"\n")


@examples(300)
@given(entry=st.sampled_from(EXAMPLES), data=st.data())
def test_a_match_is_always_valid_and_canonical(entry: Entry, data: st.DataObject) -> None:
    text = entry.model_dump_json()
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(text)))
        length = data.draw(st.integers(0, 6))
        text = text[:place] + data.draw(st.sampled_from(["", *PIECES])) + text[place + length :]
    for kind, pattern in PATTERNS.items():
        if pattern.fullmatch(text.encode()):
            assert is_valid(kind, text.encode())


OTHERS: list[object] = [
    0,
    1,
    999_999,
    1_000_000,
    1_000_001,
    2**53 - 1,
    2**53,
    -1,
    1.5,
    None,
    True,
    "",
    "x",
    [],
]


@examples(100)
@given(entry=st.sampled_from(EXAMPLES), data=st.data())
def test_other_values_of_a_key(entry: Entry, data: st.DataObject) -> None:
    values = json.loads(entry.model_dump_json())
    values[data.draw(st.sampled_from(sorted(values)))] = data.draw(st.sampled_from(OTHERS))
    text = json.dumps(values, separators=(",", ":"), sort_keys=True).encode()
    if PATTERNS[type(entry)].fullmatch(text):
        assert is_valid(type(entry), text)


@pytest.mark.parametrize(
    ("annotation", "extra"),
    [
        (str, {}),
        (float, {}),
        (int, {}),
        (str, {"pattern": "^.*$"}),
        (str, {"pattern": "[a-z]+"}),
        (str, {"pattern": '^[^"]$'}),
        (str, {"pattern": r"^\S$"}),
    ],
)
def test_a_schema_that_no_pattern_can_stand_for_is_an_error(
    annotation: type, extra: dict[str, str]
) -> None:
    fields = {"__annotations__": {"key": annotation}, "key": Field(**extra)}  # type: ignore[call-overload]
    model = type("Open", (BaseModel,), {**fields, "model_config": ConfigDict(extra="forbid")})
    with pytest.raises(TypeError, match="pattern"):
        data_pattern(model)


def test_a_key_that_may_be_left_out_is_an_error() -> None:
    class Optional(BaseModel):
        model_config = ConfigDict(extra="forbid")
        on: bool = True

    with pytest.raises(TypeError, match="left out"):
        data_pattern(Optional)
