"""Gathers what a school holds about one student; nothing is changed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from fedtrace.client.holds import Hold
from fedtrace.client.proofs import prove_rounds, settled_rounds
from fedtrace.client.school import School
from fedtrace.client.vault import Fold
from fedtrace.deploy.budget import school_budget
from fedtrace.governance.cohort import CohortProof
from fedtrace.governance.consent import ConsentRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenAnswer:
    """One answer in the student's record, in the order in which they were given."""

    order: int
    skill: str
    correct: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class InRound:
    """One round that the school took part in.

    Attributes:
        plan_digest, run_id, round, kind, time: which, and when it was settled.
        could_be_drawn: whether the student was among those who could be; None where that was
            destroyed when its time was over.
    """

    plan_digest: str
    run_id: str
    round: int
    kind: str
    time: str
    could_be_drawn: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Everything:
    """All of it.

    Attributes:
        school: who holds it.
        made_at: when this was put together.
        student: the student's random name in everything that the school gives out.
        fold: whether the record is trained on or kept back for measuring.
        retain_until: when the record will be destroyed.
        answers: the record.
        consents: everything that was said, oldest first.
        holds: what keeps the record from being used and destroyed.
        rounds: of every plan, in the order of the log.
        proofs: one a round's number; each can be checked with `fedtrace audit cohort-proof`.
        privacy: what was spent on any one student of the school, in sentences.
    """

    school: str
    made_at: datetime
    student: str
    fold: Fold
    retain_until: datetime
    answers: tuple[GivenAnswer, ...]
    consents: tuple[ConsentRecord, ...]
    holds: tuple[Hold, ...]
    rounds: tuple[InRound, ...]
    proofs: tuple[CohortProof, ...]
    privacy: tuple[str, ...]

    def __repr__(self) -> str:
        return f"Everything({self.school})"


def everything_about(school: School, student: str, *, now: datetime) -> Everything:
    """What the school holds about a student whom it names by its own number.

    Raises:
        UnknownStudentError: no record of this student is here.
        Corrupt: a record, the log or the ledger is damaged.
        OSError: a file cannot be read.
    """
    token = school.vault.find(student)
    filed = school.vault.filed(token)
    rounds, proofs = _rounds(school, token)
    return Everything(
        school=school.name,
        made_at=now,
        student=token,
        fold=filed.fold,
        retain_until=filed.retain_until,
        answers=_answers(school, token, filed.catalogue_digest),
        consents=school.vault.consents.history(token),
        holds=tuple(hold for hold in school.vault.holds.all() if hold.token in (token, None)),
        rounds=rounds,
        proofs=proofs,
        privacy=tuple(school_budget(school, now=now).lines()),
    )


def _answers(school: School, token: str, catalogue_digest: str) -> tuple[GivenAnswer, ...]:
    ((skills, correct),) = school.vault.read([token])
    names = _skill_names(school, catalogue_digest)
    return tuple(
        GivenAnswer(
            order=order,
            skill=names[skill] if skill < len(names) else f"skill {skill}",
            correct=bool(right),
        )
        for order, (skill, right) in enumerate(
            zip(skills.tolist(), correct.tolist(), strict=True), start=1
        )
    )


def _skill_names(school: School, catalogue_digest: str) -> tuple[str, ...]:
    """The names of the skills, where a plan that was accepted brought their catalogue."""
    for accepted in school.store.plans():
        try:
            catalogue = school.plans.catalogue(accepted.digest)
        except (OSError, ValueError):
            continue
        if catalogue.digest() == catalogue_digest:
            return tuple(catalogue.skills)
    return ()


def _rounds(school: School, token: str) -> tuple[tuple[InRound, ...], tuple[CohortProof, ...]]:
    view = school.log_view()
    times = {logged.index: logged.time for logged in view.entries()}
    rounds: dict[int, InRound] = {}
    proofs = []
    for settled in settled_rounds(view).values():
        kept = [(at, e) for at, e in settled if school.vault.cohorts.is_kept(e.cohort_root)]
        shown: dict[int, bool] = {}
        if kept:
            proof = prove_rounds(school, token, view, kept)
            # One leaf is the student's own; two are those between which it would lie.
            shown = {each.entry_index: len(each.shown) == 1 for each in proof.rounds}
            proofs.append(proof)
        for at, entry in settled:
            rounds[at] = InRound(
                plan_digest=entry.plan_digest,
                run_id=entry.run_id,
                round=entry.round,
                kind=entry.kind,
                time=times[at].isoformat(),
                could_be_drawn=shown.get(at),
            )
    return tuple(rounds[at] for at in sorted(rounds)), tuple(proofs)
