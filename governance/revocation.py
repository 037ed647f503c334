"""A plan taken back: no round of it is opened or answered from then on, and it never returns.

As many members sign as it takes to sign a plan. The document names the plan by its digest, so the
same plan cannot come back under another file name; whoever wants it again proposes a new one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar, Literal

from fedtrace.governance.charter import Charter
from fedtrace.governance.document import Digest, Document, Name
from fedtrace.governance.errors import Rejected
from fedtrace.governance.signing import (
    SignatureError,
    Signer,
    add_signature,
    sign_envelope,
    unverified_payload,
    verify_envelope,
)

REVOCATION_TYPE = "application/vnd.fedtrace.plan-revocation+json"
"""What a revocation's envelope says it holds."""

Reason = Literal["mistake", "incident", "replaced", "no_longer_wanted"]

REASONS: Mapping[Reason, str] = MappingProxyType(
    {
        "mistake": "the plan says what its members did not mean",
        "incident": "something happened that has to be looked into first",
        "replaced": "another plan takes its place",
        "no_longer_wanted": "its members do not want it any more",
    }
)
"""Closed, because it stands in the log for ten years: no sentence about a person can get there."""


class Revocation(Document):
    """What members sign.

    Attributes:
        consortium: whose plan it is.
        plan_digest: the plan.
        reason: why; one of `REASONS`.
    """

    payload_type: ClassVar[str] = REVOCATION_TYPE
    limit_bytes: ClassVar[int] = 4 * 1024

    format: Literal["fedtrace-plan-revocation/1"] = "fedtrace-plan-revocation/1"
    consortium: Name
    plan_digest: Digest
    reason: Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedRevocation:
    """A revocation that enough members signed.

    Attributes:
        revocation: it.
        signers: the members whose signature is valid, sorted.
    """

    revocation: Revocation
    signers: tuple[str, ...]


def sign_revocation(revocation: Revocation, signers: Sequence[Signer]) -> bytes:
    """The revocation's DSSE envelope."""
    return sign_envelope(revocation.to_bytes(), REVOCATION_TYPE, signers)


def join_revocation(envelope: bytes, revocation: Revocation, signer: Signer) -> bytes:
    """The same envelope with one more signature.

    Raises:
        SignatureError: it is not a revocation's envelope, or it holds another one.
    """
    if unverified_payload(envelope, REVOCATION_TYPE) != revocation.to_bytes():
        raise SignatureError(
            f"the envelope does not hold the revocation of {revocation.plan_digest} "
            f"for the reason {revocation.reason!r}"
        )
    return add_signature(envelope, REVOCATION_TYPE, signer)


def open_revocation(envelope: bytes, charter: Charter) -> SignedRevocation:
    """Verify and decode a revocation.

    Raises:
        SignatureError: fewer members than the charter's threshold signed it.
        Rejected: signed, but not a revocation, or that of another consortium.
    """
    verified = verify_envelope(envelope, REVOCATION_TYPE, charter.member_keys(), charter.threshold)
    revocation = Revocation.from_bytes(verified.payload)
    if revocation.consortium != charter.consortium:
        raise Rejected(
            "consortium", f"it is a revocation of {revocation.consortium}, not {charter.consortium}"
        )
    return SignedRevocation(revocation=revocation, signers=verified.signers)
