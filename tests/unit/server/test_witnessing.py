"""Nothing is asked before the log is witnessed: quorum, catching up, restored logs, bad answers."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from support.logs import NOW, key_of
from support.scripted_schools import World, build_world

from fedtrace.governance.errors import Corrupt
from fedtrace.governance.log.checkpoint import LogCheckpoint, sign_checkpoint
from fedtrace.governance.log.entries import RunClosed
from fedtrace.governance.log.storage import COSIGNED
from fedtrace.governance.log.witness import parse_add_checkpoint
from fedtrace.governance.witnessing import consortium_policy
from fedtrace.server import witnessing
from fedtrace.server.consortium import Consortium
from fedtrace.server.ports import Reply, Request
from fedtrace.server.witnessing import WitnessedTransport

SCHOOLS = ("school-001", "school-002", "school-003")
ORDER = {"order": b"order", "checkpoint": b"model"}


@dataclass
class Schools:
    """Witnesses that a test can make absent, slow or dishonest.

    Attributes:
        absent: never answer, and time passes until the deadline.
        answers: school -> what it says instead.
        sent: every request, in order.
    """

    world: World
    absent: frozenset[str] = frozenset()
    answers: Mapping[str, Reply] = field(default_factory=dict)
    sent: list[tuple[str, Request]] = field(default_factory=list)

    def connected(self) -> frozenset[str]:
        return frozenset(SCHOOLS) - self.absent

    def ask(
        self, requests: Mapping[str, Request], *, deadline: datetime
    ) -> Iterator[tuple[str, Reply | None]]:
        for school, request in requests.items():
            self.sent.append((school, request))
            if school in self.absent:
                continue
            if "order" in request:
                yield school, {"answered": b"yes"}
            else:
                said = self.answers.get(school)
                yield school, self.world.witness(school, request) if said is None else said
        if self.absent & set(requests):
            self.world.clock.time = deadline

    def orders(self) -> dict[str, Request]:
        """What was asked of whom."""
        return {school: request for school, request in self.sent if "order" in request}


@pytest.fixture
def world(tmp_path: Path) -> World:
    return build_world(tmp_path / "home")


@pytest.fixture
def consortium(world: World) -> Iterator[Consortium]:
    with closing(world.open()) as opened:
        yield opened


def ask(world: World, consortium: Consortium, schools: Schools, *asked: str) -> list[str]:
    transport = WitnessedTransport(schools, consortium, world.clock)
    deadline = world.clock.now() + timedelta(seconds=60)
    requests = dict.fromkeys(asked or SCHOOLS, ORDER)
    return [school for school, _ in transport.ask(requests, deadline=deadline)]


def test_orders_carry_a_checkpoint_that_all_have_cosigned(
    world: World, consortium: Consortium
) -> None:
    schools = Schools(world)
    assert ask(world, consortium, schools) == list(SCHOOLS)
    policy = consortium_policy(consortium.charter)
    for request in schools.orders().values():
        assert set(request) == {"order", "checkpoint", "log"}
        seen = policy.open(request["log"])
        assert (seen.checkpoint.size, sorted(seen.times)) == (consortium.log.size, list(SCHOOLS))
    assert policy.open((world.home / "log" / COSIGNED).read_bytes()) == seen


def test_every_member_is_a_witness_whoever_is_asked(world: World, consortium: Consortium) -> None:
    schools = Schools(world)
    assert ask(world, consortium, schools, "school-002") == ["school-002"]
    assert {school for school, _ in schools.sent} == {"school-001", "school-002"}, "a quorum"
    assert set(schools.orders()) == {"school-002"}


def test_a_school_that_did_not_cosign_gets_what_it_needs_with_the_order(
    world: World, consortium: Consortium
) -> None:
    schools = Schools(world, absent=frozenset({"school-003"}))
    assert ask(world, consortium, schools) == ["school-001", "school-002"]
    late = schools.orders()["school-003"]
    assert parse_add_checkpoint(late["add-checkpoint"]).old == 0
    assert late["entries"].count(b"\n") == consortium.log.size
    assert set(schools.orders()["school-001"]) == {"order", "checkpoint", "log"}


def test_without_a_quorum_nobody_is_asked(world: World, consortium: Consortium) -> None:
    schools = Schools(world, absent=frozenset({"school-001", "school-003"}))
    start = world.clock.now()
    assert ask(world, consortium, schools) == []
    assert schools.orders() == {}
    assert world.clock.now() - start == timedelta(seconds=60)
    assert not (world.home / "log" / COSIGNED).exists()


def test_nodes_that_are_held_to_be_away_are_asked_again_until_they_are_back(
    world: World, consortium: Consortium, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Flower answers for them at once; the round still has its time."""
    back_at = world.clock.now() + timedelta(seconds=20)

    class Away(Schools):
        def ask(
            self, requests: Mapping[str, Request], *, deadline: datetime
        ) -> Iterator[tuple[str, Reply | None]]:
            if world.clock.now() < back_at:
                yield from ((school, None) for school in requests)
            else:
                yield from super().ask(requests, deadline=deadline)

    monkeypatch.setattr(time, "sleep", world.clock.pass_seconds)
    assert ask(world, consortium, Away(world)) == list(SCHOOLS)
    assert world.clock.now() == back_at


def test_a_school_is_brought_up_in_several_messages(
    world: World, consortium: Consortium, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = RunClosed(plan_digest=world.plan_digest, run_id="r", reason="completed", rounds=1)
    consortium.log.append_many([ended] * 12, now=NOW)
    monkeypatch.setattr(witnessing, "MESSAGE_BYTES", 1200)
    schools = Schools(world)
    assert ask(world, consortium, schools) == list(SCHOOLS)
    messages = [request for school, request in schools.sent if school == "school-001"]
    assert len(messages) > 3, "three for what was logged, one with the order"
    assert all(len(request.get("entries", b"")) <= 1200 for request in messages)


def test_what_a_school_has_is_not_sent_again(world: World, consortium: Consortium) -> None:
    ask(world, consortium, Schools(world))
    fresh = Schools(world)  # another process, that does not know how far they are
    assert ask(world, consortium, fresh) == list(SCHOOLS)
    sizes = [
        parse_add_checkpoint(request["add-checkpoint"]).old
        for school, request in fresh.sent
        if school == "school-001" and "order" not in request
    ]
    assert sizes == [0, consortium.log.size]
    assert fresh.sent[3][1]["entries"] == b""


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"status": b"200", "body": b""},
        {"status": b"200", "body": "\u2014 valley/schools/school-002 AAAAAAAA\n".encode()},
        {"status": b"409", "body": b"not a size\n"},
        {"status": b"409", "body": b"999\n", "latest": b"nothing"},
        {"status": b"422", "body": b"no\n"},
        {"status": b"x" * 10_000},
    ],
    ids=str,
)
def test_a_school_that_answers_nonsense_is_only_missing(
    world: World, consortium: Consortium, answer: Reply
) -> None:
    schools = Schools(world, answers={"school-002": answer})
    assert ask(world, consortium, schools) == list(SCHOOLS)
    seen = consortium_policy(consortium.charter).open(schools.orders()["school-001"]["log"])
    assert sorted(seen.times) == ["school-001", "school-003"]


def test_another_witness_cannot_speak_for_a_school(world: World, consortium: Consortium) -> None:
    probe = Schools(world)
    ask(world, consortium, probe)
    request = next(r for s, r in probe.sent if s == "school-001" and "order" not in r)
    world.witnesses.clear()
    foreign = world.witness("school-001", request)
    schools = Schools(world, answers={"school-002": foreign})
    ask(world, consortium, schools)
    seen = consortium_policy(consortium.charter).open(schools.orders()["school-001"]["log"])
    assert "school-002" not in seen.times


def test_a_log_that_was_restored_from_an_older_copy_stops(
    world: World, consortium: Consortium
) -> None:
    newer = LogCheckpoint(origin=consortium.log.origin, size=50, root=bytes(32))
    key = consortium.log._key
    latest = sign_checkpoint(newer, key)
    answer = {"status": b"409", "body": b"50\n", "latest": latest}
    with pytest.raises(Corrupt, match="restored from an older copy"):
        ask(world, consortium, Schools(world, answers={"school-003": answer}))
    forged = {**answer, "latest": sign_checkpoint(newer, key_of("somebody"))}
    assert ask(world, consortium, Schools(world, answers={"school-003": forged}))
