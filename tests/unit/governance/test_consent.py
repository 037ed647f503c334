"""Whose record may be used now."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError
from support.consents import consent_record

from fedtrace.governance.consent import (
    ConsentRecord,
    ConsentState,
    Item,
    Terms,
    is_eligible,
    require_possible,
)
from fedtrace.governance.plan import LegalBasis

NOW = datetime(2026, 10, 5, tzinfo=UTC)
LATER = NOW + timedelta(days=1)
NEEDED = (Item.LOCAL_TRAINING, Item.SHARE_PROTECTED_UPDATE)


def given(**changes: Any) -> list[ConsentRecord]:
    """A consent to what training needs; the changes are to the second item."""
    return [
        consent_record(item=NEEDED[0], valid_until=LATER),
        consent_record(**{"item": NEEDED[1], "valid_until": LATER, **changes}),
    ]


def eligible(
    history: list[ConsentRecord],
    basis: LegalBasis,
    now: datetime = NOW,
    items: tuple[Item, ...] = NEEDED,
) -> bool:
    terms = Terms(purpose="adaptive_practice", legal_basis=basis, items=items)
    return is_eligible(history, terms, retention_until=LATER, now=now)


@pytest.mark.parametrize(
    ("changes", "by_consent", "by_agreement"),
    [
        ({}, True, True),
        ({"state": "requested"}, False, True),
        ({"state": "expired"}, False, True),
        ({"state": "refused"}, False, False),
        ({"state": "withdrawn"}, False, False),
        ({"valid_until": NOW}, False, True),
        ({"authority_until": NOW}, False, True),
        ({"authority_until": None}, True, True),
        ({"purpose": "learning_research"}, False, True),
        ({"item": Item.RELEASE_OUTSIDE}, False, True),
        ({"state": "withdrawn", "valid_until": NOW - timedelta(days=9)}, False, False),
    ],
)
def test_consent_and_opt_out(changes: dict[str, Any], by_consent: bool, by_agreement: bool) -> None:
    assert eligible(given(**changes), "consent") is by_consent
    assert eligible(given(**changes), "school_official") is by_agreement


def test_the_newest_record_of_an_item_counts() -> None:
    withdrawn = consent_record(item=NEEDED[0], state=ConsentState.WITHDRAWN)
    assert not eligible([*given(), withdrawn], "consent")
    assert eligible([withdrawn, *given()], "consent")


def test_no_item_stands_for_another() -> None:
    for missing in NEEDED:
        history = [each for each in given() if each.item is not missing]
        assert not eligible(history, "consent")
    assert not eligible(given(), "consent", items=tuple(Item))
    outside = consent_record(item=Item.RELEASE_OUTSIDE, valid_until=LATER)
    assert eligible([*given(), outside], "consent", items=tuple(Item))


def test_without_a_record_only_the_agreement_allows() -> None:
    assert not eligible([], "consent")
    assert eligible([], "school_official")


@pytest.mark.parametrize("basis", ["consent", "school_official"])
def test_nothing_is_used_past_its_retention(basis: LegalBasis) -> None:
    assert not eligible(given(), basis, now=LATER)
    assert not eligible([], basis, now=LATER)


@pytest.mark.parametrize("missing", ["valid_until", "notice_digest", "notice_language"])
def test_a_consent_is_to_a_notice_and_until_a_day(missing: str) -> None:
    with pytest.raises(ValidationError, match="needs the date until which"):
        consent_record(**{missing: None})
    assert consent_record(state=ConsentState.REFUSED, **{missing: None})


def test_what_can_follow_on_what() -> None:
    before = consent_record(valid_until=LATER)
    for state in (ConsentState.REFUSED, ConsentState.WITHDRAWN, ConsentState.GIVEN):
        require_possible(before, consent_record(state=state), NOW)
        require_possible(None, consent_record(state=state), NOW)
    asked = consent_record(state=ConsentState.REQUESTED)
    with pytest.raises(ValueError, match="is in force"):
        require_possible(before, asked, NOW)
    require_possible(before, asked, LATER)
    over = consent_record(state=ConsentState.EXPIRED)
    require_possible(before, over, NOW)
    with pytest.raises(ValueError, match="can expire"):
        require_possible(consent_record(state=ConsentState.WITHDRAWN), over, NOW)


def test_a_record_does_not_print_what_it_says() -> None:
    assert repr(consent_record()) == "ConsentRecord(given)"
