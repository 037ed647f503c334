"""One training job as a state machine over ports: a transport, a store, a clock, a signer, a log.

::

    open ── round 1 ── round 2 ── ... ── evaluation ── closed
             │  └ too few answers: the same round again, at most MAX_ATTEMPTS times
             └ still too few, or no budget left: the job ends here, in order

Before any school is asked, the budget is checked and the round's signed order is on disk; after
it, one transaction holds everything the round changed. So there is no moment at which the
aggregator may not die: the next start reads the head, publishes what is staged, and goes on.

A round waits for nobody beyond its deadline. Answers that came in an attempt that missed its
quorum are kept (their sum, not themselves), and only the schools that were missing are asked
again: an answer that a school has given has cost its students privacy and is not asked for twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from fedtrace.governance.canonical import digest
from fedtrace.governance.errors import PolicyError
from fedtrace.governance.witnessing import witness_quorum
from fedtrace.server import entries
from fedtrace.server.aggregation import RunningSum, ServerOptimiser, public_denominator
from fedtrace.server.asking import Answers, Asking, ask
from fedtrace.server.consortium import Consortium
from fedtrace.server.finishing import conclude
from fedtrace.server.head import Checkpoint, Head
from fedtrace.server.journal import Journal, stored_form
from fedtrace.server.ordering import read_order
from fedtrace.server.outcome import (
    Disposition,
    EndReason,
    JobEvent,
    JobEventKind,
    JobOutcome,
    Receipt,
)
from fedtrace.server.ports import Clock, Progress, Transport
from fedtrace.server.readiness import require_ready
from fedtrace.server.restored import confirm, is_unconfirmed
from fedtrace.server.rows import Writes
from fedtrace.server.secure_sum import ask_for_a_sum
from fedtrace.server.steps import Course, Step, received
from fedtrace.server.witnessing import WitnessedTransport

MAX_ATTEMPTS = 3
"""How often the schools of one training round are asked before the job ends without it.

An evaluation is asked for once: the model is there either way.
"""

LAST_WORD_SECONDS = 30
"""How long a job that has ended waits for the schools to have seen its last entries."""

_RECEIPT_EVENTS: Mapping[Disposition, JobEventKind] = {
    "accepted": "update.received",
    "rejected": "update.rejected",
    "refused": "school.refused",
    "missing": "school.missing",
    "unused": "update.received",
}


def run_job(
    consortium: Consortium,
    plan_digest: str,
    transport: Transport,
    clock: Clock,
    *,
    progress: Progress,
    wait_for_schools: bool = False,
) -> JobOutcome:
    """Run the job of a plan from wherever it stands to its end.

    One plan has one job. A job that ended is not run again: its outcome is returned.

    Args:
        consortium: charter, key, store, log, plans and registry.
        plan_digest: an activated plan.
        transport: the way to the schools.
        clock: the time.
        progress: is told every step; it must not raise.
        wait_for_schools: before a job is opened, make sure that enough schools accepted its plan.

    Returns:
        What happened, complete also where the job was resumed.

    Raises:
        Refused: the plan lacks its quorum of signatures.
        PolicyError: the plan was revoked before a job of it was opened, or the log tells of a
            newer charter.
        Corrupt: stored state contradicts itself; nothing was repaired.
        SchoolsNotReady: too few have accepted the plan; nothing was opened.
        OSError: disk or database failed, or too few witnesses could be asked about a home that
            was restored; nothing acknowledged is lost, start again.
    """
    consortium.publish_staged()
    consortium.require_told_charter()
    job = _Job(consortium, plan_digest, transport, clock, progress)
    job.require_newest()
    if job.journal.restore():
        job.resume()
    else:
        if wait_for_schools:
            require_ready(consortium.home, job.journal.signed, transport, clock)
        job.open()
    while job.journal.head.state != "closed":
        if job.is_revoked():
            job.end_revoked()
        else:
            job.step()
    job.show_the_end()
    return conclude(consortium, job.journal)


def finished_job(consortium: Consortium, plan_digest: str) -> JobOutcome:
    """What happened in a job that has ended, for whoever reads it later.

    Raises:
        PolicyError: no job was opened under this plan.
        Corrupt: the job has not ended, or stored state contradicts itself.
    """
    journal = Journal(consortium, consortium.plans.open_past(plan_digest, consortium.charters))
    if not journal.restore():
        raise PolicyError(f"no job was opened under the plan {plan_digest}")
    return conclude(consortium, journal)


class _Job:
    """The transitions. Each builds one `Step`; committing it is one transaction."""

    def __init__(
        self,
        consortium: Consortium,
        plan_digest: str,
        transport: Transport,
        clock: Clock,
        progress: Progress,
    ) -> None:
        signed = consortium.plans.open(plan_digest, consortium.charter)
        self.journal = Journal(consortium, signed)
        self._plan = signed.plan
        self._consortium = consortium
        self._transport = WitnessedTransport(transport, consortium, clock)
        self._clock = clock
        self._progress = progress
        self._optimiser = ServerOptimiser.of(self._plan.aggregation)
        self._run_keys: dict[str, bytes] = {}
        self._course = Course(consortium, self.journal)

    def require_newest(self) -> None:
        """In a home that was restored: have a quorum cosign its log before anything is added.

        Raises:
            Corrupt: a school has a newer log; a job that went on here would contradict it.
            ConnectionError: too few could be asked.
        """
        if not is_unconfirmed(self._consortium.home):
            return
        patience = timedelta(seconds=self._plan.rounds.deadline_seconds)
        cosigned = self._transport.gather(frozenset(), deadline=self._clock.now() + patience)
        needed = witness_quorum(self._consortium.charter)
        if cosigned < needed:
            raise ConnectionError(
                f"this home was restored from a backup, and {cosigned} of the {needed} schools "
                "needed have said that they have no newer log: start the job when more of them "
                "are connected"
            )
        confirm(self._consortium.home)

    # ---------------------------------------------------------------- the three ways to go on

    def open(self) -> None:
        """Open the run and its first round.

        Raises:
            PolicyError: the plan was revoked.
        """
        if self.is_revoked():
            raise PolicyError(
                f"the plan {self.journal.signed.digest} was revoked by its members: no job of it "
                "is started; propose a new plan"
            )
        now = self._clock.now()
        initial = stored_form(self.journal.checkpoint)
        head = Head(
            run_id=f"run-{self._consortium.entropy(8).hex()}",
            plan_digest=self.journal.signed.digest,
            version=1,
            state="training",
            reason=None,
            round=0,
            finished=0,
            checkpoint_digest=digest(initial.parameters),
            optimiser_digest=digest(initial.optimiser),
            model_digest=None,
            previous_record_digest=None,
            started_at=now,
            ended_at=None,
            resumed=0,
            open=None,
        )
        step = Step(head=head, writes=Writes(checkpoint=initial))
        step.entries.append(entries.run_opened(head))
        self._course.note(step, "run.opened", detail=head.run_id)
        self._course.go_on(step, now, number=1)
        self._commit(step, now)

    def resume(self) -> None:
        """Go on where the aggregator died: the same order while it is valid, else a new one."""
        head, now = self.journal.head, self._clock.now()
        if head.open is None:
            return
        signed = read_order(head, self._consortium.charter.aggregator.public_key)
        kind, number = signed.order.kind, signed.order.round
        step = Step(head=replace(self._course.next_version(), resumed=head.resumed + 1))
        step.entries.append(entries.run_opened(head))
        self._course.note(step, "run.resumed", number, detail=head.run_id)
        if now >= signed.order.deadline:
            if self._course.budget.affords(kind, number, now, head.run_id):
                self._course.sign_order(step, kind, number, now, after=head.open)
            else:
                self._course.end_training(step, "budget_exhausted", now, number=number)
        self._commit(step, now)

    def step(self) -> None:
        """Ask the schools of the open round once, and do what follows from their answers."""
        head = self.journal.head
        asking = Asking(
            plan=self._plan,
            charter=self._consortium.charter,
            transport=self._transport,
            clock=self._clock,
            notify=self._tell_receipt,
        )
        checkpoint, earlier = self._course.bytes_to_send(head), self.journal.receipts
        if self._plan.secure_sum is None:
            answers = ask(head, asking, checkpoint=checkpoint, earlier=earlier)
        else:
            answers = ask_for_a_sum(
                head, asking, checkpoint=checkpoint, earlier=earlier, run_keys=self._run_keys
            )
        now, number = self._clock.now(), answers.order.round
        if answers.order.kind == "evaluate":
            self._commit(self._evaluated(answers, now), now)
        elif answers.accepted >= self._plan.schools.minimum_per_round:
            self._commit(self._closed_round(answers, now), now)
        elif not answers.pending or answers.attempt >= MAX_ATTEMPTS:
            self._commit(self._given_up(answers, "quorum_not_reached", now), now)
        elif self._course.budget.affords("train", number, now, head.run_id):
            self._commit(self._retried(answers, now), now)
        else:
            self._commit(self._given_up(answers, "budget_exhausted", now), now)

    def is_revoked(self) -> bool:
        """Whether the members took the plan back; then the log says so from now on."""
        plan_digest, now = self.journal.signed.digest, self._clock.now()
        return self._consortium.revocation_of(plan_digest, now=now) is not None

    def end_revoked(self) -> None:
        """End the job of a revoked plan: nothing more is asked, and no model is released."""
        head, now = self.journal.head, self._clock.now()
        step = Step(head=replace(self._course.next_version(), reason="plan_revoked"))
        step.head = replace(step.head, model_digest=None)
        if head.open is not None:
            order = read_order(head, self._consortium.charter.aggregator.public_key).order
            answers = Answers(
                order=order,
                opened=head.open,
                receipts=(),
                accepted=sum(each.disposition == "accepted" for each in self.journal.receipts),
                pending=(),
                total=RunningSum(0),
                histograms={},
            )
            step.head = replace(step.head, finished=head.finished + 1)
            left = head.checkpoint_digest
            step.writes = self._course.finished(answers, now, closed=False, left=left)
            self._course.log_failure(step, answers, "plan_revoked")
        self._course.close(step, now)
        self._commit(step, now)

    def show_the_end(self) -> None:
        """Let the schools that are there see what was logged last; nothing depends on it."""
        seconds = min(LAST_WORD_SECONDS, self._plan.rounds.deadline_seconds)
        until = self._clock.now() + timedelta(seconds=seconds)
        self._transport.gather(self._transport.connected(), deadline=until)

    # ---------------------------------------------------------------- what follows from answers

    def _closed_round(self, answers: Answers, now: datetime) -> Step:
        """The quorum was reached: one optimiser step, a new checkpoint, the next round."""
        before = self.journal.checkpoint
        denominator = public_denominator(
            sampling_rate=self._plan.privacy.sampling_rate,
            planned_students=self._plan.privacy.planned_students,
            answered=answers.accepted,
            members=len(self._plan.schools.members),
        )
        try:
            parameters, optimiser = self._optimiser.step(
                before.parameters, answers.total.total / denominator, before.optimiser
            )
        except ValueError as error:
            raise PolicyError(f"plan.aggregation.learning_rate: {error}") from error
        number = answers.order.round
        checkpoint = Checkpoint(round=number, parameters=parameters, optimiser=optimiser)
        stored = stored_form(checkpoint)
        step = Step(
            head=replace(
                self._course.next_version(),
                round=number,
                finished=self.journal.head.finished + 1,
                checkpoint_digest=digest(stored.parameters),
                optimiser_digest=digest(stored.optimiser),
                open=None,
            ),
            checkpoint=checkpoint,
        )
        step.writes = replace(
            self._course.finished(answers, now, closed=True, left=step.head.checkpoint_digest),
            checkpoint=stored,
            keep_from=number + 1 - self._plan.aggregation.average_last,
        )
        self._course.log_receipts(step, answers)
        summed = [*self.journal.receipts, *answers.receipts]
        left = step.head.checkpoint_digest
        step.entries.extend(entries.round_closed(answers.order, self._plan, summed, left))
        self._course.note(step, "round.closed", number, detail=step.head.checkpoint_digest)
        self._course.go_on(step, now, number=number + 1)
        return step

    def _retried(self, answers: Answers, now: datetime) -> Step:
        """Too few answers: keep their sum and ask the missing schools again."""
        step = Step(head=self._course.next_version())
        step.writes = received(answers)
        self._course.log_receipts(step, answers)
        self._course.log_failure(step, answers, f"attempt {answers.attempt}")
        carried = answers.total.total if self._plan.secure_sum is None else None
        after = replace(answers.opened, carried=carried)
        self._course.sign_order(step, "train", answers.order.round, now, after=after)
        return step

    def _given_up(self, answers: Answers, reason: EndReason, now: datetime) -> Step:
        """The round leaves nothing: training ends with the checkpoint before it."""
        head = self.journal.head
        step = Step(
            head=replace(self._course.next_version(), finished=head.finished + 1, open=None)
        )
        step.writes = self._course.finished(answers, now, closed=False, left=head.checkpoint_digest)
        self._course.log_receipts(step, answers)
        self._course.log_failure(step, answers, reason)
        self._course.end_training(step, reason, now, number=answers.order.round + 1)
        return step

    def _evaluated(self, answers: Answers, now: datetime) -> Step:
        """The evaluation came back, or too little of it; the job ends either way."""
        head = self.journal.head
        reached = answers.accepted >= self._plan.schools.minimum_per_round
        step = Step(
            head=replace(self._course.next_version(), finished=head.finished + 1, open=None)
        )
        left = head.model_digest or ""
        step.writes = self._course.finished(answers, now, closed=reached, left=left)
        self._course.log_receipts(step, answers)
        if reached:
            step.writes = replace(step.writes, histograms=answers.encoded_histograms())
            inputs = answers.receipts
            step.entries.extend(entries.evaluation_closed(answers.order, self._plan, inputs))
            self._course.note(step, "evaluation.closed", answers.order.round)
        else:
            self._course.log_failure(step, answers, "evaluation")
        self._course.close(step, now)
        return step

    def _tell_receipt(self, number: int, receipt: Receipt) -> None:
        self._progress(
            JobEvent(
                kind=_RECEIPT_EVENTS[receipt.disposition],
                round=number,
                rounds=self._plan.rounds.count,
                school=receipt.school,
                detail=receipt.code,
            )
        )

    def _commit(self, step: Step, now: datetime) -> None:
        self.journal.commit(
            step.head, step.writes, step.entries, now=now, checkpoint=step.checkpoint
        )
        for event in step.events:
            self._progress(event)
