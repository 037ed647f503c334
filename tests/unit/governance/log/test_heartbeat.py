"""A log says something every day; what is longer silent is asked about."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from support.logs import NOW, key_of, note_over, public

from fedtrace.governance.errors import Corrupt
from fedtrace.governance.log.entries import Heartbeat, KillSwitchChanged, encode_entry
from fedtrace.governance.log.heartbeat import Pulse, beat
from fedtrace.governance.log.log import Log
from fedtrace.governance.log.verify import LogBytes, verify_log

ORIGIN = "county/schools/school-1"
DAY, HOUR = timedelta(days=1), timedelta(hours=1)


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Log]:
    opened = Log.open(tmp_path / "log", origin=ORIGIN, key=key_of(ORIGIN))
    yield opened
    opened.close()


def test_a_log_beats_once_a_day_and_not_before_it_has_begun(log: Log) -> None:
    assert not beat(log, now=NOW)
    log.append(KillSwitchChanged(on=True), now=NOW)
    beats = [hour for hour in range(100) if beat(log, now=NOW + hour * HOUR)]
    assert beats == [24, 48, 72, 96]
    assert [each.kind for each in log.entries()] == [KillSwitchChanged] + [Heartbeat] * 4


def test_an_absence_is_not_made_up_for(log: Log) -> None:
    log.append(KillSwitchChanged(on=True), now=NOW)
    assert beat(log, now=NOW + 9 * DAY)
    assert not beat(log, now=NOW + 9 * DAY + HOUR)
    assert [each.time for each in log.entries()] == [NOW, NOW + 9 * DAY]


def warnings(*times: datetime) -> list[str]:
    lines = [
        encode_entry(Heartbeat(), index=index, origin=ORIGIN, now=now)
        for index, now in enumerate(times)
    ]
    found = verify_log(
        LogBytes(
            name="the log of school-1",
            kind="school",
            origin=ORIGIN,
            public_key=public(key_of(ORIGIN)),
            lines=lines,
            torn=0,
            checkpoint=note_over(lines, ORIGIN),
        )
    )
    return [line.sentence for line in found.lines if line.check == "log.silence"]


def test_a_longer_silence_is_named_with_its_times() -> None:
    assert warnings(NOW, NOW + DAY, NOW + 2 * DAY + HOUR) == []
    (sentence,) = warnings(NOW, NOW + DAY + 2 * HOUR)
    assert "is silent from 2026-09-01 08:00 to 2026-09-02 10:00 UTC" in sentence
    (sentence,) = warnings(NOW, NOW + 2 * DAY, NOW + 5 * DAY, NOW + 5 * DAY + HOUR)
    assert "3 times" not in sentence
    assert "is silent 2 times, the longest from 2026-09-03 08:00 to 2026-09-06 08:00" in sentence


class Clock:
    """Minutes that a test lets pass."""

    minutes = 0.0

    def seconds(self) -> float:
        return self.minutes * 60

    def now(self) -> datetime:
        return NOW + timedelta(minutes=self.minutes)


def test_a_pulse_looks_once_a_minute_and_says_once_what_is_in_the_way(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock, seen = Clock(), list[datetime]()
    problems: list[Exception] = []

    def beats(now: datetime) -> None:
        seen.append(now)
        if problems:
            raise problems[0]

    pulse = Pulse(beats, clock.now, clock.seconds)
    for _ in range(10):
        pulse.look()
        clock.minutes += 0.25
    assert seen == [NOW, NOW + timedelta(minutes=1), NOW + timedelta(minutes=2)]
    problems.append(Corrupt("the disk is gone"))
    for _ in range(4):
        clock.minutes += 1
        pulse.look()
    assert caplog.text.count("cannot get a sign of life: the disk is gone") == 1
    problems.clear()
    clock.minutes += 1
    pulse.look()
    problems.append(OSError("the disk is gone"))
    clock.minutes += 1
    pulse.look()
    assert caplog.text.count("cannot get a sign of life: the disk is gone") == 2
