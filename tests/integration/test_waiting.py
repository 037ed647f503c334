"""A job whose plan too few schools have accepted is not opened, and goes on when they have."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import closing
from datetime import UTC, datetime

import pytest
from flwr.app import Message
from sqlalchemy import delete
from support.federation import Federation

from fedtrace.client import store as client_store
from fedtrace.client.app import request_in
from fedtrace.client.home import open_school
from fedtrace.client.sqlite import writing
from fedtrace.deploy.simulation import in_process
from fedtrace.deploy.simulation.grid import Node
from fedtrace.server.consortium import open_consortium
from fedtrace.server.outcome import JobOutcome
from fedtrace.server.readiness import SchoolsNotReady, waited_for
from fedtrace.server.round import run_job


@pytest.fixture(autouse=True)
def _waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a deployment does."""

    def waiting(*arguments: object, **options: object) -> JobOutcome:
        return run_job(*arguments, **options, wait_for_schools=True)  # type: ignore[arg-type]

    monkeypatch.setattr(in_process, "run_job", waiting)


def accept_later(federation: Federation, school: str) -> None:
    """Undo what the fixture did for this school, as if it had not come to it yet."""
    with open_school(federation.home(school)) as opened, writing(opened.store._engine) as at:
        at.execute(delete(client_store._plans))


def test_it_waits_for_enough_schools_and_then_goes_on(federation: Federation) -> None:
    home, plan = federation.workspace.consortium_home, federation.plans["usual"]
    first, second, third = federation.schools
    envelopes = {}
    for school in (first, second):
        accept_later(federation, school)
    before = (home / "log" / "entries.jsonl").read_bytes()
    with pytest.raises(SchoolsNotReady, match=f"1 of the 2 schools .* waiting for {first}"):
        federation.run()
    assert waited_for(home, plan.digest()) == (first, second)
    assert (home / "log" / "entries.jsonl").read_bytes() == before
    with closing(open_consortium(home)) as consortium:
        assert consortium.store.plan_digests() == ()
        envelopes["usual"] = consortium.plans.envelope(plan.digest())
        catalogue = consortium.plans.catalogue(plan.digest())
    for school in federation.schools:
        with open_school(federation.home(school)) as opened:
            assert opened.store.ledger() == ()
    with open_school(federation.home(first)) as opened:
        opened.accept_plan(envelopes["usual"], catalogue, now=datetime.now(UTC))
    outcome = federation.run()
    assert outcome.reason == "completed"
    assert waited_for(home, plan.digest()) == ()
    assert not (home / "waiting.json").exists()
    assert outcome.rounds[0].answered == (first, third)
    assert outcome.rounds[0].refused == {second: "R01"}


def test_a_job_that_was_opened_asks_about_its_plan_once(federation: Federation) -> None:
    asked: list[str] = []

    def counting(node_id: int, message: Message, node: Node) -> Iterable[Message]:
        asked.extend(name for name in request_in(message) if name == "accepted")
        yield node(message)

    for _ in range(2):
        assert federation.run(wire=counting).reason == "completed"  # type: ignore[arg-type]
    assert len(asked) == len(federation.schools)
