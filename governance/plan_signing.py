"""A plan with its signatures: one digest, signed by every school that agrees.

Another school joins by adding its signature to the same envelope; the digest does not change.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fedtrace.governance.agreement import require_agreement
from fedtrace.governance.canonical import digest
from fedtrace.governance.charter import Charter
from fedtrace.governance.charter_history import CharterHistory
from fedtrace.governance.plan import PLAN_TYPE, Plan
from fedtrace.governance.refusals import RefusalCode, Refused
from fedtrace.governance.signing import SignatureError, Signer, sign_envelope


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedPlan:
    """A plan that enough members signed.

    Attributes:
        plan: the plan.
        digest: its name everywhere.
        signers: the members that agreed, sorted.
    """

    plan: Plan
    digest: str
    signers: tuple[str, ...]


def sign_plan(plan: Plan, signers: Sequence[Signer]) -> bytes:
    """The plan's DSSE envelope, ``plan.dsse.json``."""
    return sign_envelope(plan.to_bytes(), PLAN_TYPE, signers)


def open_past_plan(envelope: bytes, history: CharterHistory) -> SignedPlan:
    """Verify and decode a plan that was once agreed to: under the newest version that has it so.

    For what happened under the plan, never for what may happen.

    Raises:
        Refused: R01, under no version of the charter did enough members agree to it.
        Rejected: signed, but not a plan that this release understands.
    """
    for charter in reversed(history.versions[1:]):
        try:
            return open_plan(envelope, charter)
        except Refused:
            continue
    return open_plan(envelope, history.versions[0])


def open_plan(envelope: bytes, charter: Charter) -> SignedPlan:
    """Verify and decode a plan.

    Raises:
        Refused: R01, fewer members than the charter's threshold agreed to it.
        Rejected: signed, but not a plan that this release understands.
    """
    try:
        agreed = require_agreement(envelope, PLAN_TYPE, charter)
    except SignatureError as error:
        raise Refused(RefusalCode.R01) from error
    return SignedPlan(
        plan=Plan.from_bytes(agreed.payload),
        digest=digest(agreed.payload),
        signers=agreed.members,
    )
