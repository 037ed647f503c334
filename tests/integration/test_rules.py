"""What a school's own rules do to a running job: stop, budget, consent, dates, a damaged vault."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import pytest
from flwr.app import Message
from support.consents import consent_record
from support.consistency import check_consortium, logged
from support.federation import Delivery, Federation, LaterClock, Wire, parts_of

from fedtrace.client.home import change_policy, open_school
from fedtrace.client.store import SchoolStore
from fedtrace.client.vault_tables import new_request
from fedtrace.deploy.simulation.in_process import SystemClock
from fedtrace.governance.consent import ConsentState, Terms
from fedtrace.governance.errors import PolicyError
from fedtrace.governance.log.entries import ConsentChanged, HoldPlaced, OrderRefused, RoundReserved
from fedtrace.governance.manifest import REFUSAL_TYPE, RefusalNotice
from fedtrace.governance.signing import unverified_payload

SCHOOL = "school-2"


def test_the_kill_switch_stops_a_school_in_the_middle_of_a_job(federation: Federation) -> None:
    def stopped(delivery: Delivery) -> Iterable[Message]:
        store = SchoolStore(federation.home(SCHOOL) / "school.db")
        store.set_kill_switch(True)
        store.close()
        return [delivery.handed_over()]

    outcome = federation.run(wire=Wire(federation, faults={(SCHOOL, 2): stopped}))
    assert [each.refused for each in outcome.rounds] == [{}, {SCHOOL: "R17"}, {SCHOOL: "R17"}]
    assert outcome.reason == "completed"
    assert outcome.evaluation is not None
    assert SCHOOL not in outcome.evaluation.per_school
    check_consortium(federation.workspace)


def test_a_smaller_budget_of_one_school_refuses_before_anything_is_spent(
    federation: Federation,
) -> None:
    home = federation.home(SCHOOL)
    with open_school(home) as school:
        policy = school.rules.policy
    bounds = policy.privacy.model_copy(update={"max_epsilon_job": 1.0})
    smaller = policy.model_copy(update={"privacy": bounds})
    change_policy(home, smaller, now=datetime.now(UTC))
    outcome = federation.run()
    assert [each.refused for each in outcome.rounds] == [{SCHOOL: "R11"}] * 3
    assert outcome.reason == "completed"
    assert not any(isinstance(e, RoundReserved) for e in logged(federation.home(SCHOOL)))
    check_consortium(federation.workspace)


@pytest.mark.system
def test_the_student_year_cannot_be_moved_away_from_what_was_spent(
    federation: Federation,
) -> None:
    home = federation.home(SCHOOL)
    with open_school(home) as school:
        policy = school.rules.policy
    now = datetime.now(UTC)
    moved = policy.model_copy(update={"student_year_first_month": now.month % 12 + 1})
    change_policy(home, moved, now=now)  # nothing is spent yet
    change_policy(home, policy, now=now)
    federation.run()
    before = (home / "policy.dsse.json").read_bytes()
    with pytest.raises(PolicyError, match="would not count any more"):
        change_policy(home, moved, now=now)
    assert (home / "policy.dsse.json").read_bytes() == before


def test_withdrawn_consent_shrinks_the_cohort_and_then_ends_it(
    federation: Federation,
) -> None:
    students = students_of(federation, SCHOOL)

    def withdrawing(count: int) -> None:
        no = consent_record(state=ConsentState.WITHDRAWN, purpose=federation.plans["usual"].purpose)
        with open_school(federation.home(SCHOOL)) as beside:  # as a person does while the gate runs
            changes = {token: [no] for token in students[:count]}
            beside.vault.consents.record(changes, request=new_request(), now=SystemClock().now())

    def before_round_2(delivery: Delivery) -> Iterable[Message]:
        withdrawing(len(students) - federation.plans["usual"].data.min_students)
        return [delivery.handed_over()]

    def before_round_3(delivery: Delivery) -> Iterable[Message]:
        withdrawing(len(students) - federation.plans["usual"].data.min_students + 1)
        return [delivery.handed_over()]

    def before_the_evaluation(delivery: Delivery) -> Iterable[Message]:
        with open_school(federation.home(SCHOOL)) as beside:
            beside.vault.holds.place(None, matter="litigation", now=SystemClock().now())
        return [delivery.handed_over()]

    faults = {
        (SCHOOL, 2): before_round_2,
        (SCHOOL, 3): before_round_3,
        (SCHOOL, 4): before_the_evaluation,
    }
    outcome = federation.run(wire=Wire(federation, faults=faults))
    assert [each.refused for each in outcome.rounds] == [{}, {}, {SCHOOL: "R13"}]
    # What is under a hold is not used.
    assert outcome.evaluation is not None
    assert outcome.evaluation.round.refused == {SCHOOL: "R18"}
    own = logged(federation.home(SCHOOL))
    cohorts = [entry.cohort_root for entry in own if isinstance(entry, RoundReserved)]
    assert len(set(cohorts)) == len(cohorts) == 2
    refused = [entry.clause for entry in own if isinstance(entry, OrderRefused)]
    assert refused == ["plan.data.min_students", "hold.school"]
    changed = [entry for entry in own if isinstance(entry, ConsentChanged | HoldPlaced)]
    assert len(changed) == 3
    check_consortium(federation.workspace)


def students_of(federation: Federation, school: str) -> tuple[str, ...]:
    """The tokens of a school's students who are in the usual plan's data."""
    with open_school(federation.home(school)) as opened:
        plan = federation.plans["usual"]
        return opened.vault.cohort(
            now=SystemClock().now(),
            terms=Terms.of(plan),
            catalogue_digest=plan.data.skill_catalogue_digest,
        )


@pytest.mark.system
def test_an_expired_plan_is_refused_by_all_and_spends_nothing(federation: Federation) -> None:
    outcome = federation.run(clock=LaterClock(SystemClock(), ahead=timedelta(days=31)))
    assert outcome.reason == "quorum_not_reached"
    assert outcome.rounds[0].refused == dict.fromkeys(federation.schools, "R03")
    assert outcome.model_path is None
    for school in federation.schools:
        assert not any(isinstance(e, RoundReserved) for e in logged(federation.home(school)))
    # A month lies between the homes and the job.
    check_consortium(federation.workspace, warnings=["log.silence"] * 4)


def test_no_text_of_an_error_leaves_the_school(
    federation: Federation, caplog: pytest.LogCaptureFixture
) -> None:
    # Flower's database migrations, which other tests run, switch off every logger they find.
    logging.getLogger("fedtrace.client.contribution").disabled = False
    damage_vault(federation, SCHOOL)
    refusals: list[bytes] = []

    def listen(delivery: Delivery) -> Iterable[Message]:
        answer = delivery.handed_over()
        parts = parts_of(answer)
        assert set(parts) == {"refusal"}
        refusals.append(parts["refusal"])
        return [answer]

    wire = Wire(federation, faults={(SCHOOL, number): listen for number in (1, 2, 3, 4)})
    with caplog.at_level(logging.ERROR, logger="fedtrace.client"):
        outcome = federation.run(wire=wire)
    assert [each.refused for each in outcome.rounds] == [{SCHOOL: "R20"}] * 3
    texts = [str(record.exc_info[1]) for record in caplog.records if record.exc_info]
    assert len(texts) == 4
    sent = b"".join(wire.sent)
    for word in {word for text in texts for word in text.split() if len(word) > 4}:
        assert word.encode() not in b"".join(refusals)
    assert not any(text.encode() in sent for text in texts)
    for envelope in refusals:
        notice = RefusalNotice.from_bytes(unverified_payload(envelope, REFUSAL_TYPE))
        assert (notice.code, notice.clause) == ("R20", "node.decision")
    # What was reserved before the damage showed stays spent.
    own = logged(federation.home(SCHOOL))
    assert [entry.round for entry in own if isinstance(entry, RoundReserved)] == [1, 2, 3, 4]
    check_consortium(federation.workspace)


def damage_vault(federation: Federation, school: str) -> None:
    """Flip bits in every record of a school, as a failing disk would."""
    path = federation.home(school) / "vault" / "students.db"
    with sqlite3.connect(path) as database:
        rows = database.execute("SELECT token, record FROM students").fetchall()
        for token, record in rows:
            flipped = record[:-1] + bytes([record[-1] ^ 1])
            database.execute("UPDATE students SET record = ? WHERE token = ?", (flipped, token))
    database.close()
