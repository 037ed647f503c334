"""The round order: one round's frozen instruction, signed by the aggregator.

An order repeats the plan's privacy parameters so that a person reading it sees them; it cannot
change them. Format and example: docs/formats/round-order.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from fedtrace.governance.canonical import digest
from fedtrace.governance.document import Digest, Document, Name, Nonce, UtcDatetime
from fedtrace.governance.plan import RoundKind, RoundPrivacy, Schools
from fedtrace.governance.signing import PublicKey, Signer, sign_envelope, verify_envelope

ORDER_TYPE = "application/vnd.fedtrace.round-order+json"
"""What an order's envelope says it holds."""


class RoundOrder(Document):
    """What a school is asked to do in one round.

    Attributes:
        kind: an update from training students, or histograms from held-out ones.
        run_id: the run; a resumed one goes on under its own name or a new one.
        plan_digest: the plan that allows it.
        round: numbered from 1 and only rising; an evaluation has a number of its own, after the
            last training round.
        checkpoint_digest: the safetensors bytes that are sent along.
        previous_round_digest: the aggregator's signed record of the round before; None in the
            first.
        schools: every school that is asked; a school that is not in here does nothing.
        deadline: an answer after it is not used.
        nonce: fresh in every order; the answer repeats it.
        privacy: must be the plan's.
    """

    payload_type: ClassVar[str] = ORDER_TYPE
    limit_bytes: ClassVar[int] = 128 * 1024

    format: Literal["fedtrace-round-order/1"] = "fedtrace-round-order/1"
    kind: RoundKind
    run_id: Name
    plan_digest: Digest
    round: Annotated[int, Field(ge=1, le=1_000_000)]
    checkpoint_digest: Digest
    previous_round_digest: Digest | None
    schools: Schools
    deadline: UtcDatetime
    nonce: Nonce
    privacy: RoundPrivacy


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedOrder:
    """An order that the aggregator signed and that this release understands.

    Attributes:
        order: the order.
        digest: of its signed payload; what manifest and ledger call it.
    """

    order: RoundOrder
    digest: str


def sign_order(order: RoundOrder, aggregator: Signer) -> bytes:
    """The order as it travels: a DSSE envelope."""
    return sign_envelope(order.to_bytes(), ORDER_TYPE, [aggregator])


def open_order(envelope: bytes, aggregator: PublicKey) -> SignedOrder:
    """Verify and decode an order; total.

    Raises:
        SignatureError: the aggregator did not sign this.
        Rejected: signed, but not an order that this release understands.
    """
    verified = verify_envelope(envelope, ORDER_TYPE, {"aggregator": aggregator}, 1)
    return SignedOrder(
        order=RoundOrder.from_bytes(verified.payload), digest=digest(verified.payload)
    )
