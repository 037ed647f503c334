"""A plan that its members take back: its job ends, releases nothing, and never starts again."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

import pytest
from support.scripted_schools import World, build_world

from fedtrace.governance.charter_history import read_charters
from fedtrace.governance.errors import Corrupt, PolicyError
from fedtrace.governance.log.entries import (
    Entry,
    ModelReleased,
    PlanRevoked,
    RoundFailed,
    RoundOpened,
    RunClosed,
)
from fedtrace.governance.orders import RoundOrder
from fedtrace.governance.revocation import REVOCATION_TYPE, Revocation
from fedtrace.governance.signing import sign_envelope
from fedtrace.server.consortium import PLANS_FOLDER
from fedtrace.server.outcome import JobOutcome
from fedtrace.server.plans import REVOCATION_FILE, PlanShelf
from fedtrace.server.ports import Reply
from fedtrace.server.round import run_job


@pytest.fixture
def world(tmp_path: Path) -> World:
    return build_world(tmp_path / "home", rounds=3)


def envelope(world: World, signers: int = 2, **changes: str) -> bytes:
    fields = {"consortium": "valley", "plan_digest": world.plan_digest, "reason": "incident"}
    revocation = Revocation.model_validate(fields | changes)
    return sign_envelope(
        revocation.to_bytes(), REVOCATION_TYPE, list(world.keys.values())[:signers]
    )


def revoke(world: World, content: bytes | None = None) -> None:
    """What `fedtrace consortium withdraw` does while a job has the log open."""
    shelf = PlanShelf(world.home / PLANS_FOLDER)
    shelf.revoke(content or envelope(world), read_charters(world.home))


def run(world: World, revoked_in: int | None = None) -> JobOutcome:
    def fault(school: str, order: RoundOrder, reply: Reply) -> Iterable[Reply]:
        if order.round == revoked_in:
            revoke(world)
        return [reply]

    with closing(world.open()) as consortium:
        return run_job(
            consortium,
            world.plan_digest,
            world.transport(fault),
            world.clock,
            progress=lambda event: None,
        )


def logged(world: World) -> list[Entry]:
    with closing(world.open()) as consortium:
        return [each.entry for each in consortium.log.entries()]


@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_a_job_ends_after_the_round_that_is_open(world: World, number: int) -> None:
    outcome = run(world, revoked_in=number)
    if number == 4:  # the evaluation was the last question: there is nothing left to withhold
        assert outcome.reason == "completed"
        return
    assert (outcome.reason, outcome.model_path, outcome.model_digest) == (
        "plan_revoked",
        None,
        None,
    )
    assert [each.closed for each in outcome.rounds][:number] == [True] * number
    entries = logged(world)
    at = next(i for i, each in enumerate(entries) if isinstance(each, PlanRevoked))
    assert entries[at] == PlanRevoked(
        plan_digest=world.plan_digest, signers=("school-001", "school-002"), reason="incident"
    )
    assert not any(isinstance(each, RoundOpened | ModelReleased) for each in entries[at:])
    assert [type(each) for each in entries[at + 1 :]] == [RoundFailed, RunClosed]
    assert run(world).reason == "plan_revoked"  # asked again, it is over
    assert logged(world) == entries


def test_no_job_of_a_revoked_plan_is_opened(world: World) -> None:
    revoke(world)
    with pytest.raises(PolicyError, match="was revoked by its members"):
        run(world)
    assert [type(each) for each in logged(world)][-1] is PlanRevoked


def test_a_job_that_was_broken_off_is_not_taken_up_again(world: World) -> None:
    class Dies(Exception):  # noqa: N818
        pass

    def dying(school: str, order: RoundOrder, reply: Reply) -> Iterable[Reply]:
        raise Dies

    with closing(world.open()) as consortium, pytest.raises(Dies):
        run_job(
            consortium,
            world.plan_digest,
            world.transport(dying),
            world.clock,
            progress=lambda event: None,
        )
    revoke(world)
    assert run(world).reason == "plan_revoked"
    assert not any(isinstance(each, ModelReleased) for each in logged(world))


def test_what_is_not_a_revocation_in_force(world: World) -> None:
    for content, sentence in (
        (envelope(world, signers=1), "1 of the 2 members"),
        (envelope(world, consortium="elsewhere"), "a revocation of elsewhere, not valley"),
        (envelope(world, plan_digest="sha256:" + "0" * 64), "no plan sha256:0000"),
        (b"{}", "not DSSE JSON"),
    ):
        with pytest.raises(PolicyError, match=sentence):
            revoke(world, content)
    assert run(world).reason == "completed"


def test_a_damaged_revocation_stops_everything(world: World) -> None:
    revoke(world)
    (path,) = (world.home / PLANS_FOLDER).rglob(REVOCATION_FILE)
    path.write_bytes(path.read_bytes().replace(b"sig", b"gis", 1))
    with pytest.raises(Corrupt, match="not the revocation that was kept there"):
        run(world)


def test_the_first_revocation_is_kept(world: World) -> None:
    revoke(world)
    revoke(world, envelope(world, signers=3, reason="mistake"))
    with pytest.raises(PolicyError):
        run(world)
    (entry,) = [each for each in logged(world) if isinstance(each, PlanRevoked)]
    assert entry.reason == "incident"
