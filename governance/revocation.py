"""A plan taken back: no round of it is opened or answered from then on, and it never returns.

As many members sign as it takes to sign a plan. The document names the plan by its digest, so the
same plan cannot come back under another file name; whoever wants it again proposes a new one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar, Literal

from fedtrace.governance.agreement import require_agreement
from fedtrace.governance.charter import Charter
from fedtrace.governance.charter_history import CharterHistory
from fedtrace.governance.document import Digest, Document, Name
from fedtrace.governance.errors import Rejected
from fedtrace.governance.signing import SignatureError

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
        signers: the members that agreed, sorted.
    """

    revocation: Revocation
    signers: tuple[str, ...]


def open_past_revocation(envelope: bytes, charters: CharterHistory) -> SignedRevocation:
    """Verify and decode a revocation that was in force once, under any version of the charter.

    Raises:
        SignatureError: under none did enough members agree to it.
        Rejected: as `open_revocation`.
    """
    for charter in reversed(charters.versions[1:]):
        try:
            return open_revocation(envelope, charter)
        except SignatureError:
            continue
    return open_revocation(envelope, charters.versions[0])


def open_revocation(envelope: bytes, charter: Charter) -> SignedRevocation:
    """Verify and decode a revocation.

    Raises:
        SignatureError: fewer members than the charter's threshold agreed to it.
        Rejected: signed, but not a revocation, or that of another consortium.
    """
    agreed = require_agreement(envelope, REVOCATION_TYPE, charter)
    revocation = Revocation.from_bytes(agreed.payload)
    if revocation.consortium != charter.consortium:
        raise Rejected(
            "consortium", f"it is a revocation of {revocation.consortium}, not {charter.consortium}"
        )
    return SignedRevocation(revocation=revocation, signers=agreed.members)
