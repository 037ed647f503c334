"""The state of a job between two transactions: one frozen value, swapped from version to version.

A `Head` says everything that the next step depends on. Together with the checkpoint it names it
is enough to go on after the aggregator died, so a start and a restart are the same function.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from fedtrace.server.aggregation import OptimiserState, Vector32, Vector64
from fedtrace.server.outcome import EndReason

State = Literal["training", "evaluating", "closed"]


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
        reason: why training ended; empty while it goes on.
        round: the last round that was closed with a checkpoint; 0 before the first.
        checkpoint_digest: the checkpoint that round left, or the plan's initial parameters.
        record_digest: the signed record of the last finished round, or empty before the first.
        model_digest: the model to release; empty until training ended.
        started_at: when the run was opened.
        ended_at: when it was closed, or None.
        resumed: how often it was taken up again.
        open: the round being asked for, or None once closed.
    """

    run_id: str
    plan_digest: str
    version: int
    state: State
    reason: EndReason | Literal[""]
    round: int
    checkpoint_digest: str
    record_digest: str
    model_digest: str
    started_at: datetime
    ended_at: datetime | None
    resumed: int
    open: OpenRound | None


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
