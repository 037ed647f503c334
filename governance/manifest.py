"""What a school signs and sends: the manifest of a contribution, or a refusal.

Both say only what the receiver needs to check. There is no number of students, no loss and no
sentence in either: a metric would be one more release, a sentence a way out for data.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from fedtrace.governance.document import Digest, Document, Name, Nonce
from fedtrace.governance.plan import RoundKind
from fedtrace.governance.refusals import RefusalCode
from fedtrace.governance.signing import Signer, sign_envelope

MANIFEST_TYPE = "application/vnd.fedtrace.manifest+json"
"""What a manifest's envelope says it holds."""

REFUSAL_TYPE = "application/vnd.fedtrace.refusal+json"
"""What a refusal's envelope says it holds."""

RoundNumber = Annotated[int, Field(ge=1, le=1_000_000)]


class Manifest(Document):
    """One contribution, bound to the order that it answers.

    Attributes:
        school: who signs it.
        order_digest: digest of the order's signed payload.
        nonce: the order's.
        update_digest: digest of the payload's bytes, whatever the kind.
        payload_bytes: their number.
        schema_fingerprint: the shape of the model that the update fits.
    """

    payload_type: ClassVar[str] = MANIFEST_TYPE
    limit_bytes: ClassVar[int] = 8 * 1024

    format: Literal["fedtrace-manifest/1"] = "fedtrace-manifest/1"
    school: Name
    plan_digest: Digest
    run_id: Name
    round: RoundNumber
    kind: RoundKind
    order_digest: Digest
    nonce: Nonce
    update_digest: Digest
    payload_bytes: Annotated[int, Field(ge=0, le=2**40)]
    schema_fingerprint: Digest


class RefusalNotice(Document):
    """A school's no: a code and the paragraph it rests on.

    Attributes:
        plan_digest: None, like run and round, where the order could not be read.
        clause: the path of the clause, such as ``plan.valid_until``; never a sentence.
    """

    payload_type: ClassVar[str] = REFUSAL_TYPE
    limit_bytes: ClassVar[int] = 8 * 1024

    format: Literal["fedtrace-refusal/1"] = "fedtrace-refusal/1"
    school: Name
    plan_digest: Digest | None
    run_id: Name | None
    round: RoundNumber | None
    code: RefusalCode
    clause: Annotated[str, Field(pattern=r"^[a-z][a-z_.]{0,63}$")]


def sign_manifest(manifest: Manifest, school: Signer) -> bytes:
    """The manifest as it travels: a DSSE envelope."""
    return sign_envelope(manifest.to_bytes(), MANIFEST_TYPE, [school])


def sign_refusal(notice: RefusalNotice, school: Signer) -> bytes:
    """The refusal as it travels: a DSSE envelope."""
    return sign_envelope(notice.to_bytes(), REFUSAL_TYPE, [school])
