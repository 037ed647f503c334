"""The next version of a charter at the consortium: what tries to fork it, undo it or lose by it."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from support.scripted_schools import START, World, build_world

from fedtrace.governance.charter import CHARTER_TYPE, Charter
from fedtrace.governance.errors import PolicyError
from fedtrace.governance.log.entries import CharterChanged, Entry, PlanRevoked
from fedtrace.governance.revocation import REVOCATION_TYPE, Revocation
from fedtrace.governance.signing import sign_envelope
from fedtrace.server.charters import adopt_charter
from fedtrace.server.consortium import PLANS_FOLDER, read_charter
from fedtrace.server.plans import PlanShelf
from fedtrace.server.restored import mark_restored
from fedtrace.server.round import finished_job, run_job

LATER = START + timedelta(minutes=1)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return build_world(tmp_path / "home")


def following(world: World, **changes: Any) -> bytes:
    """A next version that everybody signed."""
    before = read_charter(world.home)
    values = {name: getattr(before, name) for name in Charter.model_fields}
    after = Charter(
        **{**values, "version": before.version + 1, "previous": before.digest(), **changes}
    )
    return sign_envelope(after.to_bytes(), CHARTER_TYPE, list(world.keys.values()))


def adopt(world: World, envelope: bytes) -> None:
    with closing(world.open()) as consortium:
        adopt_charter(consortium, envelope, now=LATER)


def logged(world: World, *kinds: type[Entry]) -> list[Entry]:
    with closing(world.open()) as consortium:
        return [each.entry for each in consortium.log.entries() if isinstance(each.entry, kinds)]


def put_back(home: Path) -> Iterable[str]:
    """The founding charter where the newest was: a crash before the last write, or an old copy."""
    shutil.copyfile(home / "charters" / "1.json", home / "charter.json")
    return sorted(path.name for path in (home / "charters").iterdir())


def test_no_second_version_2_after_the_log_told_of_one(world: World) -> None:
    first, other = following(world, threshold=3), following(world, witness_quorum=3)
    adopt(world, first)
    assert put_back(world.home) == ["1.json", "2.dsse.json"]
    with pytest.raises(PolicyError, match="the log tells of another version 2"):
        adopt(world, other)
    assert (world.home / "charters" / "2.dsse.json").read_bytes() == first
    assert read_charter(world.home).version == 1
    adopt(world, first)
    assert read_charter(world.home).threshold == 3
    assert len(logged(world, CharterChanged)) == 1


def test_nothing_is_run_under_a_charter_that_was_put_back(world: World) -> None:
    adopt(world, following(world, witness_quorum=3))
    put_back(world.home)
    with closing(world.open()) as consortium, pytest.raises(PolicyError, match=r"charter\.json"):
        run_job(
            consortium,
            world.plan_digest,
            world.transport(),
            world.clock,
            progress=lambda event: None,
        )


def test_a_restored_home_adopts_nothing_before_the_witnesses_were_asked(world: World) -> None:
    mark_restored(world.home, made_at=START)
    with pytest.raises(PolicyError, match="restored from a backup"):
        adopt(world, following(world, threshold=3))
    assert logged(world, CharterChanged) == []
    assert not (world.home / "charters").exists()


def revocation(world: World, signers: int) -> bytes:
    document = Revocation(consortium="valley", plan_digest=world.plan_digest, reason="incident")
    keys = list(world.keys.values())[:signers]
    return sign_envelope(document.to_bytes(), REVOCATION_TYPE, keys)


def test_a_plan_that_the_next_version_never_agreed_to_can_be_revoked(world: World) -> None:
    adopt(world, following(world, threshold=3))
    with closing(world.open()) as consortium:
        consortium.plans.revoke(revocation(world, 3), consortium.charters)
        assert consortium.revocation_of(world.plan_digest, now=LATER) is not None
    assert len(logged(world, PlanRevoked)) == 1


def test_a_revocation_is_logged_before_the_version_that_its_members_do_not_fill(
    world: World,
) -> None:
    with closing(world.open()) as consortium:
        PlanShelf(world.home / PLANS_FOLDER).revoke(revocation(world, 2), consortium.charters)
    adopt(world, following(world, threshold=3))
    with closing(world.open()) as consortium:
        consortium.revocation_of(world.plan_digest, now=LATER)
    told = logged(world, PlanRevoked, CharterChanged)
    assert [type(each) for each in told] == [PlanRevoked, CharterChanged]


def test_a_revocation_is_logged_once_whoever_is_a_member_later(world: World) -> None:
    with closing(world.open()) as consortium:
        consortium.plans.revoke(revocation(world, 3), consortium.charters)
        consortium.revocation_of(world.plan_digest, now=LATER)
    adopt(world, following(world, members=read_charter(world.home).members[:2]))
    with closing(world.open()) as consortium:
        assert consortium.revocation_of(world.plan_digest, now=LATER) is not None
    assert len(logged(world, PlanRevoked)) == 1


def test_what_a_job_did_is_read_after_a_version_that_never_agreed_to_its_plan(
    world: World,
) -> None:
    with closing(world.open()) as consortium:
        ended = run_job(
            consortium,
            world.plan_digest,
            world.transport(),
            world.clock,
            progress=lambda event: None,
        )
    adopt(world, following(world, threshold=3))
    with closing(world.open()) as consortium:
        assert finished_job(consortium, world.plan_digest).model_digest == ended.model_digest
