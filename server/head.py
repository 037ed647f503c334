"""The state of a job between two transactions: one frozen value, swapped from version to version.

A `Head` says everything that the next step depends on. Together with the checkpoint it names it
is enough to go on after the aggregator died, so a start and a restart are the same function.

Every head is sealed: the aggregator signs a `JobRecord` of it, and the record that ends a round
is what the next round's order calls ``previous_round_digest``. A database that was changed by
anyone without the aggregator's key no longer fits its seals (`fedtrace.server.sealing`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from fedtrace.governance.canonical import digest
from fedtrace.governance.document import Digest, Document, Name, UtcDatetime
from fedtrace.server.aggregation import OptimiserState, Vector32, Vector64
from fedtrace.server.codec import encode_sum
from fedtrace.server.outcome import EndReason

State = Literal["training", "evaluating", "closed"]

Count = Annotated[int, Field(ge=0)]


class JobRecord(Document):
    """What the aggregator signs about a job after every step: the head, less the open order.

    The open order carries a signature of its own, and names the record that came before it.

    Attributes:
        sum_digest: of the sum that earlier attempts of the open round left, or None.
        previous_record_digest: the record that ended the round before, or None.
    """

    payload_type: ClassVar[str] = "application/vnd.fedtrace.job-record+json"
    limit_bytes: ClassVar[int] = 8 * 1024

    format: Literal["fedtrace-job-record/1"] = "fedtrace-job-record/1"
    run_id: Name
    plan_digest: Digest
    version: Count
    state: State
    reason: EndReason | None
    round: Count
    finished: Count
    attempt: Count
    checkpoint_digest: Digest
    optimiser_digest: Digest
    model_digest: Digest | None
    sum_digest: Digest | None
    previous_record_digest: Digest | None
    started_at: UtcDatetime
    opened_at: UtcDatetime | None
    ended_at: UtcDatetime | None
    resumed: Count


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenRound:
    """The round that schools are being asked for.

    Attributes:
        order: the signed order, DSSE bytes; sent again, byte for byte, after a restart.
        attempt: numbered from 1.
        opened_at: when the first attempt was opened.
        carried: float64 [parameters], the sum of what earlier attempts accepted, or None.
    """

    order: bytes
    attempt: int
    opened_at: datetime
    carried: Vector64 | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """Where a job stands.

    Attributes:
        run_id: the run.
        plan_digest: its plan; one plan has one run.
        version: grows by one with every transaction.
        state: what is being asked for, or ``closed``.
        reason: why training ended; None while it goes on.
        round: the last round that was closed with a checkpoint; 0 before the first.
        finished: rounds that are over, whether closed or given up, the evaluation included.
        checkpoint_digest: the checkpoint that round left, or the plan's initial parameters.
        optimiser_digest: the optimiser's memory that belongs to it.
        model_digest: the released model; None until training ended, or where none is released.
        previous_record_digest: the record that ended the last round before this head, or None.
        started_at: when the run was opened.
        ended_at: when it was closed, or None.
        resumed: how often it was taken up again.
        open: the round being asked for, or None once closed.
    """

    run_id: str
    plan_digest: str
    version: int
    state: State
    reason: EndReason | None
    round: int
    finished: int
    checkpoint_digest: str
    optimiser_digest: str
    model_digest: str | None
    previous_record_digest: str | None
    started_at: datetime
    ended_at: datetime | None
    resumed: int
    open: OpenRound | None

    def record(self) -> JobRecord:
        """What is signed about this head."""
        opened = self.open
        carried = opened.carried if opened else None
        return JobRecord(
            run_id=self.run_id,
            plan_digest=self.plan_digest,
            version=self.version,
            state=self.state,
            reason=self.reason,
            round=self.round,
            finished=self.finished,
            attempt=opened.attempt if opened else 0,
            checkpoint_digest=self.checkpoint_digest,
            optimiser_digest=self.optimiser_digest,
            model_digest=self.model_digest,
            sum_digest=None if carried is None else digest(encode_sum(carried)),
            previous_record_digest=self.previous_record_digest,
            started_at=self.started_at,
            opened_at=opened.opened_at if opened else None,
            ended_at=self.ended_at,
            resumed=self.resumed,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """What training goes on from after a round.

    Attributes:
        round: the round that left it; 0 for the plan's initial parameters.
        parameters: float32 [parameters].
        optimiser: the server optimiser's memory.
    """

    round: int
    parameters: Vector32
    optimiser: OptimiserState
