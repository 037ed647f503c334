"""Answers to "was this child in round 7?", as a file that anybody can check with the charter."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from fedtrace.client.journal import stage
from fedtrace.client.school import School
from fedtrace.client.signed_log import SignedLog
from fedtrace.client.sqlite import writing
from fedtrace.client.vault_tables import new_request
from fedtrace.governance.cohort import CohortProof, RoundProof, prove
from fedtrace.governance.log.entries import AccessGiven, AccessKind, RoundReserved


def cohort_proof(school: School, student: str, *, round_number: int, now: datetime) -> CohortProof:
    """Prove whether a student could be drawn for the rounds of this number, in every plan.

    That a proof was given is written into the log, without the student.

    Raises:
        UnknownStudentError: no record of this student is here.
        ValueError: the school has settled no round of this number, or its students were removed
            when their time was over.
        Corrupt: the log is damaged, or a round that it tells of is not kept here.
        OSError: the log cannot be read or the vault not written.
    """
    token = school.vault.find(student)
    view = school.log_view()
    proof = prove_rounds(school, token, view, settled_rounds(view).get(round_number, ()))
    if not proof.rounds:
        raise ValueError(f"this school has settled no round {round_number}.")
    log_access(school, token, "cohort", now=now)
    return proof


def settled_rounds(view: SignedLog) -> dict[int, tuple[tuple[int, RoundReserved], ...]]:
    """The entries that settle rounds, with their places in the log, by the round's number."""
    found: dict[int, tuple[tuple[int, RoundReserved], ...]] = {}
    for logged in view.entries():
        if isinstance(logged.entry, RoundReserved):
            number = logged.entry.round
            found[number] = (*found.get(number, ()), (logged.index, logged.entry))
    return found


def prove_rounds(
    school: School,
    token: str,
    view: SignedLog,
    settled: Sequence[tuple[int, RoundReserved]],
) -> CohortProof:
    """Prove whether a student could be drawn for some rounds of one number.

    Raises:
        ValueError: who was in one of them was removed when its time was over.
        Corrupt: a round that the log tells of is not kept here.
    """
    rounds = []
    for index, entry in settled:
        commitment = school.vault.cohorts.commitment(entry.cohort_root)
        rounds.append(
            RoundProof(
                salt=commitment.salt.hex(),
                leaves=len(commitment.leaves),
                root=commitment.tree.root().hex(),
                shown=prove(commitment, token),
                entry_index=index,
                entry=view.lines[index].decode("ascii"),
                path=view.path(index),
            )
        )
    return CohortProof(
        school=school.name,
        student=token,
        round=settled[0][1].round if settled else 1,
        rounds=tuple(rounds),
        checkpoint=view.checkpoint.decode("utf-8"),
    )


def log_access(school: School, token: str, kind: AccessKind, *, now: datetime) -> None:
    """Write down that somebody was given something about a student, without the student.

    Raises:
        Corrupt, OSError: it cannot be written.
    """
    with writing(school.vault.files.engine) as connection:
        stage(connection, AccessGiven(request=new_request(), kind=kind), [token])
    school.write_journal(now=now)
