"""A consortium's home: made once, opened strictly; plans are kept only as they were signed."""

from __future__ import annotations

import stat
from contextlib import closing
from pathlib import Path

import pytest
from support.scripted_schools import (
    CATALOGUE,
    START,
    World,
    build_world,
    cheap_epsilon,
    initial_parameters,
    make_plan,
)

from fedtrace.governance.charter import Member
from fedtrace.governance.errors import Corrupt, PolicyError
from fedtrace.governance.plan_signing import sign_plan
from fedtrace.governance.refusals import Refused
from fedtrace.governance.signing import generate_key
from fedtrace.server.consortium import initialise_consortium, open_consortium
from fedtrace.server.round import run_job


@pytest.fixture
def world(tmp_path: Path) -> World:
    return build_world(tmp_path / "home")


def test_keys_are_for_their_owner_alone(world: World) -> None:
    for name in ("aggregator.pem", "log.pem"):
        assert stat.S_IMODE((world.home / "keys" / name).stat().st_mode) == 0o600
    assert stat.S_IMODE((world.home / "consortium.db").stat().st_mode) == 0o600


def test_a_home_is_made_once(world: World) -> None:
    key = generate_key().public_key
    member = Member(name="school-1", public_key=key, log_public_key=generate_key().public_key)
    with pytest.raises(FileExistsError):
        initialise_consortium(world.home, name="other", members=[member], threshold=1, now=START)


def test_the_log_starts_with_charter_and_plan_and_says_each_once(world: World) -> None:
    envelope = sign_plan(world.plan, list(world.keys.values())[:2])
    with closing(world.open()) as consortium:
        for _ in range(2):
            consortium.activate_plan(
                envelope,
                catalogue=CATALOGUE,
                initial_parameters=initial_parameters(),
                now=START,
            )
        assert [e.entry.type for e in consortium.log.entries()] == [
            "charter.adopted",
            "plan.activated",
        ]
        assert consortium.plans.digests() == (world.plan_digest,)
        assert consortium.plans.catalogue(world.plan_digest) == CATALOGUE
        assert consortium.plans.envelope(world.plan_digest) == envelope


def test_a_signature_that_the_log_names_is_kept_when_a_plan_is_activated_again(
    world: World,
) -> None:
    keys = list(world.keys.values())
    plan = make_plan(world.keys, rounds=5)
    with closing(world.open()) as consortium:
        for signers in (keys[:2], keys[1:]):
            consortium.activate_plan(
                sign_plan(plan, signers),
                catalogue=CATALOGUE,
                initial_parameters=initial_parameters(),
                now=START,
            )
        kept = consortium.plans.open(plan.digest(), consortium.charter)
    assert kept.signers == tuple(sorted(world.keys))


def test_a_plan_without_its_quorum_is_not_kept(world: World) -> None:
    plan = make_plan(world.keys, rounds=5)
    with closing(world.open()) as consortium:
        with pytest.raises(Refused):
            consortium.activate_plan(
                sign_plan(plan, [world.keys["school-001"], generate_key()]),
                catalogue=CATALOGUE,
                initial_parameters=initial_parameters(),
                now=START,
            )
        with pytest.raises(PolicyError, match="no plan"):
            run_job(
                consortium,
                plan.digest(),
                world.transport(),
                world.clock,
                progress=lambda event: None,
            )


@pytest.mark.parametrize(
    ("clause", "catalogue", "parameters"),
    [
        ("skill_catalogue_digest", b"{}", initial_parameters()),
        ("initial_parameters_digest", CATALOGUE, initial_parameters(9)),
    ],
)
def test_a_plan_is_kept_only_with_what_it_names(
    clause: str, catalogue: bytes, parameters: bytes, world: World
) -> None:
    envelope = sign_plan(world.plan, list(world.keys.values()))
    with closing(world.open()) as consortium, pytest.raises(PolicyError, match=clause):
        consortium.activate_plan(
            envelope, catalogue=catalogue, initial_parameters=parameters, now=START
        )


def test_a_plan_with_a_school_outside_the_charter_is_not_kept(world: World) -> None:
    envelope = sign_plan(make_plan([*world.keys, "stranger"]), list(world.keys.values()))
    with closing(world.open()) as consortium, pytest.raises(PolicyError, match="stranger"):
        consortium.activate_plan(
            envelope, catalogue=CATALOGUE, initial_parameters=initial_parameters(), now=START
        )


def test_another_plan_in_a_plans_folder_is_noticed(world: World) -> None:
    other = sign_plan(make_plan(world.keys, rounds=9), list(world.keys.values()))
    folder = world.home / "plans" / world.plan_digest.removeprefix("sha256:")
    (folder / "plan.dsse.json").write_bytes(other)
    with closing(world.open()) as consortium, pytest.raises(Corrupt, match="another plan"):
        consortium.plans.open(world.plan_digest, consortium.charter)


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("charter.json", b"{}"),
        ("consortium.toml", b"student_year_first_month = 13"),
        ("consortium.toml", b"surprise = 1"),
        ("keys/aggregator.pem", b"no key"),
        ("keys/aggregator.pem", generate_key().to_pem()),
        ("keys/log.pem", generate_key().to_pem()),
    ],
)
def test_a_home_that_does_not_fit_together_is_not_opened(
    file: str, content: bytes, world: World
) -> None:
    (world.home / file).write_bytes(content)
    with pytest.raises(PolicyError):
        world.open()


def test_another_database_is_used_where_the_environment_names_one(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FEDTRACE_DATABASE_URL", f"sqlite:///{tmp_path / 'elsewhere.db'}")
    open_consortium(world.home, accountant=cheap_epsilon).close()
    assert (tmp_path / "elsewhere.db").exists()
