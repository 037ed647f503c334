"""A school at work: its records, plans, ledger and log in one place, for whoever acts for it.

Where all of it lies is ``fedtrace.client.home``.
"""

from __future__ import annotations

import errno
import logging
import secrets
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field

from fedtrace.client.bundle import fab_digest
from fedtrace.client.cohort import Cohort, freeze_cohort
from fedtrace.client.ingest.catalogue import Catalogue
from fedtrace.client.ingest.mapping import Mapping
from fedtrace.client.ingest.reader import read_export
from fedtrace.client.ingest.report import ImportReport
from fedtrace.client.ingest.source import Layout
from fedtrace.client.memory import PaidRounds
from fedtrace.client.mirror import ConsortiumMirror
from fedtrace.client.plans import PlanFiles
from fedtrace.client.signed_log import SignedLog
from fedtrace.client.store import SchoolStore
from fedtrace.client.vault import Fold, Vault
from fedtrace.client.vault_tables import new_request
from fedtrace.governance.cohort import SECRET_BYTES
from fedtrace.governance.consent import Terms
from fedtrace.governance.errors import Corrupt
from fedtrace.governance.facts import Rules, SchoolState
from fedtrace.governance.ledger import LedgerEntry, spent, student_year
from fedtrace.governance.log.entries import (
    ImportCompleted,
    KillSwitchChanged,
    PlanAccepted,
    SharesRevealed,
    decode_entry,
    size_bucket,
)
from fedtrace.governance.log.heartbeat import beat
from fedtrace.governance.log.log import Log
from fedtrace.governance.orders import RoundOrder, SignedOrder
from fedtrace.governance.plan import Plan
from fedtrace.governance.plan_signing import SignedPlan
from fedtrace.governance.refusals import RefusalCode, Refused
from fedtrace.governance.signing import Signer
from fedtrace.governance.witnessing import NOTHING_SEEN, LogView, school_origin

logger = logging.getLogger(__name__)

_CONSENT = "consent.csv"
_SCHOOLS_PER_ENTRY = 100  # names of 64 characters take 7 kB; an entry has 8


class SchoolSettings(BaseModel):
    """``school.toml``.

    Attributes:
        retention_days: how long after its import a student's record may be kept.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    retention_days: Annotated[int, Field(ge=1, le=3660)] = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class School:
    """One school's home, open.

    Attributes:
        home: the folder.
        settings: how long records are kept.
        rules: charter and policy.
        signer: the key that speaks for the school.
        vault: students' records.
        store: ledger, rounds, plans, kill switch.
        plans: the files of accepted plans.
        mirror: the copy of the consortium's log, and the school as its witness.
        opened_log: what happened here; None where it cannot be opened, and then nothing is trained.
        log_problem: why it cannot be opened.
        log_in_use: that is because another process has it open, as the gate does while it runs.
        paid: which rounds the log says were paid for.
    """

    home: Path
    settings: SchoolSettings
    rules: Rules
    signer: Signer
    vault: Vault
    store: SchoolStore
    plans: PlanFiles
    mirror: ConsortiumMirror
    opened_log: Log | None
    log_problem: str | None
    log_in_use: bool = False
    paid: PaidRounds = field(default_factory=PaidRounds)

    def __repr__(self) -> str:
        return f"School({self.name})"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let every file go."""
        self.vault.close()
        self.store.close()
        self.mirror.close()
        if self.opened_log is not None:
            self.opened_log.close()

    @property
    def name(self) -> str:
        """The school's name in charter and plans."""
        return self.rules.policy.school

    @property
    def log(self) -> Log:
        """The log, for whoever is about to do something that must be in it.

        Raises:
            BlockingIOError: another process has it open.
            Corrupt: it could not be opened, or a write has failed.
        """
        if self.log_in_use:
            raise BlockingIOError(
                errno.EAGAIN,
                "another process has the school's log open, as the gate does while it runs: end "
                "that process, run the command again, then start it again",
                str(self.home),
            )
        if self.opened_log is None:
            raise Corrupt(f"the school's log is not available: {self.log_problem}")
        if not self.opened_log.healthy:
            raise Corrupt("a write to the school's log failed: nothing goes on without the log")
        return self.opened_log

    def log_beat(self, now: datetime) -> bool:
        """Give the log its sign of life if it needs one; whether it did.

        Raises:
            Corrupt: the log is not available.
            OSError: it cannot be written.
        """
        return beat(self.log, now=now)

    def log_view(self) -> SignedLog:
        """The log for reading, also beside the gate.

        Raises:
            Corrupt: it is not what was signed.
            OSError: it cannot be read.
        """
        charter = self.rules.charter
        (member,) = (each for each in charter.members if each.name == self.name)
        return SignedLog.read(
            self.home / "log",
            origin=school_origin(charter, self.name),
            public_key=member.log_public_key,
        )

    # --- plans ----------------------------------------------------------------------------------

    def accept_plan(self, envelope: bytes, catalogue: bytes, *, now: datetime) -> SignedPlan:
        """Take part in a plan that enough members signed, from now on.

        Raises:
            Refused: R01, too few members signed it; R03, it has expired.
            Rejected: it is not a plan that this release understands.
            ValueError: the catalogue is not the plan's, or this school is not a member of it.
            Corrupt: the log is not available.
        """
        log = self.log
        signed = self.plans.keep(envelope, catalogue, school=self.name, now=now)
        self.store.accept_plan(signed.digest, now=now)
        log.append(PlanAccepted(plan_digest=signed.digest, signers=signed.signers), now=now)
        return signed

    def find_plan(self, plan_digest: str) -> SignedPlan | None:
        """A plan that this school accepted, verified again; None where it did not.

        Raises:
            Refused, Rejected, Corrupt: as `fedtrace.client.plans.PlanFiles.read`.
        """
        accepted = {plan.digest for plan in self.store.plans()}
        return self.plans.read(plan_digest) if plan_digest in accepted else None

    # --- student records --------------------------------------------------------------------------

    def import_csv(
        self,
        path: Path,
        mapping: Mapping | Layout,
        catalogue: Catalogue,
        *,
        now: datetime,
        dry_run: bool = False,
    ) -> ImportReport:
        """Read an export into the vault and say so in the log; a dry run only reports.

        Raises:
            ValueError: the file as a whole cannot be read; nothing was stored.
            OSError: the file cannot be read.
            Corrupt: the log is not available; nothing was stored.
        """
        imported = read_export(path, mapping, catalogue)
        report = imported.report
        if dry_run:
            return report.model_copy(update={"dry_run": True})
        log = self.log
        request = new_request()
        entry = ImportCompleted(
            request=request,
            students=size_bucket(report.students),
            rows_kept=size_bucket(report.rows_kept),
            rows_rejected=size_bucket(sum(report.rows_rejected.values())),
            columns_kept=len(report.columns_kept),
            columns_dropped=len(report.columns_dropped),
        )
        tokens = self.vault.add(
            imported.records(),
            retain_until=now + timedelta(days=self.settings.retention_days),
            catalogue_digest=catalogue.digest(),
            entry=entry,
        )
        self.vault.journal.write(log, now=now)
        return report.model_copy(update={"students_erased": report.students - len(tokens)})

    def freeze_cohort(self, plan: Plan, *, fold: Fold, now: datetime) -> Cohort:
        """Freeze who may be in a round of a plan.

        Raises:
            Refused: R18, a hold on all records, or nobody knows who agreed.
        """
        with self._consent_known():
            secret = secrets.token_bytes(SECRET_BYTES)
            return freeze_cohort(self.vault, plan=plan, fold=fold, secret=secret, now=now)

    @contextmanager
    def _consent_known(self) -> Iterator[None]:
        """Use records only where it is known who agreed.

        Raises:
            Refused: R18, a hold on all records; consents that do not open; or a file of consents
                that nobody has imported, in which there may be a "no".
        """
        if any(hold.token is None for hold in self.vault.holds.all()):
            raise Refused(RefusalCode.R18, "hold.school")
        if (self.home / _CONSENT).exists():
            logger.error("no training: import %s and move it away", _CONSENT)
            raise Refused(RefusalCode.R18, "consent.records")
        try:
            yield
        except Corrupt as error:
            logger.exception("no training: nobody knows who agreed")
            raise Refused(RefusalCode.R18, "consent.records") from error

    def write_journal(self, *, now: datetime) -> bool:
        """Put what was done about students into the log, where this process can write there.

        Returns:
            Whether the log says everything now; otherwise it waits for the gate.

        Raises:
            Corrupt, OSError: the log is damaged or cannot be written; what was done holds.
        """
        if self.log_in_use:
            return not len(self.vault.journal)
        if len(self.vault.journal):
            self.vault.journal.write(self.log, now=now)
        return True

    # --- what the gate asks ---------------------------------------------------------------------

    def state(
        self,
        signed: SignedPlan | None,
        *,
        schema_fingerprint: str,
        now: datetime,
        log: LogView = NOTHING_SEEN,
    ) -> SchoolState:
        """What this school's disk says now, for a decision about a plan.

        Args:
            signed: the plan that an order names; None where the school has not accepted it.
            schema_fingerprint: of the model that the installed code builds for it.
            now: with a time zone.
            log: what the copy of the consortium's log says about the order.

        Raises:
            Refused: R18, a hold on all records, or nobody knows who agreed.
            Corrupt: the ledger is damaged, or the file of a plan that this year was spent under.
        """
        ledger = self.store.ledger()
        return SchoolState(
            installed_fab_digest=fab_digest(),
            schema_fingerprint=schema_fingerprint,
            kill_switch=self.store.kill_switch,
            log_healthy=self.opened_log is not None and self.opened_log.healthy,
            free_bytes=shutil.disk_usage(self.home).free,
            eligible_students=self.eligible_students(signed.plan, now=now) if signed else 0,
            ledger=ledger,
            last_round=self.store.last_round(signed.digest) if signed else None,
            log=log,
            promises=self._promises(signed, ledger, now) if signed else frozenset(),
            newest_record_at=self._newest_record_at(),
        )

    def eligible_students(self, plan: Plan, *, now: datetime) -> int:
        """How many students may be in a round of a plan now: consent, holds and retention.

        Args:
            plan: with the terms and the catalogue.
            now: with a time zone.

        Raises:
            Refused: R18, a hold on all records, or nobody knows who agreed.
        """
        with self._consent_known():
            cohort = self.vault.cohort(
                now=now,
                terms=Terms.of(plan),
                catalogue_digest=plan.data.skill_catalogue_digest,
            )
        return len(cohort)

    def _promises(
        self, signed: SignedPlan, ledger: Sequence[LedgerEntry], now: datetime
    ) -> frozenset[tuple[float, float]]:
        """What other plans under which this student-year was spent promised for the whole of it.

        Raises:
            Refused, Rejected, Corrupt: the file of such a plan is not what was accepted.
        """
        year = student_year(now, self.rules.policy.student_year_first_month)
        used = {event.plan_digest for event in spent(ledger, year)}
        accepted = {plan.digest for plan in self.store.plans()}
        others = [
            self.plans.read_past(plan_digest).plan.privacy
            for plan_digest in sorted(used & accepted - {signed.digest})
        ]
        return frozenset((each.epsilon_student_year, each.delta) for each in others)

    def view(self, signed: SignedOrder, note: bytes) -> LogView:
        """What the logs here say about an order; total.

        A copy that is damaged or cannot be read has seen nothing, and then nothing is answered.

        Args:
            signed: the order.
            note: the cosigned checkpoint that came with it.
        """
        try:
            ledger = self.store.ledger()
            view = self.mirror.view(signed, note, ledger=ledger)
            if self.opened_log is not None and self.paid.forgotten(self.opened_log, ledger):
                logger.error("no training: the school's log tells of rounds that its ledger lacks")
                view = replace(view, rolled_back=True)
            return view
        except (Corrupt, OSError) as error:
            logger.error("no training: %s", error)
            return NOTHING_SEEN

    def _newest_record_at(self) -> datetime | None:
        moments = [self.store.newest_entry_at()]
        log = self.opened_log
        if log is not None and len(log):
            last = len(log) - 1
            moments.append(decode_entry(log.line(last), index=last, origin=log.origin).time)
        return max((moment for moment in moments if moment is not None), default=None)

    @property
    def run_keys(self) -> Path:
        """The folder for keys of runs under secure sum."""
        return self.home / "keys" / "runs"

    def log_reveal(self, order: RoundOrder, survivors: Sequence[str], *, now: datetime) -> None:
        """Write down whose sum this school helps to unmask, before it does.

        An entry has room for so many names; a longer list is told in several entries.

        Raises:
            Corrupt, OSError: it cannot be written; then nothing is revealed.
        """
        entries = [
            SharesRevealed(
                plan_digest=order.plan_digest,
                run_id=order.run_id,
                round=order.round,
                kind=order.kind,
                schools=tuple(survivors[first : first + _SCHOOLS_PER_ENTRY]),
            )
            for first in range(0, len(survivors), _SCHOOLS_PER_ENTRY)
        ]
        self.log.append_many(entries, now=now)

    def set_kill_switch(self, on: bool, *, now: datetime) -> bool:
        """Stop all training at this school, or allow it again, from the next order on.

        Stopping works even where the log is damaged; starting again does not. While the gate runs
        it alone can write to the log, so it writes the change down before its next answer.

        Returns:
            Whether the log says so already.

        Raises:
            Corrupt: the log is damaged. A stop is in force all the same.
        """
        if on or self.log_in_use:
            self.store.set_kill_switch(on)
        if self.log_in_use:
            return False
        self.log.append(KillSwitchChanged(on=on), now=now)
        self.store.set_kill_switch(on, logged=True)
        return True

    def catch_up(self, *, now: datetime) -> None:
        """Before an order is answered: write down what other processes did meanwhile.

        Raises:
            Corrupt, OSError: it cannot be written; then nothing may be trained either.
        """
        if self.opened_log is None:
            return
        if not self.store.kill_switch_is_logged:
            on = self.store.kill_switch
            self.log.append(KillSwitchChanged(on=on), now=now)
            self.store.set_kill_switch(on, logged=True)
        self.write_journal(now=now)
