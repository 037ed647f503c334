"""The consortium's log says something every day, also while no job runs."""

from __future__ import annotations

from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from support.scripted_schools import START, World, build_world

from fedtrace.governance.errors import PolicyError
from fedtrace.governance.log.entries import Heartbeat
from fedtrace.server.heartbeat import beat_for
from fedtrace.server.restored import mark_restored

DAY = timedelta(days=1)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return build_world(tmp_path / "home")


def test_a_quiet_server_gives_a_sign_of_life(world: World) -> None:
    with closing(world.open()) as consortium:
        first = consortium.log.entries()[-1].time
    assert not beat_for(world.home, now=first + DAY - timedelta(minutes=1))
    assert beat_for(world.home, now=first + DAY)
    assert not beat_for(world.home, now=first + DAY + timedelta(hours=2))
    with closing(world.open()) as consortium:
        assert [each.kind for each in consortium.log.entries()][-1] is Heartbeat
        with pytest.raises(BlockingIOError):  # a job has the log
            beat_for(world.home, now=first + 3 * DAY)


def test_what_a_crash_left_behind_the_log_is_looked_at(world: World) -> None:
    with (world.home / "log" / "entries.jsonl").open("ab") as file:
        file.write(b'{"half": ')
    assert beat_for(world.home, now=START + 9 * DAY)
    with closing(world.open()) as consortium:
        assert consortium.log.entries()[-1].kind is Heartbeat


def test_a_restored_log_is_not_written_to(world: World) -> None:
    mark_restored(world.home, made_at=START)
    with pytest.raises(PolicyError):
        beat_for(world.home, now=START + 9 * DAY)
    with closing(world.open()) as consortium:
        assert consortium.log.entries()[-1].kind is not Heartbeat


def test_before_there_is_a_charter_there_is_no_log(tmp_path: Path) -> None:
    assert not beat_for(tmp_path, now=START)
