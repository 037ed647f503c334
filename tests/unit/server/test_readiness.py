"""How long a job waits for many schools to say that they have its plan."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import pytest
from support.scripted_schools import ManualClock, make_plan

from fedtrace.governance.plan_signing import SignedPlan
from fedtrace.server.ports import Reply, Request
from fedtrace.server.readiness import ASKED, SchoolsNotReady, require_ready, waited_for

SCHOOLS = tuple(f"school-{number:03d}" for number in range(200))
PLAN = make_plan(SCHOOLS, minimum=100)
SIGNED = SignedPlan(plan=PLAN, digest=PLAN.digest(), signers=SCHOOLS[:1])


@dataclass
class SlowServer:
    """Hands over one answer after the other, each after so many seconds, until the deadline."""

    clock: ManualClock
    seconds: float
    answering: tuple[str, ...] = SCHOOLS
    heard: list[str] = field(default_factory=list)

    def connected(self) -> frozenset[str]:
        return frozenset(SCHOOLS)

    def ask(
        self, requests: Mapping[str, Request], *, deadline: datetime
    ) -> Iterator[tuple[str, Reply | None]]:
        for school in requests:
            self.clock.pass_seconds(self.seconds)
            if self.clock.now() > deadline:
                return
            if school in self.answering:
                self.heard.append(school)
                yield school, {ASKED: b"yes"}


def test_two_hundred_schools_behind_a_slow_server_are_heard_until_there_are_enough(
    tmp_path: Path,
) -> None:
    server = SlowServer(ManualClock(), seconds=1.0)
    require_ready(tmp_path, SIGNED, server, server.clock)
    assert len(server.heard) == 100
    assert not list(tmp_path.iterdir())


def test_all_are_heard_where_that_takes_no_minute(tmp_path: Path) -> None:
    server = SlowServer(ManualClock(), seconds=0.2)
    require_ready(tmp_path, SIGNED, server, server.clock)
    assert len(server.heard) == 200


def test_a_long_list_of_missing_schools_is_cut_in_the_sentence_alone(tmp_path: Path) -> None:
    server = SlowServer(ManualClock(), seconds=0.1, answering=SCHOOLS[:99])
    with pytest.raises(SchoolsNotReady, match=r"^99 of the 100 schools .* and 91 more$") as raised:
        require_ready(tmp_path, SIGNED, server, server.clock)
    assert "school-099" in str(raised.value)
    assert "school-109" not in str(raised.value)
    assert waited_for(tmp_path, SIGNED.digest) == SCHOOLS[99:]
