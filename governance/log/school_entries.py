"""What a school's own log can say; it stays at the school, and only its checkpoints leave."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from fedtrace.governance.document import Digest, Name
from fedtrace.governance.log.words import (
    Count,
    Decimal,
    Entry,
    Heartbeat,
    OfRound,
    RequestToken,
    RoundNumber,
    SizeBucket,
)
from fedtrace.governance.refusals import RefusalCode

HoldScope = Literal["student", "school"]
HoldMatter = Literal["litigation", "investigation", "records_request"]
"""Why records must be kept as they are."""

AccessKind = Literal["cohort", "everything"]
"""What was given: a proof about a round, or all that the school holds."""


class SchoolInitialised(Entry):
    """A school's home was made, under this charter and this policy."""

    type = "school.initialised"
    school: Name
    charter_digest: Digest
    policy_digest: Digest


class PolicyChanged(Entry):
    """The school set other bounds."""

    type = "policy.changed"
    policy_digest: Digest


class CharterAccepted(Entry):
    """The school goes by the next version of the charter."""

    type = "charter.accepted"
    charter_digest: Digest
    previous_digest: Digest


class ImportCompleted(Entry):
    """Student records were imported; how many, in buckets."""

    type = "import.completed"
    request: RequestToken
    students: SizeBucket
    rows_kept: SizeBucket
    rows_rejected: SizeBucket
    columns_kept: Count
    columns_dropped: Count


class PlanAccepted(Entry):
    """The school takes part in a plan."""

    type = "plan.accepted"
    plan_digest: Digest
    signers: tuple[Name, ...]


class RoundReserved(OfRound):
    """The privacy cost of a round is written down; the cohort is frozen."""

    type = "round.reserved"
    noise_multiplier: Decimal
    sampling_rate: Decimal
    cohort_size: SizeBucket
    cohort_root: Digest


class UpdateSent(OfRound):
    """A contribution left the school."""

    type = "update.sent"
    digest: Digest


class SharesRevealed(OfRound):
    """Under secure sum: the school revealed its shares for the sum of these schools."""

    type = "shares.revealed"
    schools: tuple[Name, ...]


class OrderRefused(Entry):
    """The school said no; plan, run and round where the order could be believed."""

    type = "order.refused"
    code: RefusalCode
    clause: Annotated[str, Field(pattern=r"^[a-z][a-z_.]{0,63}$")]
    plan_digest: Digest | None
    run_id: Name | None
    round: RoundNumber | None


class KillSwitchChanged(Entry):
    """A person at the school stopped all training, or allowed it again."""

    type = "kill_switch.changed"
    on: bool


class ConsentChanged(Entry):
    """Consent was recorded: about how many students, and how many records of each state."""

    type = "consent.changed"
    request: RequestToken
    students: SizeBucket
    requested: SizeBucket
    given: SizeBucket
    refused: SizeBucket
    withdrawn: SizeBucket
    expired: SizeBucket


class RecordErased(Entry):
    """One student's record was destroyed, and the files searched for it in vain.

    The digest is of the vault's random token, which is gone: only a vault that was restored from an
    older backup still has the token, and is told by it whom to erase again.
    """

    type = "record.erased"
    request: RequestToken
    token_digest: Digest


class CohortRemoved(Entry):
    """The pseudonyms of one round's students were destroyed when their time was over.

    Nobody can be shown to have been in that round, or not, from then on.
    """

    type = "cohort.removed"
    request: RequestToken
    cohort_root: Digest


class HoldPlaced(Entry):
    """Records of one student, or of all, may neither be used nor erased."""

    type = "hold.placed"
    request: RequestToken
    scope: HoldScope
    matter: HoldMatter


class HoldLifted(Entry):
    """The hold of this request has ended."""

    type = "hold.lifted"
    request: RequestToken


class AccessGiven(Entry):
    """Somebody was given something about a student."""

    type = "access.given"
    request: RequestToken
    kind: AccessKind


SCHOOL_ENTRIES: tuple[type[Entry], ...] = (
    Heartbeat,
    SchoolInitialised,
    PolicyChanged,
    CharterAccepted,
    ImportCompleted,
    PlanAccepted,
    RoundReserved,
    UpdateSent,
    SharesRevealed,
    OrderRefused,
    KillSwitchChanged,
    ConsentChanged,
    RecordErased,
    CohortRemoved,
    HoldPlaced,
    HoldLifted,
    AccessGiven,
)
"""What a school's log can hold."""
