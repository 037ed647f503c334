"""A certificate of destruction: what a school destroyed, when and why, signed by it.

It names nobody. Each record is the random request under which the school's log tells of it, and the
digest of a random token that no file has any more; so whoever has the log can hold the two
against each other, and nobody can find out whose record it was.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from fedtrace.governance.charter import Charter
from fedtrace.governance.document import Digest, Document, Name, Section, UtcDatetime
from fedtrace.governance.errors import Rejected
from fedtrace.governance.log.words import RequestToken
from fedtrace.governance.signing import Signer, sign_envelope, unverified_payload, verify_envelope

CERTIFICATE_TYPE = "application/vnd.fedtrace.destruction-certificate+json"
"""What a certificate's envelope says it holds."""

DestructionReason = Literal["retention", "request"]
"""The time was over, or somebody asked for it."""

_Number = Annotated[int, Field(ge=0, le=2**53)]


class DestroyedRecord(Section):
    """One student's record, as `record.erased` in the school's log names it."""

    request: RequestToken
    token_digest: Digest


class DestroyedCohort(Section):
    """Who was in one round, as `cohort.removed` in the school's log names it."""

    request: RequestToken
    cohort_root: Digest


class Certificate(Document):
    """What a school signs.

    Attributes:
        school: who destroyed.
        charter_digest: of the charter in force.
        reason: why.
        destroyed_at: when it was finished.
        records: whose records: nobody can tell, the log can.
        cohorts: rounds whose students were destroyed.
        files: how many files were searched afterwards for what should be gone, in vain.
        searched_bytes: how many bytes they have.
    """

    payload_type: ClassVar[str] = CERTIFICATE_TYPE
    limit_bytes: ClassVar[int] = 64 * 1024 * 1024

    format: Literal["fedtrace-destruction-certificate/1"] = "fedtrace-destruction-certificate/1"
    school: Name
    charter_digest: Digest
    reason: DestructionReason
    destroyed_at: UtcDatetime
    records: tuple[DestroyedRecord, ...]
    cohorts: tuple[DestroyedCohort, ...]
    files: _Number
    searched_bytes: _Number


def sign_certificate(certificate: Certificate, signer: Signer) -> bytes:
    """The certificate's DSSE envelope."""
    return sign_envelope(certificate.to_bytes(), CERTIFICATE_TYPE, [signer])


def open_certificate(envelope: bytes, charter: Charter) -> Certificate:
    """Verify and decode a certificate.

    Raises:
        SignatureError: the school that it names did not sign it.
        Rejected: it is no certificate, or of a school that the charter does not name.
    """
    claimed = Certificate.from_bytes(unverified_payload(envelope, CERTIFICATE_TYPE))
    keys = {member.name: member.public_key for member in charter.members}
    if claimed.school not in keys:
        raise Rejected("school", f"the charter does not name the school {claimed.school}")
    own = {claimed.school: keys[claimed.school]}
    return Certificate.from_bytes(verify_envelope(envelope, CERTIFICATE_TYPE, own, 1).payload)
