"""The office's list: every line is understood or nothing is taken in."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from fedtrace.client import consent as module
from fedtrace.client.consent import COLUMNS, ConsentFile, Notice, read_consent
from fedtrace.governance.canonical import digest
from fedtrace.governance.consent import PURPOSES, Authority, ConsentState, Item

HEADER = ",".join(COLUMNS) + "\n"
TOKENS = {"ann": "a" * 32, "bob": "b" * 32}
NOW = datetime(2026, 10, 5, tzinfo=UTC)
NOTICE = Notice(digest=digest(b"notice"), language="es-MX")
GIVEN = "given,guardian,2027-07-31,"


def read(tmp_path: Path, text: str | bytes, notice: Notice | None = NOTICE) -> ConsentFile:
    path = tmp_path / "consent.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return read_consent(path, TOKENS.get, request="1" * 32, notice=notice, now=NOW)


def test_what_is_on_file(tmp_path: Path) -> None:
    evidence = digest(b"form")
    found = read(
        tmp_path,
        "\ufeff"
        + HEADER
        + f"ann,adaptive_practice,local_training,{GIVEN}2031-02-01T00:00:00+01:00,{evidence}\n"
        + "bob,,,Withdrawn,eligible_student,,,\n"
        + f"unknown,adaptive_practice,local_training,{GIVEN},\n",
    )
    (given,) = found.changes[TOKENS["ann"]]
    assert (given.state, given.authority) == (ConsentState.GIVEN, Authority.GUARDIAN)
    assert given.valid_until == datetime(2027, 7, 31, tzinfo=UTC)
    assert given.authority_until == datetime(2031, 1, 31, 23, tzinfo=UTC)
    assert (given.notice_digest, given.notice_language) == (NOTICE.digest, "es-MX")
    assert (given.evidence_digest, given.request, given.recorded_at) == (evidence, "1" * 32, NOW)
    withdrawn = found.changes[TOKENS["bob"]]
    assert {(each.purpose, each.item) for each in withdrawn} == {
        (purpose, item) for purpose in PURPOSES for item in Item
    }
    assert {each.state for each in withdrawn} == {ConsentState.WITHDRAWN}
    assert (found.unknown_lines, found.unknown) == ((4,), "4")
    assert repr(found) == "ConsentFile(2 students)"


ONE = "ann,adaptive_practice,local_training,"


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        (f"{ONE}maybe,guardian,2027-07-31,,", "line 2: state must be one of requested, given"),
        (f"{ONE}given,neighbour,2027-07-31,,", "line 2: authority must be one of guardian"),
        (f"{ONE}given,guardian,,,", "line 2: .* needs valid_until"),
        (f"{ONE}given,guardian,31.7.2027,,", "line 2: valid_until must be a date"),
        (f"{ONE}given,guardian,2027-07-31T10:00,,", "line 2: valid_until has a time but no time z"),
        (f"{ONE}{GIVEN}soon,", "line 2: authority_until must be a date"),
        (f"{ONE}{GIVEN},a scan", "line 2: evidence must be sha256"),
        (f"ann,adaptive_practice,photos,{GIVEN},", "line 2: item must be one of local_training"),
        (f"ann,fun,local_training,{GIVEN},", "line 2: purpose must be one of adaptive_practice"),
        (f"ann,,local_training,{GIVEN},", "line 2: purpose and item must be named"),
        (f"{ONE}given,guardian", "line 2: there must be 8 fields"),
        (f"{ONE}{GIVEN},,x", "line 2: there must be 8 fields"),
        (f"unknown,,,maybe,guardian,,,\n{ONE}{GIVEN},", "line 2: state must be"),
        (f"ann,,,refused,guardian,,,\n\n{ONE}{GIVEN},", "line 4: .* named twice"),
        ('"ann,,,refused,guardian,,,', "unexpected end of data"),
    ],
)
def test_a_line_that_is_not_understood(tmp_path: Path, line: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence) as caught:
        read(tmp_path, HEADER + line)
    assert "ann" not in str(caught.value)


def test_a_yes_needs_the_notice(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="name its file with --notice"):
        read(tmp_path, f"{HEADER}{ONE}{GIVEN},\n", notice=None)


@pytest.mark.parametrize("header", ["", "student,state\n", HEADER.replace("item", "notes")])
def test_other_columns(tmp_path: Path, header: str) -> None:
    with pytest.raises(ValueError, match="the columns must be student, purpose"):
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
