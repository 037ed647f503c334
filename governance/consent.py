"""May this student's record be used now? Asked where the cohort of a round is frozen.

A record has the fields of ISO/IEC TS 27560 that a school needs: who spoke and until when they may,
to which purpose and to which one item, what they had been shown, and what became of it. Each item
stands alone, so that one "yes" is never taken for another. A date of birth is never needed:
``authority_until`` says until when the person may speak for the student.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Self, get_args

from pydantic import Field, model_validator

from fedtrace.governance.document import Digest, Section, UtcDatetime
from fedtrace.governance.log.words import RequestToken
from fedtrace.governance.plan import LegalBasis, Plan, Purpose

PURPOSES: tuple[Purpose, ...] = get_args(Purpose)

Language = Annotated[str, Field(pattern=r"^[a-z]{2,3}(-[A-Z]{2})?$")]
"""Of a notice, as BCP 47 writes it: ``en``, ``es-MX``."""


class ConsentState(StrEnum):
    """Where a consent stands."""

    REQUESTED = "requested"
    GIVEN = "given"
    REFUSED = "refused"
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"


class Authority(StrEnum):
    """Who spoke for the student."""

    GUARDIAN = "guardian"
    ELIGIBLE_STUDENT = "eligible_student"
    SCHOOL_OFFICIAL = "school_official"
    SCHOOL_AUTHORISED = "school_authorised"


class Item(StrEnum):
    """What can be agreed to, each by itself.

    ``local_training``: the school may train a model of its own. ``share_protected_update``: a
    clipped and noised update may leave it. ``release_outside``: the model may go to others than
    the consortium's members.
    """

    LOCAL_TRAINING = "local_training"
    SHARE_PROTECTED_UPDATE = "share_protected_update"
    RELEASE_OUTSIDE = "release_outside"


class ConsentRecord(Section):
    """What was said about one student, one purpose and one item.

    Attributes:
        request: names this act in the school's log.
        purpose: what for.
        item: what of it.
        state: where it stands from ``recorded_at`` on.
        authority: who spoke.
        authority_until: from then on this person no longer speaks for the student; None for ever.
        valid_until: from then on it counts as expired; a consent that was given has such a date.
        notice_digest: of the notice that the person had been given.
        notice_language: the notice's.
        evidence_digest: of the signed form or message, which stays where the school keeps it.
        recorded_at: when it was written down.
    """

    request: RequestToken
    purpose: Purpose
    item: Item
    state: ConsentState
    authority: Authority
    authority_until: UtcDatetime | None = None
    valid_until: UtcDatetime | None = None
    notice_digest: Digest | None = None
    notice_language: Language | None = None
    evidence_digest: Digest | None = None
    recorded_at: UtcDatetime

    def __repr__(self) -> str:
        return f"ConsentRecord({self.state})"

    @model_validator(mode="after")
    def _given_is_given_to_something(self) -> Self:
        """Nobody can agree for ever, or to what they were not told."""
        shown = (self.valid_until, self.notice_digest, self.notice_language)
        if self.state is ConsentState.GIVEN and None in shown:
            raise ValueError(
                "a consent that was given needs the date until which it is valid, and the notice "
                "that was given before, with its language"
            )
        return self

    def holds(self, now: datetime) -> bool:
        """Whether this is a consent in force: given, unexpired, by who may still speak."""
        return (
            self.state is ConsentState.GIVEN
            and (self.valid_until is None or now < self.valid_until)
            and (self.authority_until is None or now < self.authority_until)
        )


Standing = Mapping[tuple[Purpose, Item], ConsentRecord]
"""The newest record of each purpose and item."""

_NO = (ConsentState.REFUSED, ConsentState.WITHDRAWN)


def standing(history: Iterable[ConsentRecord]) -> Standing:
    """Where each consent of one student stands.

    Args:
        history: every record, oldest first.
    """
    return {(record.purpose, record.item): record for record in history}


def require_possible(before: ConsentRecord | None, record: ConsentRecord, now: datetime) -> None:
    """A "no" is always possible and a "yes" with its notice too; the rest must follow.

    Raises:
        ValueError: a consent in force is asked for again, or one expires that nobody asked for.
    """
    if record.state is ConsentState.REQUESTED and before is not None and before.holds(now):
        raise ValueError("this consent is in force: it cannot be asked for before it ends")
    if record.state is ConsentState.EXPIRED and (before is None or before.state in _NO):
        raise ValueError("only a consent that was asked for or given can expire")


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What a plan needs a student's consent for.

    Attributes:
        purpose: the plan's.
        legal_basis: the plan's.
        items: each of them is needed.
    """

    purpose: Purpose
    legal_basis: LegalBasis
    items: tuple[Item, ...] = (Item.LOCAL_TRAINING, Item.SHARE_PROTECTED_UPDATE)

    @classmethod
    def of(cls, plan: Plan) -> Terms:
        """A plan whose model goes to the public needs the third item too."""
        terms = cls(purpose=plan.purpose, legal_basis=plan.legal_basis)
        if plan.release.to == "members":
            return terms
        return cls(purpose=plan.purpose, legal_basis=plan.legal_basis, items=tuple(Item))


def is_eligible(
    history: Sequence[ConsentRecord], terms: Terms, *, retention_until: datetime, now: datetime
) -> bool:
    """True if the student may be in a cohort whose protected update leaves the school.

    Consent: every item in force for this purpose. School official: no item refused or withdrawn.
    An opt-out does not expire, and a record past its retention date is never used.

    Args:
        history: what is on file about the student, oldest first.
        terms: what the plan needs.
        retention_until: the student's record may be kept until then.
        now: with a time zone.
    """
    if now >= retention_until:
        return False
    stands = standing(history)
    records = [stands.get((terms.purpose, item)) for item in terms.items]
    if terms.legal_basis == "school_official":
        return not any(record is not None and record.state in _NO for record in records)
    return all(record is not None and record.holds(now) for record in records)
