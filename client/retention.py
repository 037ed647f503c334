"""Records whose time is over: what is due, and how it is destroyed with a certificate.

What a person starts is finished whatever cuts it off: what will be destroyed is written down first,
by digests that name nobody, and the next call goes on from there and signs the certificate.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import select

from fedtrace.client.destruction import destroy
from fedtrace.client.erasure import Erasure, require_absent
from fedtrace.client.files import write_private
from fedtrace.client.school import School
from fedtrace.client.sqlite import reading, to_utc
from fedtrace.client.vault import Vault
from fedtrace.client.vault_tables import drop_deleted, new_request, students, wrapped_keys
from fedtrace.governance.canonical import digest
from fedtrace.governance.certificate import (
    Certificate,
    DestroyedCohort,
    DestroyedRecord,
    DestructionReason,
    sign_certificate,
)
from fedtrace.governance.durations import days
from fedtrace.governance.errors import Corrupt, Rejected
from fedtrace.governance.log.entries import CohortRemoved, RecordErased
from fedtrace.governance.refusals import Refused

logger = logging.getLogger(__name__)

CERTIFICATES = "certificates"
_BEGUN = "begun.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class OverTime:
    """Records of students whose time is over, by token.

    Attributes:
        due: to be destroyed now.
        held: how many more would be, were they not under a hold.
        cut_short: unreadable since an erasure that was cut off; what is left of them has to go.
        oldest: since when the oldest of all those is over its time.
        next_due: when the next record will be.
    """

    due: tuple[str, ...]
    held: int
    cut_short: tuple[str, ...]
    oldest: datetime | None
    next_due: datetime | None

    def __repr__(self) -> str:
        return f"OverTime({len(self.due)} due, {self.held} held)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """What a school should destroy now.

    Attributes:
        records: of students.
        cohorts: rounds whose students are kept longer than the plan keeps its model, by root.
        cohorts_held: how many more there would be, were there no hold.
        unreadable_plans: rounds of plans whose file does not open: nobody knows how long to keep
            them, so they stay.
        begun: whether a destruction was begun and cut off.
    """

    records: OverTime
    cohorts: tuple[str, ...]
    cohorts_held: int
    unreadable_plans: int
    begun: bool

    @property
    def nothing(self) -> bool:
        """Whether there is nothing to do."""
        return not (self.records.due or self.records.cut_short or self.cohorts or self.begun)


@dataclass(frozen=True, slots=True, kw_only=True)
class Destroyed:
    """What was destroyed, and the school's word for it.

    Attributes:
        certificate: what the school signed.
        path: its file.
        logged: the school's log says so already; otherwise the gate writes it down.
    """

    certificate: Certificate
    path: Path
    logged: bool


def due(school: School, *, now: datetime) -> Due:
    """What is over its time, without touching it.

    Raises:
        ValueError: ``now`` has no time zone.
    """
    over, unreadable = [], 0
    for cohort in school.vault.cohorts.kept():
        try:
            plan = school.plans.read_past(cohort.plan_digest).plan
        except (Corrupt, Rejected, Refused, OSError):
            unreadable += 1
            continue
        if cohort.frozen_at + timedelta(days=days(plan.retention.model)) <= now:
            over.append(cohort.root)
    held = bool(over) and bool(school.vault.holds.all())  # a hold may be about who was in a round
    return Due(
        records=_over_time(school.vault, now),
        cohorts=() if held else tuple(over),
        cohorts_held=len(over) if held else 0,
        unreadable_plans=unreadable,
        begun=_begun(school).exists(),
    )


def destroy_due(school: School, *, now: datetime) -> Destroyed | None:
    """Destroy what is due, or finish what was begun; None where there is nothing to do.

    Raises:
        TimeoutError: another process is reading; repeat it later, the records are unreadable.
        Corrupt: bytes of a record are still in the files, or the log is damaged.
        OSError: a file cannot be written.
    """
    begun = _begun(school)
    if not begun.exists():
        found = due(school, now=now)
        if found.nothing:
            return None
        _begin(school, found, now=now)
    planned = _without_held(school, Certificate.from_bytes(begun.read_bytes()))
    searched = _destroy_records(school, planned)
    gone = _remove_cohorts(school, planned)
    if gone:
        drop_deleted(school.vault.files)
        searched = require_absent(school.vault.files.directory, gone)
    logged = school.write_journal(now=now)
    if not (planned.records or planned.cohorts):
        begun.unlink()  # a hold was placed on everything before anything was destroyed
        return None
    certificate, path = _certified(school, planned, searched, now=now)
    begun.unlink()
    return Destroyed(certificate=certificate, path=path, logged=logged)


def finish_cut_off(school: School, *, now: datetime) -> int:
    """Finish destructions that were cut off, as the gate does when it starts.

    The records are unreadable already. What cannot be finished now is said and waits for the next
    start, or for a person.

    Returns:
        How many records' remains were destroyed.
    """
    try:
        done = destroy_due(school, now=now) if _begun(school).exists() else None
        left = _over_time(school.vault, now).cut_short
        entries = {
            token: RecordErased(request=new_request(), token_digest=digest(token.encode()))
            for token in left
        }
        if entries:
            destroy(school.vault.files, left, entries=entries)
            school.write_journal(now=now)
    except (TimeoutError, Corrupt, OSError) as error:
        logger.warning("an erasure that was cut off is not finished yet: %s", error)
        return 0
    finished = len(entries) + (len(done.certificate.records) if done else 0)
    if finished:
        logger.warning("%d erasures that were cut off are finished now", finished)
    return finished


def certify_erasure(
    school: School, entry: RecordErased, searched: Erasure, *, now: datetime
) -> Path:
    """Sign that one student's record was destroyed because somebody asked for it.

    Raises:
        OSError: it cannot be written.
    """
    one = DestroyedRecord(request=entry.request, token_digest=entry.token_digest)
    planned = _certificate(school, "request", (one,), (), now=now)
    return _certified(school, planned, searched, now=now)[1]


def _over_time(vault: Vault, now: datetime) -> OverTime:
    query = select(students.c.token, students.c.retain_until, wrapped_keys.c.wrapped_key)
    query = query.outerjoin(wrapped_keys, wrapped_keys.c.token == students.c.token)
    with reading(vault.files.engine) as connection:
        rows = connection.execute(query.order_by(students.c.token)).all()
        held = vault.holds.held(connection)
    over = [row for row in rows if row.wrapped_key and row.retain_until <= to_utc(now)]
    later = [row.retain_until for row in rows if row.retain_until > to_utc(now)]
    kept = {row.token for row in over if {row.token, None} & held}
    return OverTime(
        due=tuple(row.token for row in over if row.token not in kept),
        held=len(kept),
        cut_short=tuple(row.token for row in rows if row.wrapped_key is None),
        oldest=min((row.retain_until.replace(tzinfo=UTC) for row in over), default=None),
        next_due=min((moment.replace(tzinfo=UTC) for moment in later), default=None),
    )


def _begun(school: School) -> Path:
    return school.home / CERTIFICATES / _BEGUN


def _without_held(school: School, planned: Certificate) -> Certificate:
    """What was begun, without what a hold has been placed on since and is still there."""
    holds = school.vault.holds.all()
    if not holds:
        return planned
    everybody = any(hold.token is None for hold in holds)
    held = {
        digest(token.encode())
        for token in school.vault.tokens()
        if everybody or any(hold.token == token for hold in holds)
    }
    kept = {cohort.root for cohort in school.vault.cohorts.kept()}
    return planned.model_copy(
        update={
            "records": tuple(each for each in planned.records if each.token_digest not in held),
            "cohorts": tuple(each for each in planned.cohorts if each.cohort_root not in kept),
        }
    )


def _destroy_records(school: School, planned: Certificate) -> Erasure:
    tokens = {digest(token.encode()): token for token in school.vault.tokens()}
    entries = {
        tokens[each.token_digest]: RecordErased(
            request=each.request, token_digest=each.token_digest
        )
        for each in planned.records
        if each.token_digest in tokens
    }
    return destroy(school.vault.files, list(entries), entries=entries)


def _remove_cohorts(school: School, planned: Certificate) -> tuple[bytes, ...]:
    kept = {cohort.root for cohort in school.vault.cohorts.kept()}
    return school.vault.cohorts.remove(
        {
            each.cohort_root: CohortRemoved(request=each.request, cohort_root=each.cohort_root)
            for each in planned.cohorts
            if each.cohort_root in kept
        }
    )


def _begin(school: School, found: Due, *, now: datetime) -> None:
    records = tuple(
        DestroyedRecord(request=new_request(), token_digest=digest(token.encode()))
        for token in (*found.records.due, *found.records.cut_short)
    )
    cohorts = tuple(
        DestroyedCohort(request=new_request(), cohort_root=root) for root in found.cohorts
    )
    path = _begun(school)
    path.parent.mkdir(mode=0o700, exist_ok=True)
    planned = _certificate(school, "retention", records, cohorts, now=now)
    write_private(path, planned.to_bytes(), replace=True)


def _certificate(
    school: School,
    reason: DestructionReason,
    records: tuple[DestroyedRecord, ...],
    cohorts: tuple[DestroyedCohort, ...],
    *,
    now: datetime,
) -> Certificate:
    return Certificate(
        school=school.name,
        charter_digest=school.rules.charter.digest(),
        reason=reason,
        destroyed_at=now,
        records=records,
        cohorts=cohorts,
        files=0,
        searched_bytes=0,
    )


def _certified(
    school: School, planned: Certificate, searched: Erasure, *, now: datetime
) -> tuple[Certificate, Path]:
    done = planned.model_copy(
        update={
            "destroyed_at": now,
            "files": searched.files,
            "searched_bytes": searched.searched_bytes,
        }
    )
    folder = school.home / CERTIFICATES
    folder.mkdir(mode=0o700, exist_ok=True)
    names = [each.request for each in done.records] + [each.request for each in done.cohorts]
    path = folder / f"{now:%Y-%m-%d}-{names[0][:8]}.dsse.json"
    write_private(path, sign_certificate(done, school.signer), replace=True)
    return done, path
