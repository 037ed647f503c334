"""What a job tells while it runs and what it leaves behind: plain values, no behaviour."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

from fedtrace.governance.plan import RoundKind
from fedtrace.privacy.histograms import HistogramMetrics

Disposition = Literal["accepted", "rejected", "refused", "missing", "unused"]
"""What became of one school in one round: summed; failed a check; said no; did not come in time;
came masked in an attempt under secure sum that was never unmasked."""

EndReason = Literal["completed", "quorum_not_reached", "budget_exhausted", "plan_revoked"]
"""Why a job ended. Each way it ends in order: model, ledger and report are there."""


JobEventKind = Literal[
    "run.opened",
    "run.resumed",
    "round.opened",
    "update.received",
    "update.rejected",
    "school.refused",
    "school.missing",
    "round.failed",
    "round.closed",
    "evaluation.closed",
    "model.released",
    "run.closed",
]
"""The steps of a job."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What one school's answer to one round was worth.

    Attributes:
        school: the school that the authenticated node belongs to.
        disposition: what became of its answer.
        code: the number of the failed check (A01..), the refusal code (R01..) or empty.
        digest: ``sha256:`` of the payload, empty where none came.
        received_bytes: manifest and payload, or refusal; 0 where nothing came.
        received_seconds: from the start of the round to the answer; 0 where none came.
    """

    school: str
    disposition: Disposition
    code: str = ""
    digest: str = ""
    received_bytes: int = 0
    received_seconds: float = 0.0


def verdicts(receipts: Iterable[Receipt]) -> dict[str, Receipt]:
    """School -> the receipt that counts.

    A school that failed a check and then sent a good answer counts as accepted, and one whose
    second answer was turned away stays accepted or refused; otherwise the last receipt decides.
    """
    final: dict[str, Receipt] = {}
    for receipt in receipts:
        known = final.get(receipt.school)
        if known is None or known.disposition in ("missing", "rejected", "unused"):
            final[receipt.school] = receipt
    return final


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundOutcome:
    """One round: who was asked and what came of it.

    Attributes:
        round: numbered from 1; the evaluation at the end has the number after the last round.
        kind: what the schools were asked for.
        closed: True if the quorum was reached and a new checkpoint (or metrics) came out.
        attempts: how often schools were asked before the round closed or was given up.
        start_seconds: from the opening of the run to the opening of the round.
        end_seconds: from the opening of the run to the end of the round.
        checkpoint_digest: the checkpoint that the round left.
        receipts: one an answer, in the order in which they came; a school that was asked twice
            or answered twice has more than one.
    """

    round: int
    kind: RoundKind
    closed: bool
    attempts: int
    start_seconds: float
    end_seconds: float
    checkpoint_digest: str
    receipts: tuple[Receipt, ...]

    def verdict(self, disposition: Disposition) -> dict[str, str]:
        """School -> code, of the schools with that disposition in the end."""
        final = verdicts(self.receipts).values()
        return {r.school: r.code for r in final if r.disposition == disposition}

    @property
    def answered(self) -> tuple[str, ...]:
        """The schools whose contribution is in the round's sum."""
        return tuple(self.verdict("accepted"))

    @property
    def missing(self) -> tuple[str, ...]:
        """The schools that did not answer before the deadline."""
        return tuple(self.verdict("missing"))

    @property
    def refused(self) -> dict[str, str]:
        """School -> refusal code."""
        return self.verdict("refused")

    @property
    def rejected(self) -> dict[str, str]:
        """School -> the check that its contribution failed."""
        return self.verdict("rejected")

    @property
    def received_bytes(self) -> dict[str, int]:
        """School -> bytes that came from it in this round."""
        total: dict[str, int] = {}
        for receipt in self.receipts:
            total[receipt.school] = total.get(receipt.school, 0) + receipt.received_bytes
        return total


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationOutcome:
    """The evaluation of the released model on held-out students."""

    round: RoundOutcome
    pooled: HistogramMetrics
    per_school: dict[str, HistogramMetrics]


@dataclass(frozen=True, slots=True, kw_only=True)
class JobOutcome:
    """One training job from its opening to its released model.

    Attributes:
        run_id: the run, as named in every order, manifest and log entry.
        plan_digest: the plan it ran under.
        reason: why it ended.
        started_at: when the run was opened, on the aggregator's clock.
        seconds: from the opening of the run to its close; time that an aggregator was down counts.
        rounds: every training round, closed or given up.
        evaluation: None where the job ended before it or too few schools took part.
        epsilon: of every event of this run, for one student, at ``delta``; infinite without noise.
        delta: as in the plan.
        resumed: how often the job was taken up again after the aggregator had died.
        model_digest: ``sha256:`` of the released safetensors file; None where fewer rounds were
            closed than the plan wants for a release.
        model_path: that file, or None.
        card_path: the model card (JSON) beside it, or None.
        log_entries: how many entries the consortium log has now.
    """

    run_id: str
    plan_digest: str
    reason: EndReason
    started_at: datetime
    seconds: float
    rounds: tuple[RoundOutcome, ...]
    evaluation: EvaluationOutcome | None
    epsilon: float
    delta: float
    resumed: int
    model_digest: str | None
    model_path: Path | None
    card_path: Path | None
    log_entries: int

    @property
    def received_bytes(self) -> dict[str, int]:
        """School -> bytes that came from it in the whole job."""
        total: dict[str, int] = {}
        evaluations = (self.evaluation.round,) if self.evaluation else ()
        for outcome in (*self.rounds, *evaluations):
            for school, count in outcome.received_bytes.items():
                total[school] = total.get(school, 0) + count
        return total


@dataclass(frozen=True, slots=True, kw_only=True)
class JobEvent:
    """One step of a job, for whoever shows progress.

    Attributes:
        kind: what happened.
        round: the round it belongs to; 0 for the job as a whole.
        rounds: how many training rounds the plan has.
        school: the school it is about, or empty.
        detail: a check, a refusal code, an end reason or a digest; never a sentence, never data.
    """

    kind: JobEventKind
    round: int
    rounds: int
    school: str = ""
    detail: str = ""
