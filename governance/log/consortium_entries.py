"""What the consortium's log can say; every school mirrors it whole."""

from __future__ import annotations

from typing import Literal

from fedtrace.governance.document import Digest, Name
from fedtrace.governance.log.words import (
    CheckNumber,
    Count,
    Decimal,
    Entry,
    Heartbeat,
    OfRound,
    Sorted,
    VersionNumber,
)
from fedtrace.governance.plan import TrustMode
from fedtrace.governance.refusals import RefusalCode
from fedtrace.governance.revocation import Reason


class CharterAdopted(Entry):
    """The consortium's log starts under this charter."""

    type = "charter.adopted"
    charter_digest: Digest


class CharterChanged(Entry):
    """The next version of the charter is in force; who agreed to it."""

    type = "charter.changed"
    charter_digest: Digest
    previous_digest: Digest
    version: VersionNumber
    signers: tuple[Name, ...]


class PlanActivated(Entry):
    """Enough schools signed; what the plan promises to a student."""

    type = "plan.activated"
    plan_digest: Digest
    signers: tuple[Name, ...]
    trust_mode: TrustMode
    epsilon_job: Decimal
    delta: Decimal


class PlanRevoked(Entry):
    """Enough schools took the plan back; nothing of it is asked or answered any more."""

    type = "plan.revoked"
    plan_digest: Digest
    signers: tuple[Name, ...]
    reason: Reason


class RunOpened(Entry):
    """A job starts, or starts again after the aggregator died."""

    type = "run.opened"
    plan_digest: Digest
    run_id: Name


class RoundOpened(OfRound):
    """Schools are asked."""

    type = "round.opened"
    order_digest: Digest
    checkpoint_digest: Digest
    schools: tuple[Name, ...]


class _OfSchool(OfRound):
    school: Name


class UpdateReceived(_OfSchool):
    """A contribution came and passed every check."""

    type = "update.received"
    digest: Digest


class UpdateUnused(_OfSchool):
    """A masked contribution came and passed every check, and its attempt was never unmasked."""

    type = "update.unused"
    digest: Digest


class UpdateRejected(_OfSchool):
    """A contribution came and failed a check."""

    type = "update.rejected"
    check: CheckNumber


class SchoolRefused(_OfSchool):
    """A school said no, with a signed notice."""

    type = "school.refused"
    code: RefusalCode
    digest: Digest


class SchoolMissing(_OfSchool):
    """A school did not answer before the deadline."""

    type = "school.missing"


class Input(Sorted):
    """One contribution that went into a round's sum."""

    school: Name
    digest: Digest


class RoundClosed(OfRound):
    """The round's sum became a new checkpoint; everything that went in and how."""

    type = "round.closed"
    inputs: tuple[Input, ...]
    output_digest: Digest
    rule: Literal["sgd", "momentum", "adam"]
    clipping_norm: Decimal
    noise_multiplier: Decimal
    sampling_rate: Decimal


class RoundFailed(OfRound):
    """Too few schools answered; nothing was summed."""

    type = "round.failed"
    answered: Count
    minimum: Count


class EvaluationClosed(OfRound):
    """The released model was judged on noised histograms."""

    type = "evaluation.closed"
    inputs: tuple[Input, ...]
    noise_multiplier: Decimal


class RunClosed(Entry):
    """A job ended, in order; or was given up, because the database with its rounds was lost."""

    type = "run.closed"
    plan_digest: Digest
    run_id: Name
    reason: Literal[
        "completed", "quorum_not_reached", "budget_exhausted", "plan_revoked", "abandoned"
    ]
    rounds: Count


class ModelReleased(Entry):
    """A model was written to the registry."""

    type = "model.released"
    plan_digest: Digest
    run_id: Name
    digest: Digest
    averaged: Count


CONSORTIUM_ENTRIES: tuple[type[Entry], ...] = (
    Heartbeat,
    CharterAdopted,
    CharterChanged,
    PlanActivated,
    PlanRevoked,
    RunOpened,
    RoundOpened,
    UpdateReceived,
    UpdateUnused,
    UpdateRejected,
    SchoolRefused,
    SchoolMissing,
    RoundClosed,
    RoundFailed,
    EvaluationClosed,
    RunClosed,
    ModelReleased,
)
"""What the consortium's log can hold."""
