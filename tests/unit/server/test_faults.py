"""The fault table: what a transport does to one school's answer, and what the job makes of it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from support.scripted_schools import Fault, World, build_world, order_in, refusal, signed_reply

from fedtrace.governance.log.entries import RoundFailed, SchoolMissing, UpdateRejected
from fedtrace.governance.orders import RoundOrder
from fedtrace.governance.refusals import RefusalCode
from fedtrace.server.codec import encode, update_spec
from fedtrace.server.outcome import Disposition, JobEvent, JobOutcome, RoundOutcome
from fedtrace.server.ports import Reply
from fedtrace.server.round import MAX_ATTEMPTS, run_job

BAD = "school-002"

Damage = Callable[[World, RoundOrder, Reply], Iterable[Reply | None]]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return build_world(tmp_path / "home", rounds=2)


def run(world: World, fault: Fault | None = None, absent: Iterable[str] = ()) -> JobOutcome:
    transport = world.transport(fault)
    transport.absent = frozenset(absent)
    with closing(world.open()) as consortium:
        return run_job(
            consortium, world.plan_digest, transport, world.clock, progress=lambda event: None
        )


def in_round_1(world: World, damage: Damage) -> Fault:
    def fault(school: str, order: RoundOrder, reply: Reply) -> Iterable[Reply | None]:
        return damage(world, order, reply) if (school, order.round) == (BAD, 1) else [reply]

    return fault


def update(values: float) -> bytes:
    return encode(np.full(8, values, np.float32), update_spec(8))


FAULTS: list[tuple[str, Damage, Disposition]] = [
    ("nothing comes", lambda w, o, r: [], "missing"),
    ("the node failed", lambda w, o, r: [None], "missing"),
    ("it comes twice", lambda w, o, r: [r, r], "accepted"),
    ("it comes a hundred times", lambda w, o, r: [r] * 100, "accepted"),
    (
        "two different answers",
        lambda w, o, r: [r, signed_reply(w, BAD, o, update(9.0))],
        "accepted",
    ),
    (
        "corrupt bytes",
        lambda w, o, r: [{**r, "payload": r["payload"][:-4] + b"\0\0\0\0"}],
        "rejected",
    ),
    ("corrupt, then whole", lambda w, o, r: [{**r, "payload": b"?"}, r], "accepted"),
    ("NaN", lambda w, o, r: [signed_reply(w, BAD, o, update(np.nan))], "rejected"),
    (
        "another school's answer",
        lambda w, o, r: [signed_reply(w, "school-001", o, update(0.0))],
        "rejected",
    ),
    (
        "a stale round",
        lambda w, o, r: [signed_reply(w, BAD, o, update(0.0), round=7)],
        "rejected",
    ),
    ("a refusal", lambda w, o, r: [refusal(w, BAD, o, RefusalCode.R17)], "refused"),
    (
        "a refusal, then an answer",
        lambda w, o, r: [refusal(w, BAD, o, RefusalCode.R17), r],
        "refused",
    ),
    ("an empty reply", lambda w, o, r: [{}], "rejected"),
]


@pytest.mark.parametrize(
    ("damage", "disposition"), [row[1:] for row in FAULTS], ids=[row[0] for row in FAULTS]
)
def test_a_fault_of_one_school_costs_no_more_than_its_answer(
    damage: Damage, disposition: Disposition, world: World
) -> None:
    outcome = run(world, in_round_1(world, damage))
    first = outcome.rounds[0]
    assert outcome.reason == "completed"
    assert [r.closed for r in outcome.rounds] == [True, True]
    assert {"school-001", "school-003"} <= set(first.answered)
    assert BAD in first.verdict(disposition)
    assert sorted((*first.answered, *first.missing, *first.refused, *first.rejected)) == [
        "school-001",
        "school-002",
        "school-003",
    ]
    assert outcome.rounds[1].answered == ("school-001", "school-002", "school-003")


def test_a_repeated_answer_is_summed_once(world: World, tmp_path: Path) -> None:
    calm = run(copied(world, tmp_path / "calm"))
    repeated = run(world, lambda school, order, reply: [reply, reply])
    assert repeated.model_digest == calm.model_digest
    assert (
        repeated.rounds[0].received_bytes["school-001"]
        == 2 * (calm.rounds[0].received_bytes["school-001"])
    )


def copied(world: World, home: Path) -> World:
    shutil.copytree(world.home, home)
    return World(home, world.plan, world.keys, world.plan_digest, world.log_keys)


def test_what_comes_after_the_deadline_is_not_looked_at(world: World) -> None:
    def fault(school: str, order: RoundOrder, reply: Reply) -> Iterable[Reply | None]:
        if (school, order.round) == ("school-003", 1):
            world.clock.time = order.deadline + timedelta(seconds=1)
        return [reply]

    outcome = run(world, fault)
    assert outcome.rounds[0].closed
    assert outcome.rounds[0].missing == ("school-003",)
    assert outcome.rounds[0].received_bytes["school-003"] == 0
    assert outcome.rounds[1].answered == tuple(world.keys)


def test_schools_that_are_late_every_time_end_the_job(world: World) -> None:
    def fault(school: str, order: RoundOrder, reply: Reply) -> Iterable[Reply | None]:
        if school != "school-001":
            world.clock.time = order.deadline + timedelta(seconds=1)
        return [reply]

    outcome = run(world, fault)
    assert outcome.reason == "quorum_not_reached"
    assert outcome.rounds[0].attempts == MAX_ATTEMPTS


def test_absent_schools_are_named_at_once_while_the_others_make_the_quorum(world: World) -> None:
    outcome = run(world, absent=[BAD])
    assert [r.missing for r in outcome.rounds] == [(BAD,), (BAD,)]
    assert outcome.seconds == 0
    assert outcome.evaluation is not None
    assert set(outcome.evaluation.per_school) == {"school-001", "school-003"}


def test_without_a_quorum_the_job_ends_after_its_attempts_and_keeps_what_it_has(
    tmp_path: Path,
) -> None:
    world = build_world(tmp_path / "home", witness_quorum=1)
    events: list[JobEvent] = []
    transport = world.transport()
    transport.absent = frozenset({BAD, "school-003"})
    with closing(world.open()) as consortium:
        outcome = run_job(
            consortium, world.plan_digest, transport, world.clock, progress=events.append
        )
        logged = [entry.entry for entry in consortium.log.entries()]
    assert outcome.reason == "quorum_not_reached"
    assert outcome.rounds[0].closed is False
    assert outcome.rounds[0].attempts == MAX_ATTEMPTS
    assert outcome.rounds[0].missing == (BAD, "school-003")
    assert outcome.seconds == MAX_ATTEMPTS * world.plan.rounds.deadline_seconds
    assert outcome.model_path is None
    # The school that answered was asked once: its answer was kept.
    assert [school for _, school in transport.asked].count("school-001") == 1
    assert sum(isinstance(entry, RoundFailed) for entry in logged) == MAX_ATTEMPTS
    assert sum(isinstance(entry, SchoolMissing) for entry in logged) == 2 * MAX_ATTEMPTS
    assert [event.kind for event in events][-1] == "run.closed"


def test_a_second_attempt_adds_to_the_first_with_a_new_order(world: World, tmp_path: Path) -> None:
    calm_world = copied(world, tmp_path / "calm")

    def only_in_the_second(school: str, order: RoundOrder, reply: Reply) -> Iterable[Reply | None]:
        held_back = order.round == 1 and school != "school-001" and order.nonce in first_nonce
        return [None] if held_back else [reply]

    first_nonce: set[str] = set()
    transport = world.transport(only_in_the_second)

    def note(event: JobEvent) -> None:
        if event.kind == "update.received" and not first_nonce:
            first_nonce.add(order_in(transport.orders[0]).nonce)

    with closing(world.open()) as consortium:
        outcome = run_job(consortium, world.plan_digest, transport, world.clock, progress=note)
    calm = run(calm_world)
    assert outcome.rounds[0].attempts == 2
    assert len({order_in(order).nonce for order in transport.orders}) == len(transport.orders)
    assert [s for r, s in transport.asked if r == 1].count("school-001") == 1
    assert set(outcome.rounds[0].answered) == set(calm.rounds[0].answered)
    assert outcome.epsilon > calm.epsilon  # a second order is a second event


def test_when_everybody_refuses_there_is_nothing_to_wait_for(world: World) -> None:
    outcome = run(world, lambda s, o, r: [refusal(world, s, o, RefusalCode.R17)])
    assert outcome.reason == "quorum_not_reached"
    assert outcome.rounds[0].attempts == 1
    assert outcome.rounds[0].refused == dict.fromkeys(world.keys, "R17")
    assert outcome.seconds == 0


def test_an_evaluation_without_a_quorum_leaves_the_model_unmeasured(world: World) -> None:
    def fault(school: str, order: RoundOrder, reply: Reply) -> Iterable[Reply | None]:
        return [None] if order.kind == "evaluate" and school != BAD else [reply]

    outcome = run(world, fault)
    assert outcome.reason == "completed"
    assert outcome.evaluation is None
    assert outcome.model_path is not None
    assert "Not measured" in outcome.model_path.with_name("card.md").read_text("utf-8")


def test_a_rejection_is_logged_with_its_check_and_no_sentence(world: World) -> None:
    damage = in_round_1(world, lambda w, o, r: [signed_reply(w, BAD, o, update(np.nan))])
    with closing(world.open()) as consortium:
        run_job(
            consortium,
            world.plan_digest,
            world.transport(damage),
            world.clock,
            progress=lambda event: None,
        )
        logged = [entry.entry for entry in consortium.log.entries()]
    rejected = [entry for entry in logged if isinstance(entry, UpdateRejected)]
    assert [(entry.school, entry.check) for entry in rejected] == [(BAD, "A11")]


def test_without_a_quorum_of_witnesses_nobody_is_asked_until_the_deadline(world: World) -> None:
    transport = world.transport()
    transport.absent = frozenset({BAD, "school-003"})
    with closing(world.open()) as consortium:
        outcome = run_job(
            consortium, world.plan_digest, transport, world.clock, progress=lambda event: None
        )
    assert outcome.reason == "quorum_not_reached"
    assert outcome.rounds[0].missing == ("school-001", BAD, "school-003")
    assert outcome.seconds == MAX_ATTEMPTS * world.plan.rounds.deadline_seconds
    assert transport.asked == []


def test_a_transport_that_answers_for_a_stranger_moves_nothing(world: World) -> None:
    class Confused:
        def __init__(self) -> None:
            self.inner = world.transport()

        def connected(self) -> frozenset[str]:
            return self.inner.connected()

        def ask(self, requests, *, deadline):  # type: ignore[no-untyped-def]
            for school, reply in self.inner.ask(requests, deadline=deadline):
                yield "stranger", reply
                yield school, reply

    with closing(world.open()) as consortium:
        outcome = run_job(
            consortium, world.plan_digest, Confused(), world.clock, progress=lambda event: None
        )
    assert outcome.reason == "completed"
    first: RoundOutcome = outcome.rounds[0]
    assert first.rejected == {"stranger": "A01"}
