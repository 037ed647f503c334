"""The numbered checks that an answer passes before it is summed.

Each check has a number that stands in the consortium log and in `docs/acceptance-checks.md`. They
run from cheap to expensive and the first that fails ends it. Nothing is summed in part: an update
that fails any check has moved nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeVar

import numpy as np

from fedtrace.governance.canonical import digest
from fedtrace.governance.document import Document
from fedtrace.governance.errors import Rejected
from fedtrace.governance.manifest import Manifest, RefusalNotice
from fedtrace.governance.plan import Plan, RoundKind
from fedtrace.governance.signing import PublicKey, SignatureError, verify_envelope
from fedtrace.server.aggregation import norm_bound
from fedtrace.server.codec import FloatArray, TensorSpec, decode, histograms_spec, update_spec
from fedtrace.server.ports import Reply

_Document = TypeVar("_Document", bound=Document)

SIGNED_LIMIT_BYTES = 16 * 1024
"""A signed manifest takes about 1 kB; more is not parsed."""

CHECKS: Mapping[str, str] = MappingProxyType(
    {
        "A01": "the school was asked in this round and has not answered it before",
        "A02": "the reply is a manifest with a payload, or a refusal, each within its size limit",
        "A03": "the document is signed by the school that the node belongs to, and is well formed",
        "A04": "it names the school that the node belongs to",
        "A05": "it names the plan",
        "A06": "it names the run, the round and what was asked for",
        "A07": "it answers this very order: digest and nonce",
        "A08": "the manifest's digest and size are those of the payload",
        "A09": "the schema fingerprint is the plan's",
        "A10": "the payload is exactly one tensor of the right name, type and shape",
        "A11": "every number is finite",
        "A12": "the norm is within the public bound",
    }
)
"""Check -> what must hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """What an answer to one attempt of one round must be; every field is public.

    Attributes:
        kind: what the schools were asked for.
        plan_digest: the plan,
        run_id: the run and
        round: the round that the order names.
        order_digest: digest of the order's signed payload.
        nonce: the order's nonce.
        schema_fingerprint: the shape of the plan's model.
        tensor: the one tensor that the payload may hold.
        norm_bound: the largest L2 norm of an honest contribution.
        keys: school -> the public key of the charter, for every school that was asked.
    """

    kind: RoundKind
    plan_digest: str
    run_id: str
    round: int
    order_digest: str
    nonce: str
    schema_fingerprint: str
    tensor: TensorSpec
    norm_bound: float
    keys: Mapping[str, PublicKey]


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """A contribution that passed every check.

    Attributes:
        values: update float32 [parameters], or histograms float64 [2, bins].
        digest: ``sha256:`` of the payload.
    """

    values: FloatArray
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Declined:
    """A school's signed no.

    Attributes:
        code: the refusal code.
        digest: ``sha256:`` of the signed notice.
    """

    code: str
    digest: str


def tensor_and_bound(plan: Plan, kind: RoundKind) -> tuple[TensorSpec, float]:
    """The tensor that an order of this kind asks for, and the largest norm it may have."""
    if kind == "train":
        tensor = update_spec(plan.model.parameters)
    else:
        tensor = histograms_spec(plan.evaluation.bins)
    privacy = plan.round_privacy(kind)
    bound = norm_bound(
        clipping_norm=privacy.clipping_norm,
        noise_multiplier=privacy.noise_multiplier,
        size=math.prod(tensor.shape),
        planned_students=plan.privacy.planned_students,
    )
    return tensor, bound


def examine(
    school: str, reply: Reply, expected: Expectation, answered: AbstractSet[str]
) -> Accepted | Declined:
    """Check one reply from one authenticated school.

    Args:
        school: the school that the node belongs to.
        reply: what came; nothing about it is trusted.
        expected: what it must be.
        answered: schools whose contribution or refusal to this round was taken already.

    Raises:
        Rejected: with the number of the first check that failed and a sentence.
    """
    if school not in expected.keys:
        raise Rejected("A01", f"{school} was not asked in round {expected.round}")
    if school in answered:
        raise Rejected("A01", f"{school} has answered round {expected.round} already")
    document, payload = _parts(reply, expected.tensor.limit_bytes)
    if payload is None:
        return declined(school, document, expected)
    manifest, _ = _signed(school, document, Manifest, expected)
    _require_manifest(manifest, school, payload, expected)
    values = _values(payload, expected)
    return Accepted(values=values, digest=digest(payload))


def _parts(reply: Reply, payload_limit: int) -> tuple[bytes, bytes | None]:
    if set(reply) == {"refusal"}:
        document, payload = reply["refusal"], None
    elif set(reply) == {"manifest", "payload"}:
        document, payload = reply["manifest"], reply["payload"]
    else:
        raise Rejected("A02", f"the reply has {len(reply)} parts of other names than expected")
    if len(document) > SIGNED_LIMIT_BYTES:
        raise Rejected("A02", f"{len(document)} signed bytes, at most {SIGNED_LIMIT_BYTES}")
    if payload is not None and len(payload) > payload_limit:
        raise Rejected("A02", f"{len(payload)} payload bytes, at most {payload_limit}")
    return document, payload


def _signed(
    school: str, envelope: bytes, document: type[_Document], expected: Expectation
) -> tuple[_Document, str]:
    """A document that the school signed, and the digest of its signed bytes."""
    try:
        verified = verify_envelope(
            envelope, document.payload_type, {school: expected.keys[school]}, 1
        )
    except SignatureError as error:
        raise Rejected("A03", f"no valid signature of {school}") from error
    try:
        return document.from_bytes(verified.payload), digest(verified.payload)
    except Rejected as error:
        raise Rejected("A03", error.sentence) from error


def declined(school: str, envelope: bytes, expected: Expectation) -> Declined:
    """A school's signed no, also in the other stages of a secure sum.

    Raises:
        Rejected: it is not that school's, or about something else.
    """
    notice, notice_digest = _signed(school, envelope, RefusalNotice, expected)
    if notice.school != school:
        raise Rejected("A04", f"{school} signed a refusal that names another school")
    if notice.plan_digest not in (None, expected.plan_digest):
        raise Rejected("A05", "the refusal names another plan")
    if notice.run_id not in (None, expected.run_id) or notice.round not in (None, expected.round):
        raise Rejected("A06", f"the refusal is about another round than {expected.round}")
    return Declined(code=notice.code.value, digest=notice_digest)


def _require_manifest(
    manifest: Manifest, school: str, payload: bytes, expected: Expectation
) -> None:
    if manifest.school != school:
        raise Rejected("A04", f"{school} signed a manifest that names another school")
    if manifest.plan_digest != expected.plan_digest:
        raise Rejected("A05", "the manifest names another plan")
    named = (manifest.run_id, manifest.round, manifest.kind)
    if named != (expected.run_id, expected.round, expected.kind):
        raise Rejected(
            "A06",
            f"the manifest is about round {manifest.round} ({manifest.kind}) of its run, asked "
            f"for was round {expected.round} ({expected.kind}) of {expected.run_id}",
        )
    if (manifest.order_digest, manifest.nonce) != (expected.order_digest, expected.nonce):
        raise Rejected("A07", "the manifest answers another order")
    if manifest.payload_bytes != len(payload):
        raise Rejected(
            "A08", f"the manifest says {manifest.payload_bytes} bytes, {len(payload)} came"
        )
    if manifest.update_digest != digest(payload):
        raise Rejected("A08", "the payload is not the one that the manifest names")
    if manifest.schema_fingerprint != expected.schema_fingerprint:
        raise Rejected("A09", "the manifest names another model schema than the plan")


def _values(payload: bytes, expected: Expectation) -> FloatArray:
    try:
        values = decode(payload, expected.tensor)
    except ValueError as error:
        raise Rejected("A10", str(error)) from error
    if not np.isfinite(values).all():
        raise Rejected("A11", f"{expected.tensor.name} holds a number that is not finite")
    # float64: the square of a large float32 must not overflow into an accepted infinity.
    norm = float(np.linalg.norm(values.astype(np.float64)))
    if not norm <= expected.norm_bound:
        raise Rejected("A12", f"the norm is over the public bound {expected.norm_bound:g}")
    return values
