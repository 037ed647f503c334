"""What a decision is made from and what comes out: plain values, no behaviour.

The client fills them in from its disk and from the message; `fedtrace.governance.decision` reads
them and nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from fedtrace.governance.charter import Charter
from fedtrace.governance.ledger import LedgerEntry, PrivacyEvent
from fedtrace.governance.orders import RoundOrder
from fedtrace.governance.plan import RoundKind
from fedtrace.governance.policy import SchoolPolicy
from fedtrace.governance.refusals import REFUSALS, RefusalCode
from fedtrace.governance.witnessing import LogView


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """The documents that bind one school; its name is the policy's.

    Attributes:
        charter: who may sign what.
        policy: what the school accepts at most.
    """

    charter: Charter
    policy: SchoolPolicy


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointFacts:
    """What the client found in the checkpoint's bytes, so that governance needs no numpy.

    Attributes:
        digest: ``sha256:`` of the safetensors bytes as they came.
        dtype: of the one tensor, such as ``float32``; empty where the bytes cannot be read.
        shape: of the one tensor.
        finite: every value is a finite number.
        norm: L2 norm of the values; 0 where they are not float32, which is refused anyway.
    """

    digest: str
    dtype: str
    shape: tuple[int, ...]
    finite: bool
    norm: float

    @classmethod
    def unreadable(cls, digest: str) -> CheckpointFacts:
        """Bytes that are not exactly one readable tensor; R16 will say so."""
        return cls(digest=digest, dtype="", shape=(), finite=False, norm=0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class AnsweredRound:
    """The newest round of a plan that this school has reserved.

    Attributes:
        round: its number.
        kind: what was asked.
        order_digest: the order that asked.
        checkpoint_digest: the model that came with it.
        reply_stored: the answer is on disk and can be sent again.
        used_orders: orders of this round under which an answer may have left. Masks follow from
            the order, so a second answer under one of them would be masked like the first.
    """

    round: int
    kind: RoundKind
    order_digest: str
    checkpoint_digest: str
    reply_stored: bool
    used_orders: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class SchoolState:
    """What the school's disk says when an order has come.

    Attributes:
        installed_fab_digest: of the bundle that names the installed code.
        schema_fingerprint: of the model that the installed code builds for the plan.
        kill_switch: a person has stopped all training.
        log_healthy: the school's log was whole when it was opened and can be written.
        free_bytes: on the disk of the school's folder.
        eligible_students: whose records may be used now, over all folds.
        ledger: every entry.
        last_round: the newest round of the order's plan that was reserved, by any run and of any
            kind; None before the first.
        log: what the school's copy of the consortium's log says about the order.
        promises: (epsilon, delta) of a student-year, by every other plan that this year was spent
            under.
        newest_record_at: when the school last wrote to its ledger or log; None before that.
    """

    installed_fab_digest: str
    schema_fingerprint: str
    kill_switch: bool
    log_healthy: bool
    free_bytes: int
    eligible_students: int
    ledger: tuple[LedgerEntry, ...]
    last_round: AnsweredRound | None
    log: LogView
    promises: frozenset[tuple[float, float]]
    newest_record_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowed:
    """Reserve ``event``, then train.

    Attributes:
        order: the order.
        order_digest: what manifest and ledger call it.
        event: what the answer costs.
    """

    order: RoundOrder
    order_digest: str
    event: PrivacyEvent


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeat:
    """The same order again: send the stored answer again, train nothing, spend nothing."""

    order: RoundOrder
    order_digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Denied:
    """No.

    Attributes:
        code: which no.
        clause: the path of the clause it rests on.
    """

    code: RefusalCode
    clause: str

    @classmethod
    def by(cls, code: RefusalCode, clause: str | None = None) -> Denied:
        """A refusal on a clause, or on the code's own."""
        return cls(code=code, clause=clause or REFUSALS[code].clause)


Decision = Allowed | Repeat | Denied
