"""Whose record may be used now."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from fedtrace.governance.consent import Authority, ConsentRecord, ConsentState, is_eligible
from fedtrace.governance.plan import LegalBasis

NOW = datetime(2026, 10, 5, tzinfo=UTC)
LATER = NOW + timedelta(days=1)
GIVEN = ConsentRecord(
    token="b7",
    state=ConsentState.GIVEN,
    authority=Authority.GUARDIAN,
    valid_until=LATER,
    authority_until=LATER,
)


def eligible(record: ConsentRecord | None, basis: LegalBasis, now: datetime = NOW) -> bool:
    return is_eligible(record, legal_basis=basis, retention_until=LATER, now=now)


@pytest.mark.parametrize(
    ("changes", "by_consent", "by_agreement"),
    [
        ({}, True, True),
        ({"state": ConsentState.REQUESTED}, False, True),
        ({"state": ConsentState.EXPIRED}, False, True),
        ({"state": ConsentState.REFUSED}, False, False),
        ({"state": ConsentState.WITHDRAWN}, False, False),
        ({"valid_until": NOW}, False, True),
        ({"authority_until": NOW}, False, True),
        ({"authority_until": None}, True, True),
        ({"local_training": False}, False, False),
        ({"share_protected_update": False}, False, False),
        ({"state": ConsentState.WITHDRAWN, "valid_until": NOW - timedelta(days=9)}, False, False),
    ],
)
def test_consent_and_opt_out(changes: dict[str, Any], by_consent: bool, by_agreement: bool) -> None:
    record = replace(GIVEN, **changes)
    assert eligible(record, "consent") is by_consent
    assert eligible(record, "school_official") is by_agreement


def test_without_a_record_only_the_agreement_allows() -> None:
    assert not eligible(None, "consent")
    assert eligible(None, "school_official")


@pytest.mark.parametrize("basis", ["consent", "school_official"])
def test_nothing_is_used_past_its_retention(basis: LegalBasis) -> None:
    assert not eligible(GIVEN, basis, now=LATER)
    assert not eligible(None, basis, now=LATER)


def test_a_record_does_not_print_its_token() -> None:
    assert "b7" not in repr(GIVEN)
