"""The school's consent file: every line is understood or the round stops."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from fedtrace.client import consent as module
from fedtrace.client.consent import ConsentRegister, read_consent
from fedtrace.governance.consent import Authority, ConsentState

HEADER = "student,state,authority,valid_until,authority_until,items\n"
BOTH = "local_training share_protected_update"
TOKEN = "0123456789abcdef" * 2
TOKENS = {"ann": "a" * 32, "bob": "b" * 32}


def read(tmp_path: Path, text: str | bytes) -> ConsentRegister:
    path = tmp_path / "consent.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return read_consent(path, TOKENS.get)


def test_what_is_on_file(tmp_path: Path) -> None:
    register = read(
        tmp_path,
        "\ufeff"
        + HEADER
        + f"ann,given,guardian,2027-07-31,2031-02-01T00:00:00+01:00,{BOTH}\n"
        + f"{TOKEN},Withdrawn,eligible_student,,,\n"
        + f"unknown,given,guardian,2027-07-31,,{BOTH}\n",
    )
    given = register.record_of(TOKENS["ann"])
    assert given is not None
    assert (given.state, given.authority) == (ConsentState.GIVEN, Authority.GUARDIAN)
    assert given.valid_until == datetime(2027, 7, 31, tzinfo=UTC)
    assert given.authority_until == datetime(2031, 1, 31, 23, tzinfo=UTC)
    assert given.local_training
    assert given.share_protected_update
    withdrawn = register.record_of(TOKEN)
    assert withdrawn is not None
    assert withdrawn.state is ConsentState.WITHDRAWN
    assert not withdrawn.share_protected_update
    assert register.record_of(TOKENS["bob"]) is None
    assert len(register.records) == 2


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("ann,maybe,guardian,2027-07-31,,", "line 2: state must be one of requested, given"),
        ("ann,given,neighbour,2027-07-31,,", "line 2: authority must be one of guardian"),
        ("ann,given,guardian,,,", "line 2: .* needs valid_until"),
        ("ann,given,guardian,31.7.2027,,", "line 2: valid_until must be a date"),
        ("ann,given,guardian,2027-07-31T10:00,,", "line 2: valid_until has a time but no time z"),
        ("ann,given,guardian,2027-07-31,soon,", "line 2: authority_until must be a date"),
        ("ann,given,guardian,2027-07-31,,photos", "line 2: items may be local_training and"),
        ("ann,given,guardian", "line 2: there must be 6 fields"),
        ("ann,given,guardian,2027-07-31,,,x", "line 2: there must be 6 fields"),
        ("unknown,maybe,guardian,2027-07-31,,", "line 2: state must be"),
        ("ann,refused,guardian,,,\n\nann,given,guardian,2027-07-31,,", "line 4: .* named twice"),
        ('"ann,refused,guardian,,,', "unexpected end of data"),
    ],
)
def test_a_line_that_is_not_understood(tmp_path: Path, line: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence) as caught:
        read(tmp_path, HEADER + line)
    assert "ann" not in str(caught.value)


@pytest.mark.parametrize("header", ["", "student,state\n", HEADER.replace("items", "notes")])
def test_other_columns(tmp_path: Path, header: str) -> None:
    with pytest.raises(ValueError, match="the columns must be student, state"):
        read(tmp_path, header)


def test_bytes_that_are_not_utf_8(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not UTF-8") as caught:
        read(tmp_path, HEADER.encode() + b"Zo\xeb,given\n")
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_a_file_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_FILE_BYTES", 10)
    with pytest.raises(ValueError, match="more than 10 bytes"):
        read(tmp_path, HEADER)
