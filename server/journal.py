"""A job's memory: the verified head, and the one way in which it moves.

The order of writes is always the same: stage the log entries, sign the head, swap it in one
transaction, publish to the log; what was staged is dropped by the next transaction. A start after
a crash publishes what is staged first, which is what every step does anyway.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from fedtrace.governance.canonical import digest
from fedtrace.governance.errors import Corrupt
from fedtrace.governance.ledger import PrivacyEvent
from fedtrace.governance.log.entries import Entry, encode_entry
from fedtrace.governance.plan_signing import SignedPlan
from fedtrace.server.aggregation import OptimiserState, Vector32, averaged
from fedtrace.server.codec import checkpoint_spec, decode, encode, encode_optimiser
from fedtrace.server.consortium import Consortium
from fedtrace.server.head import Checkpoint, Head, JobRecord
from fedtrace.server.lost import require_known
from fedtrace.server.outcome import Receipt
from fedtrace.server.publishing import publish, require_closed_round
from fedtrace.server.rows import StoredCheckpoint, Writes
from fedtrace.server.sealing import load_checkpoint, open_seal, seal, verify_head, verify_records


class Journal:
    """What one job has on disk, as this process knows it.

    Attributes:
        signed: the plan.
        checkpoint: what training goes on from.
        events: what was spent so far, in order.
        receipts: the receipts of the open round's earlier attempts.
    """

    def __init__(self, consortium: Consortium, signed: SignedPlan) -> None:
        self.signed = signed
        self.checkpoint = self._initial(consortium)
        self.events: tuple[PrivacyEvent, ...] = ()
        self.receipts: tuple[Receipt, ...] = ()
        self._consortium = consortium
        self._head: Head | None = None
        self._record_digest: str | None = None
        self._records: dict[int, JobRecord] = {}

    @property
    def head(self) -> Head:
        """Where the job stands.

        Raises:
            Corrupt: it was neither opened nor restored.
        """
        if self._head is None:
            raise Corrupt(f"the job of plan {self.signed.digest} was not opened")
        return self._head

    @property
    def record_digest(self) -> str | None:
        """Digest of the signed record that ended the last round; None before the first."""
        return self._record_digest

    def restore(self) -> bool:
        """Take up the job from the database, where there is one.

        Returns:
            False if the job was never opened.

        Raises:
            Corrupt: what is stored is not what was signed, or contradicts the log.
            PolicyError: the job was given up.
        """
        store, key = self._consortium.store, self._consortium.charter.aggregator.public_key
        stored = store.head(self.signed.digest)
        run_id = None if stored is None else stored.head.run_id
        require_known(self._consortium.log, self.signed.digest, stored_run=run_id)
        if stored is None:
            return False
        head = stored.head
        verify_head(head, stored.seal, key)
        finished = store.finished(head.run_id)
        records = verify_records([each.record for each in finished], key)
        self._records = {record.round: record for record in records if record.round}
        if finished:
            self._record_digest = open_seal(finished[-1].record, key)[1]
        ended_by_head = bool(finished) and finished[-1].record == stored.seal
        follows = ended_by_head or head.previous_record_digest == self._record_digest
        if len(finished) != head.finished or not follows:
            raise Corrupt(f"run {head.run_id} does not follow its last finished round")
        require_closed_round(self._consortium.log, head)
        parameters = self.signed.plan.model.parameters
        self.checkpoint = load_checkpoint(store, head, parameters=parameters)
        self.events = store.events(head.run_id)
        open_round = finished[-1].outcome.round + 1 if finished else 1
        self.receipts = store.receipts(head.run_id, open_round)
        self._head = head
        return True

    def commit(
        self,
        head: Head,
        writes: Writes,
        log_entries: Sequence[Entry],
        *,
        now: datetime,
        checkpoint: Checkpoint | None = None,
    ) -> None:
        """Make one step durable: database first, log second, then this object's memory.

        Args:
            head: the new head, one version on.
            writes: what the step adds.
            log_entries: what the log gets to know.
            now: the time of the entries.
            checkpoint: the checkpoint that the step left, if any.

        Raises:
            Corrupt: another process moved the job, or the log is not where the database thinks.
        """
        store, log = self._consortium.store, self._consortium.log
        signed = seal(head, self._consortium.aggregator)
        first = log.size
        staged = {
            index: encode_entry(entry, index=index, origin=log.origin, now=now)
            for index, entry in enumerate(log_entries, start=first)
        }
        writes = replace(writes, staged=staged, published=first)
        write = store.begin if head.version == 1 else store.swap
        write(head, signed.envelope, writes)
        publish(log, staged)
        self._head = head
        self.checkpoint = checkpoint or self.checkpoint
        if writes.event:
            self.events = (*self.events, writes.event)
        if writes.finished:
            self._record_digest = signed.digest
            self._records[head.round] = head.record()
            self.receipts = ()
        else:
            self.receipts = (*self.receipts, *writes.receipts)

    def released(self, latest: Checkpoint) -> Vector32:
        """The mean of the plan's number of last checkpoints, float32 [parameters].

        Args:
            latest: the newest checkpoint, which may not be on disk yet.

        Raises:
            Corrupt: an older one is not the one that its round's record names.
        """
        plan = self.signed.plan
        first = max(1, latest.round + 1 - plan.aggregation.average_last)
        older = [
            load_checkpoint(
                self._consortium.store, self._records[number], parameters=plan.model.parameters
            ).parameters
            for number in range(first, latest.round)
        ]
        return averaged([*older, latest.parameters])

    def _initial(self, consortium: Consortium) -> Checkpoint:
        plan = self.signed.plan
        data = consortium.plans.initial_parameters(self.signed.digest)
        if digest(data) != plan.model.initial_parameters_digest:
            raise Corrupt("the stored initial parameters are not the ones that the plan names")
        try:
            parameters = decode(data, checkpoint_spec(plan.model.parameters))
        except ValueError as error:
            raise Corrupt("the plan's initial parameters cannot be read") from error
        return Checkpoint(
            round=0,
            parameters=parameters.astype("float32"),
            optimiser=OptimiserState.fresh(plan.model.parameters),
        )


def stored_form(checkpoint: Checkpoint) -> StoredCheckpoint:
    """A checkpoint as the bytes that the store keeps and that digests are taken of."""
    spec = checkpoint_spec(checkpoint.parameters.size)
    return StoredCheckpoint(
        round=checkpoint.round,
        parameters=encode(checkpoint.parameters, spec),
        optimiser=encode_optimiser(checkpoint.optimiser),
    )
