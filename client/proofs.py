"""Answers to "was this child in round 7?", as a file that anybody can check with the charter."""

from __future__ import annotations

from datetime import datetime

from fedtrace.client.journal import stage
from fedtrace.client.school import School
from fedtrace.client.sqlite import writing
from fedtrace.client.vault_tables import new_request
from fedtrace.governance.cohort import CohortProof, RoundProof, prove
from fedtrace.governance.log.entries import AccessGiven, RoundReserved


def cohort_proof(school: School, student: str, *, round_number: int, now: datetime) -> CohortProof:
    """Prove whether a student could be drawn for the rounds of this number, in every plan.

    That a proof was given is written into the log, without the student.

    Raises:
        UnknownStudentError: no record of this student is here.
        ValueError: the school has settled no round of this number.
        Corrupt: the log is damaged, or a round that it tells of is not kept here.
        OSError: the log cannot be read or the vault not written.
    """
    token = school.vault.find(student)
    view = school.log_view()
    rounds = []
    for logged in view.entries():
        entry = logged.entry
        if not isinstance(entry, RoundReserved) or entry.round != round_number:
            continue
        commitment = school.vault.cohorts.commitment(entry.cohort_root)
        rounds.append(
            RoundProof(
                salt=commitment.salt.hex(),
                leaves=len(commitment.leaves),
                root=commitment.tree.root().hex(),
                shown=prove(commitment, token),
                entry_index=logged.index,
                entry=view.lines[logged.index].decode("ascii"),
                path=view.path(logged.index),
            )
        )
    if not rounds:
        raise ValueError(f"this school has settled no round {round_number}.")
    with writing(school.vault.files.engine) as connection:
        stage(connection, AccessGiven(request=new_request(), kind="cohort"), [token])
    school.write_journal(now=now)
    return CohortProof(
        school=school.name,
        student=token,
        round=round_number,
        rounds=tuple(rounds),
        checkpoint=view.checkpoint.decode("utf-8"),
    )
