"""The school policy: the upper bounds that one school will ever accept, signed by it alone.

A plan may ask for less, never for more. What may happen is what both allow.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from fedtrace.governance.document import Digest, Document, Name, Rate, Section
from fedtrace.governance.plan import FieldName, LegalBasis, Purpose, TrustMode
from fedtrace.governance.signing import PublicKey, Signer, sign_envelope, verify_envelope
from fedtrace.governance.source import load

POLICY_TYPE = "application/vnd.fedtrace.school-policy+json"
"""What a policy's envelope says it holds."""


class PrivacyBounds(Section):
    """The weakest protection that the school accepts.

    Attributes:
        max_epsilon_job: all releases of one job about one student.
        max_epsilon_student_year: all releases of a school year about one student.
        max_delta: of both.
        min_noise_multiplier: z of a training round and of an evaluation.
        max_clipping_norm: C.
        max_sampling_rate: q of a training round.
        trust_modes: who may add the noise.
    """

    max_epsilon_job: Annotated[float, Field(gt=0, le=1000)]
    max_epsilon_student_year: Annotated[float, Field(gt=0, le=1000)]
    max_delta: Annotated[float, Field(gt=0, lt=1)]
    min_noise_multiplier: Annotated[float, Field(gt=0, le=1e9)]
    max_clipping_norm: Annotated[float, Field(gt=0, le=1e6)]
    max_sampling_rate: Rate
    trust_modes: Annotated[tuple[TrustMode, ...], Field(min_length=1, max_length=2)]


class SchoolPolicy(Document):
    """One school's bounds.

    Attributes:
        school: whose.
        purposes: for which its students' records may be used.
        legal_bases: on which.
        fields: of the canonical record that training may read.
        max_sequence: interactions of a student that one update may look at.
        min_students: with fewer of its students it stays out.
        min_schools: with fewer schools in a round it stays out.
        privacy: the weakest protection it accepts.
        max_clock_skew_seconds: between its clock and the consortium's.
        min_free_bytes: with less disk space it does not train.
        student_year_first_month: in which its school year, and a new budget, starts.
        revoked_plans: digests of plans that it signed once and no longer accepts.
    """

    payload_type: ClassVar[str] = POLICY_TYPE
    limit_bytes: ClassVar[int] = 64 * 1024

    format: Literal["fedtrace-school-policy/1"] = "fedtrace-school-policy/1"
    school: Name
    purposes: Annotated[tuple[Purpose, ...], Field(max_length=16)]
    legal_bases: Annotated[tuple[LegalBasis, ...], Field(max_length=16)]
    fields: Annotated[tuple[FieldName, ...], Field(max_length=16)]
    max_sequence: Annotated[int, Field(ge=2, le=100_000)]
    min_students: Annotated[int, Field(ge=1, le=1_000_000)]
    min_schools: Annotated[int, Field(ge=1, le=1000)]
    privacy: PrivacyBounds
    max_clock_skew_seconds: Annotated[int, Field(ge=1, le=86_400)] = 300
    min_free_bytes: Annotated[int, Field(ge=0, le=2**50)] = 200_000_000
    student_year_first_month: Annotated[int, Field(ge=1, le=12)] = 8
    revoked_plans: Annotated[tuple[Digest, ...], Field(max_length=1000)] = ()


def load_policy_toml(text: str) -> SchoolPolicy:
    """A school policy from the TOML that people write.

    Raises:
        PolicyError: every problem on a line of its own, with path, value and bound.
    """
    return load(text, SchoolPolicy)


def sign_policy(policy: SchoolPolicy, school: Signer) -> bytes:
    """The policy's DSSE envelope, signed by the school alone."""
    return sign_envelope(policy.to_bytes(), POLICY_TYPE, [school])


def open_policy(envelope: bytes, school: PublicKey) -> SchoolPolicy:
    """Verify and decode a policy.

    Raises:
        SignatureError: the school did not sign this.
        Rejected: signed, but not a policy that this release understands.
    """
    verified = verify_envelope(envelope, POLICY_TYPE, {"school": school}, 1)
    return SchoolPolicy.from_bytes(verified.payload)
