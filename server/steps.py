"""The moves that all steps of a job share: sign the next order, end training, close.

A step is built in memory, head and writes and log entries together, and becomes real in one
transaction when the job commits it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime

from fedtrace.governance.canonical import digest
from fedtrace.governance.log.entries import Entry
from fedtrace.governance.orders import sign_order
from fedtrace.governance.plan import RoundKind
from fedtrace.server import entries
from fedtrace.server.asking import Answers
from fedtrace.server.budget import JobBudget
from fedtrace.server.codec import checkpoint_spec, encode
from fedtrace.server.consortium import Consortium
from fedtrace.server.head import Checkpoint, Head, OpenRound
from fedtrace.server.journal import Journal, stored_form
from fedtrace.server.ordering import NONCE_BYTES, new_order
from fedtrace.server.outcome import EndReason, JobEvent, JobEventKind, RoundOutcome
from fedtrace.server.rows import Writes


@dataclass(slots=True)
class Step:
    """One step before it is committed: the head that it leads to, and what it leaves."""

    head: Head
    writes: Writes = field(default_factory=Writes)
    entries: list[Entry] = field(default_factory=list)
    checkpoint: Checkpoint | None = None
    events: list[JobEvent] = field(default_factory=list)


class Course:
    """Knows where a job goes after what has happened.

    Attributes:
        journal: what is on disk.
        budget: what may still be spent.
    """

    def __init__(self, consortium: Consortium, journal: Journal) -> None:
        self.journal = journal
        self.budget = JobBudget(journal, consortium)
        self._consortium = consortium
        self._plan = journal.signed.plan

    def go_on(self, step: Step, now: datetime, *, number: int) -> None:
        """Open the next round, where there is one and the budget allows it, or end training."""
        if step.head.round >= self._plan.rounds.count:
            self.end_training(step, "completed", now, number=number)
        elif self.budget.affords("train", number, now, step.head.run_id):
            self.sign_order(step, "train", number, now)
        else:
            self.end_training(step, "budget_exhausted", now, number=number)

    def end_training(self, step: Step, reason: EndReason, now: datetime, *, number: int) -> None:
        """Fix the model; have it evaluated where schools are there and the budget allows it."""
        step.head = replace(step.head, state="evaluating", reason=reason, open=None)
        if step.head.round >= self._plan.release.minimum_rounds:
            model = self.model_bytes(step.checkpoint or self.journal.checkpoint)
            step.head = replace(step.head, model_digest=digest(model))
            schools_are_there = reason != "quorum_not_reached"
            run_id = step.head.run_id
            if schools_are_there and self.budget.affords("evaluate", number, now, run_id):
                self.sign_order(step, "evaluate", number, now)
                return
        self.close(step, now)

    def close(self, step: Step, now: datetime) -> None:
        """End the job, with or without a model to release."""
        step.head = replace(step.head, state="closed", ended_at=now, open=None)
        step.entries.extend(entries.run_ended(step.head, self._plan))
        if step.head.model_digest is not None:
            self.note(step, "model.released", detail=step.head.model_digest)
        self.note(step, "run.closed", detail=step.head.reason or "")

    def sign_order(
        self,
        step: Step,
        kind: RoundKind,
        number: int,
        now: datetime,
        *,
        after: OpenRound | None = None,
    ) -> None:
        """Open a round, or its next attempt, and write down what it will cost."""
        opened = OpenRound(
            order=b"",
            attempt=after.attempt + 1 if after else 1,
            opened_at=after.opened_at if after else now,
            carried=after.carried if after else None,
        )
        step.head = replace(step.head, open=opened)
        # A step that finishes a round is itself the record that the next order refers to.
        finishes = step.writes.finished is not None
        previous = step.head.record().digest() if finishes else self.journal.record_digest
        order = new_order(
            self._plan,
            step.head,
            kind=kind,
            round_number=number,
            previous_record_digest=previous,
            now=now,
            nonce=self._consortium.entropy(NONCE_BYTES),
        )
        signed = sign_order(order, self._consortium.aggregator)
        step.head = replace(step.head, open=replace(opened, order=signed))
        event = self.budget.event(kind, number, now, step.head.run_id)
        step.writes = replace(step.writes, event=event, event_attempt=opened.attempt)
        step.entries.extend(entries.round_opened(order))
        self.note(step, "round.opened", number, detail=kind)

    def next_version(self) -> Head:
        """The head that follows the current one, not changed yet."""
        head = self.journal.head
        return replace(
            head, version=head.version + 1, previous_record_digest=self.journal.record_digest
        )

    def model_bytes(self, checkpoint: Checkpoint) -> bytes:
        """The model that would be released after this checkpoint, safetensors bytes."""
        spec = checkpoint_spec(self._plan.model.parameters)
        return encode(self.journal.released(checkpoint), spec)

    def bytes_to_send(self, head: Head) -> bytes:
        """What goes along with the open order: the checkpoint, or the model to evaluate."""
        if head.state == "evaluating":
            return self.model_bytes(self.journal.checkpoint)
        return stored_form(self.journal.checkpoint).parameters

    def finished(self, answers: Answers, now: datetime, *, closed: bool, left: str) -> Writes:
        """The writes of a step that ends a round, which left the checkpoint ``left``."""
        started = self.journal.head.started_at
        outcome = RoundOutcome(
            round=answers.order.round,
            kind=answers.order.kind,
            closed=closed,
            attempts=answers.attempt,
            start_seconds=(answers.opened.opened_at - started).total_seconds(),
            end_seconds=(now - started).total_seconds(),
            checkpoint_digest=left,
            receipts=(),
        )
        return replace(received(answers), finished=outcome)

    def log_receipts(self, step: Step, answers: Answers) -> None:
        """Log what became of every answer."""
        step.entries.extend(entries.receipt(answers.order, each) for each in answers.receipts)

    def log_failure(self, step: Step, answers: Answers, detail: str) -> None:
        """Log that the quorum was missed, and tell it."""
        step.entries.append(entries.round_failed(answers.order, self._plan, answers.accepted))
        self.note(step, "round.failed", answers.order.round, detail=detail)

    def note(self, step: Step, kind: JobEventKind, number: int = 0, *, detail: str = "") -> None:
        """Have something told once the step is committed."""
        step.events.append(
            JobEvent(kind=kind, round=number, rounds=self._plan.rounds.count, detail=detail)
        )


def received(answers: Answers) -> Writes:
    """The writes of a step that only keeps receipts."""
    return Writes(receipts=answers.receipts, round=answers.order.round, attempt=answers.attempt)
