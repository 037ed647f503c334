"""What people at the school do about single students: consent and holds.

Students are named by the school's own number. What is done counts at once, also while the gate
runs; the school's log gets a random request token, never a student.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from fedtrace.client.consent import ConsentFile, Notice, make_records, read_consent
from fedtrace.client.consents import History
from fedtrace.client.erasure import Erasure
from fedtrace.client.holds import Hold
from fedtrace.client.retention import certify_erasure
from fedtrace.client.school import School
from fedtrace.client.vault_tables import new_request
from fedtrace.governance.canonical import digest
from fedtrace.governance.consent import PURPOSES, Authority, ConsentState, Item, standing
from fedtrace.governance.log.entries import HoldMatter, RecordErased
from fedtrace.governance.plan import Purpose


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """When a change counts.

    Attributes:
        logged: the school's log says so already; otherwise the gate writes it down.
        open_rounds: rounds that were frozen before and have not been answered yet.
    """

    logged: bool
    open_rounds: tuple[int, ...]

    @property
    def sentence(self) -> str:
        """From when on, for the person who typed it."""
        said = "it counts from the next round on"
        if self.open_rounds:
            rounds = ", ".join(map(str, self.open_rounds))
            said = (
                f"round {rounds} is being answered and was settled before, so it counts from the "
                "round after it on"
            )
        return said if self.logged else f"{said}; the gate writes it into the log"


def import_consent(
    school: School, path: Path, *, notice: Notice | None, now: datetime
) -> tuple[ConsentFile, Effect]:
    """Take in a file of consents.

    Raises:
        ValueError: a line that is not understood or cannot follow on what stands.
        OSError: the file cannot be read, or the vault not written; nothing was taken in.
    """
    request = new_request()
    read = read_consent(path, school.vault.token_of, request=request, notice=notice, now=now)
    if read.changes:
        school.vault.consents.record(read.changes, request=request, now=now)
    return read, _settle(school, now)


def record_consent(
    school: School,
    student: str,
    *,
    state: ConsentState,
    authority: Authority,
    now: datetime,
    purposes: tuple[Purpose, ...] = PURPOSES,
    items: tuple[Item, ...] = tuple(Item),
    notice: Notice | None = None,
    valid_until: datetime | None = None,
    authority_until: datetime | None = None,
    evidence: str | None = None,
) -> Effect:
    """Write down what somebody said about one student.

    Raises:
        UnknownStudentError: no record of this student is here.
        ValueError: it cannot follow on what stands, or a "yes" lacks its notice or its end.
        OSError: it cannot be written.
    """
    token = school.vault.find(student)
    request = new_request()
    records = make_records(
        request=request,
        purposes=purposes,
        items=items,
        state=state,
        authority=authority,
        notice=notice,
        now=now,
        valid_until=valid_until,
        authority_until=authority_until,
        evidence=evidence,
    )
    school.vault.consents.record({token: records}, request=request, now=now)
    return _settle(school, now)


def consent_history(school: School, student: str) -> History:
    """What is on file about one student, oldest first.

    Raises:
        UnknownStudentError: no record of this student is here.
        Corrupt: it does not open.
    """
    return school.vault.consents.history(school.vault.find(student))


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsentCount:
    """How many students stand alike about one purpose and item."""

    purpose: Purpose
    item: Item
    state: ConsentState
    students: int

    def as_json(self) -> dict[str, object]:
        """The same for programs."""
        return asdict(self)

    @property
    def sentence(self) -> str:
        """The same in words."""
        return f"{self.item} for {self.purpose}: {self.students:,} {self.state}"


def consent_counts(school: School, *, now: datetime) -> tuple[ConsentCount, ...]:
    """How many students stand where; a consent whose time is over counts as expired.

    Raises:
        Corrupt: what is on file does not open.
    """
    counts: Counter[tuple[Purpose, Item, ConsentState]] = Counter()
    for history in school.vault.consents.all().values():
        for (purpose, item), record in standing(history).items():
            over = record.state is ConsentState.GIVEN and not record.holds(now)
            counts[purpose, item, ConsentState.EXPIRED if over else record.state] += 1
    return tuple(
        ConsentCount(purpose=purpose, item=item, state=state, students=number)
        for (purpose, item, state), number in sorted(counts.items())
    )


def place_hold(
    school: School, student: str | None, *, matter: HoldMatter, now: datetime
) -> tuple[Hold, Effect]:
    """Forbid to use or erase the records of a student, or of everybody where none is named.

    Raises:
        UnknownStudentError: no record of this student is here.
        OSError: it cannot be written.
    """
    token = None if student is None else school.vault.find(student)
    hold = school.vault.holds.place(token, matter=matter, now=now)
    return hold, _settle(school, now)


def lift_hold(school: School, request: str, *, now: datetime) -> Effect:
    """End a hold by its name.

    Raises:
        ValueError: there is no such hold.
        OSError: it cannot be written.
    """
    school.vault.holds.lift(request)
    return _settle(school, now)


def erase_student(
    school: School, student: str, *, now: datetime
) -> tuple[Erasure, Path | None, Effect]:
    """Destroy one student's record, search the files for it, and keep it from coming back.

    An erasure that was cut off is finished by calling again.

    Returns:
        What was searched, the certificate (None where the record was destroyed before), and from
        when on it counts.

    Raises:
        Refused: R18, the records are under a hold.
        UnknownStudentError: no record of this student is here.
        TimeoutError: another process is reading; the record is unreadable already: repeat it.
        Corrupt: bytes of the record are still in the files.
        OSError: it cannot be written.
    """
    if school.vault.token_of(student) is None and school.vault.is_erased(student):
        return school.vault.finish_erasure(student), None, _settle(school, now)
    token = school.vault.find(student)
    entry = RecordErased(request=new_request(), token_digest=digest(token.encode()))
    evidence = school.vault.erase(token, external_id=student, entry=entry)
    effect = _settle(school, now)
    return evidence, certify_erasure(school, entry, evidence, now=now), effect


def _settle(school: School, now: datetime) -> Effect:
    rounds = tuple(sorted({entry.event.round for entry in school.store.open_entries()}))
    return Effect(logged=school.write_journal(now=now), open_rounds=rounds)
