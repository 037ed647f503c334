"""May this student's record be used now? Asked where the cohort of a round is frozen.

The record follows ISO/IEC TS 27560; what is needed for a decision is here, the evidence (notice,
language, scan) stays where the school keeps it. A date of birth is never needed:
``authority_until`` says until when the person who agreed may speak for the student.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from fedtrace.governance.plan import LegalBasis


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


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsentRecord:
    """What was said about one student; the items are never bundled.

    Attributes:
        token: the student's random token.
        state: where it stands.
        authority: who spoke.
        valid_until: from then on it counts as expired.
        authority_until: from then on this person no longer speaks for the student; None for ever.
        local_training: the school may train a model of its own.
        share_protected_update: a clipped and noised update may leave the school.
    """

    token: str
    state: ConsentState
    authority: Authority
    valid_until: datetime
    authority_until: datetime | None = None
    local_training: bool = True
    share_protected_update: bool = True

    def __repr__(self) -> str:
        return f"ConsentRecord({self.state})"


def is_eligible(
    record: ConsentRecord | None,
    *,
    legal_basis: LegalBasis,
    retention_until: datetime,
    now: datetime,
) -> bool:
    """True if the student may be in a cohort whose protected update leaves the school.

    Consent: a given, unexpired one by somebody who may still speak for the student. School
    official: no opt-out, that is no record that was refused or withdrawn. An opt-out does not
    expire, and a record past its retention date is never used.

    Args:
        record: what is on file, or None.
        legal_basis: the plan's.
        retention_until: the student's record may be kept until then.
        now: with a time zone.
    """
    if now >= retention_until:
        return False
    if record is None:
        return legal_basis == "school_official"
    if record.state in (ConsentState.REFUSED, ConsentState.WITHDRAWN):
        return False
    if not (record.local_training and record.share_protected_update):
        return False
    if legal_basis == "school_official":
        return True
    return (
        record.state is ConsentState.GIVEN
        and now < record.valid_until
        and (record.authority_until is None or now < record.authority_until)
    )
