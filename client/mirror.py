"""The school's own copy of the consortium's log, and the school as a witness of it.

::

    <home>/consortium-log/    entries.jsonl, checkpoint: as the consortium's log folder
    <home>/evidence/          proofs that the log has two histories, should there ever be one

The copy grows only by entries that lead from what was there to a checkpoint that the log's key
signed; then the school cosigns that checkpoint. So its cosignature says: I have all of this.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from hashlib import sha256
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fedtrace.client.files import write_private
from fedtrace.governance.charter import Charter
from fedtrace.governance.errors import Corrupt, Rejected
from fedtrace.governance.ledger import LedgerEntry, PrivacyEvent
from fedtrace.governance.log.checkpoint import LogCheckpoint, open_checkpoint
from fedtrace.governance.log.cosignature import Ed25519Cosigner
from fedtrace.governance.log.entries import (
    CharterAdopted,
    CharterChanged,
    Entry,
    PlanActivated,
    PlanRevoked,
    RoundClosed,
    RoundOpened,
    UpdateReceived,
    decode_entry,
)
from fedtrace.governance.log.evidence import ForkEvidence, collect_evidence
from fedtrace.governance.log.merkle import EMPTY_ROOT, MerkleTree, ProofError, leaf_hash
from fedtrace.governance.log.note import NoteError
from fedtrace.governance.log.storage import DirectoryFiles, LogFiles
from fedtrace.governance.log.witness import Response, Witness
from fedtrace.governance.orders import SignedOrder
from fedtrace.governance.witnessing import LogView, consortium_policy, school_origin

logger = logging.getLogger(__name__)

_NO_CHARTER = "none"
"""No charter has this digest: a log that leads back to an older version leads nowhere."""

MIRROR_FOLDER, EVIDENCE_FOLDER = "consortium-log", "evidence"


class ConsortiumMirror:
    """Mirrors and witnesses the consortium's log. Opens its files when it is first needed.

    Args:
        home: the school's.
        charter: whose log, and whose cosignatures count.
        school: this school's name.
        key: the key of the school's log, with which it cosigns.
    """

    def __init__(
        self, home: Path, *, charter: Charter, school: str, key: Ed25519PrivateKey
    ) -> None:
        self._home, self._charter, self._school = home, charter, school
        self._charter_digest = charter.digest()
        self._policy = consortium_policy(charter)
        self._cosigner = Ed25519Cosigner(school_origin(charter, school), key)
        self._witness = Witness(
            self,
            logs={charter.log.origin: charter.log.public_key},
            cosigners=[self._cosigner],
        )
        self._files: LogFiles | None = None
        self._tree, self._note = MerkleTree(), b""
        self._coming: Sequence[bytes] = ()
        self._now: datetime | None = None
        self._knows = _Knowledge(school)

    def __repr__(self) -> str:
        return f"ConsortiumMirror({self._school})"

    def close(self) -> None:
        """Let the files go."""
        if self._files is not None:
            self._files.close()
            self._files = None

    def witness(self, request: Mapping[str, bytes], *, now: datetime) -> dict[str, bytes]:
        """Answer ``add-checkpoint``, with the entries that come along.

        Args:
            request: ``add-checkpoint`` (C2SP tlog-witness) and ``entries``, a line each.
            now: the time that the cosignature states.

        Returns:
            ``status``, ``body``, and ``latest``, the checkpoint that was cosigned last.

        Raises:
            Corrupt: the copy is damaged.
            OSError: it cannot be read or written.
        """
        self._open()
        entries = request.get("entries", b"")
        self._coming = entries.split(b"\n")[:-1] if entries else ()
        self._now = now
        response = self._answer(request["add-checkpoint"], now)
        return {
            "status": b"%d" % response.status,
            "body": response.body,
            "latest": self._note,
        }

    def view(self, signed: SignedOrder, note: bytes, *, ledger: Iterable[LedgerEntry]) -> LogView:
        """What this copy says about an order.

        Args:
            signed: the order.
            note: the cosigned checkpoint that came with it.
            ledger: what the school knows that it spent.

        Raises:
            Corrupt: the copy is damaged.
            OSError: it cannot be read.
        """
        self._open()
        order, knows = signed.order, self._knows
        opened = knows.opened.get(signed.digest)
        answered = {_which(entry.event) for entry in ledger}
        return LogView(
            forked=bool(evidence_files(self._home)),
            other_charter=knows.charter not in (None, self._charter_digest),
            rolled_back=not knows.answered <= answered,
            witnessed=opened is not None and self._is_witnessed(note, opened),
            plan_activated=order.plan_digest in knows.plans,
            plan_revoked=order.plan_digest in knows.revoked,
            order_opened=opened is not None,
            closed_with=knows.closed.get(order.plan_digest),
        )

    def _is_witnessed(self, note: bytes, opened: int) -> bool:
        """A quorum, this school among it, cosigned a beginning of this copy that has the order.

        What is in this copy, this school has cosigned, whether or not the note says so.
        """
        try:
            seen = self._policy.seen(note)
        except NoteError as error:
            logger.warning("the checkpoint that came with an order is not enough: %s", error)
            return False
        checkpoint = seen.checkpoint
        return (
            self._policy.is_satisfied(frozenset(seen.times) | {self._school})
            and opened < checkpoint.size <= len(self._tree)
            and self._tree.root(checkpoint.size) == checkpoint.root
        )

    # --- what the witness remembers: `fedtrace.governance.log.witness.WitnessStore` -------------

    def latest(self, origin: str) -> LogCheckpoint | None:
        """See `WitnessStore`."""
        size = len(self._tree)
        return LogCheckpoint(origin=origin, size=size, root=self._tree.root()) if size else None

    def record(self, checkpoint: LogCheckpoint, note: bytes) -> None:
        """See `WitnessStore`: store the entries that came, then the checkpoint over them.

        Raises:
            ProofError: they are not entries, or do not lead to the checkpoint.
        """
        start, coming = len(self._tree), self._coming
        if self._files is None or start + len(coming) != checkpoint.size:
            raise ProofError(
                f"{len(coming)} entries came for the {checkpoint.size - start} after {start}"
            )
        entries = [self._entry(line, start + number) for number, line in enumerate(coming)]
        for line in coming:
            self._tree.append(leaf_hash(line))
        if self._tree.root() != checkpoint.root:
            self._tree.truncate(start)
            raise ProofError("the entries do not lead to the checkpoint")
        try:
            if coming:
                self._files.append(coming)
            self._files.publish(note)
        except BaseException:
            self._forget()  # nobody knows what the disk holds now; the next request finds out
            raise
        self._note = note
        for index, entry in enumerate(entries, start=start):
            self._knows.take(index, entry)

    def observe(self, checkpoint: LogCheckpoint, note: bytes) -> None:
        """See `WitnessStore`: keep what the log's key signed against its own history."""
        size = checkpoint.size
        if not 0 < size <= len(self._tree) or self._tree.root(size) == checkpoint.root:
            return
        if self._now is None:
            raise Corrupt("a checkpoint was observed outside a request")
        evidence = collect_evidence(self._tree, self._note, note, size=size, now=self._now)
        name = f"fork-{size}-{sha256(checkpoint.root).hexdigest()[:8]}.json"
        folder = self._home / EVIDENCE_FOLDER
        folder.mkdir(mode=0o700, exist_ok=True)
        if not (folder / name).exists():
            write_private(folder / name, evidence.to_bytes())
        logger.error("the consortium's log has two histories; the proof is %s", folder / name)

    # --- files ------------------------------------------------------------------------------------

    def _answer(self, body: bytes, now: datetime) -> Response:
        try:
            return self._witness.add_checkpoint(body, now=now)
        finally:
            self._coming = ()

    def _open(self) -> None:
        """Read what is stored and check all of it.

        Raises:
            Corrupt: it is not what was cosigned.
            OSError: it cannot be read, or another process has it open.
        """
        if self._files is not None:
            return
        files = DirectoryFiles(self._home / MIRROR_FOLDER)
        try:
            self._load(files)
        except BaseException:
            files.close()
            self._forget()
            raise
        self._files = files

    def _load(self, files: LogFiles) -> None:
        stored = files.read()
        origin = self._charter.log.origin
        checkpoint = LogCheckpoint(origin=origin, size=0, root=EMPTY_ROOT)
        if stored.checkpoint is not None:
            try:
                checkpoint = open_checkpoint(
                    stored.checkpoint, origin=origin, public_key=self._charter.log.public_key
                )
            except NoteError as error:
                raise Corrupt(f"the copy of the consortium's log is damaged: {error}") from error
        lines = stored.lines[: checkpoint.size]
        tree = MerkleTree(leaf_hash(line) for line in lines)
        if len(tree) != checkpoint.size or tree.root() != checkpoint.root:
            raise Corrupt(
                f"the copy of the consortium's log in {MIRROR_FOLDER} is not what this school "
                "cosigned: keep it, and see docs/runbook.md"
            )
        knows = _Knowledge(self._school)
        try:
            for index, line in enumerate(lines):
                knows.take(index, decode_entry(line, index=index, origin=origin).entry)
        except Rejected as error:
            raise Corrupt(f"the copy of the consortium's log: {error.sentence}") from error
        signed_bytes = sum(len(line) + 1 for line in lines)
        if stored.entry_bytes > signed_bytes:
            files.truncate(signed_bytes)  # a crash before the cosignature: nobody was told
        self._tree, self._note, self._knows = tree, stored.checkpoint or b"", knows

    def _forget(self) -> None:
        self.close()
        self._tree, self._note, self._knows = MerkleTree(), b"", _Knowledge(self._school)

    def _entry(self, line: bytes, index: int) -> Entry:
        try:
            return decode_entry(line, index=index, origin=self._charter.log.origin).entry
        except Rejected as error:
            raise ProofError(error.sentence) from error


class _Knowledge:
    """What the entries say, as far as a decision needs it.

    Attributes:
        charter: digest of its newest version; None where the entries do not tell; `_NO_CHARTER`
            from where they go back to an older version or leave one out, for good.
        plans: digests of activated plans.
        revoked: of those that were taken back.
        opened: digest of an order -> index of the last entry that tells of it.
        closed: plan digest -> the model that its last closed round left.
        answered: rounds that this school answered, as the consortium tells it.
    """

    def __init__(self, school: str) -> None:
        self.charter: str | None = None
        self._charters: set[str] = set()
        self.plans: set[str] = set()
        self.revoked: set[str] = set()
        self.opened: dict[str, int] = {}
        self.closed: dict[str, str] = {}
        self.answered: set[tuple[str, str, int, str]] = set()
        self._school = school

    def take(self, index: int, entry: Entry) -> None:
        """Learn one entry."""
        if isinstance(entry, CharterAdopted | CharterChanged):
            before = entry.previous_digest if isinstance(entry, CharterChanged) else None
            goes_on = before == self.charter and entry.charter_digest not in self._charters
            self.charter = entry.charter_digest if goes_on else _NO_CHARTER
            self._charters.add(entry.charter_digest)
        elif isinstance(entry, PlanActivated):
            self.plans.add(entry.plan_digest)
        elif isinstance(entry, PlanRevoked):
            self.revoked.add(entry.plan_digest)
        elif isinstance(entry, RoundOpened):
            self.opened[entry.order_digest] = index
        elif isinstance(entry, RoundClosed):
            self.closed[entry.plan_digest] = entry.output_digest
        elif isinstance(entry, UpdateReceived) and entry.school == self._school:
            self.answered.add((entry.plan_digest, entry.run_id, entry.round, entry.kind))


def _which(event: PrivacyEvent) -> tuple[str, str, int, str]:
    return (event.plan_digest, event.run_id, event.round, event.kind)


def evidence_files(home: Path) -> list[Path]:
    """The proofs of two histories that lie in a school's home."""
    return sorted((home / EVIDENCE_FOLDER).glob("fork-*.json"))


def read_evidence(path: Path) -> ForkEvidence:
    """Read one.

    Raises:
        Rejected: it is damaged.
        OSError: it cannot be read.
    """
    return ForkEvidence.from_bytes(path.read_bytes())
