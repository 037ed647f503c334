"""A plan with its signatures: one digest, signed by every school that agrees.

Another school joins by adding its signature to the same envelope; the digest does not change.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fedtrace.governance.canonical import digest
from fedtrace.governance.charter import Charter
from fedtrace.governance.plan import PLAN_TYPE, Plan
from fedtrace.governance.refusals import RefusalCode, Refused
from fedtrace.governance.signing import (
    SignatureError,
    Signer,
    add_signature,
    sign_envelope,
    unverified_payload,
    verify_envelope,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedPlan:
    """A plan that enough members signed.

    Attributes:
        plan: the plan.
        digest: its name everywhere.
        signers: the members whose signature is valid, sorted.
    """

    plan: Plan
    digest: str
    signers: tuple[str, ...]


def sign_plan(plan: Plan, signers: Sequence[Signer]) -> bytes:
    """The plan's DSSE envelope, ``plan.dsse.json``."""
    return sign_envelope(plan.to_bytes(), PLAN_TYPE, signers)


def join_plan(envelope: bytes, plan: Plan, signer: Signer) -> bytes:
    """The same envelope with one more signature, by a school that has read the plan.

    Args:
        envelope: the plan with the signatures so far.
        plan: what the school read; nobody signs other bytes than these.
        signer: the school's key.

    Raises:
        SignatureError: it is not a plan's envelope, or it holds another plan.
    """
    if unverified_payload(envelope, PLAN_TYPE) != plan.to_bytes():
        raise SignatureError(f"the envelope does not hold the plan {plan.digest()}")
    return add_signature(envelope, PLAN_TYPE, signer)


def open_plan(envelope: bytes, charter: Charter) -> SignedPlan:
    """Verify and decode a plan.

    Raises:
        Refused: R01, fewer members than the charter's threshold signed it.
        Rejected: signed, but not a plan that this release understands.
    """
    try:
        verified = verify_envelope(envelope, PLAN_TYPE, charter.member_keys(), charter.threshold)
    except SignatureError as error:
        raise Refused(RefusalCode.R01) from error
    return SignedPlan(
        plan=Plan.from_bytes(verified.payload),
        digest=digest(verified.payload),
        signers=verified.signers,
    )
