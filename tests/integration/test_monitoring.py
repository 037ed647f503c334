"""What both services show after a job, from real homes: rounds, privacy, nothing of students."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from flwr.app import Message
from prometheus_client import CollectorRegistry, generate_latest
from support.consistency import logged
from support.federation import Federation
from support.tree import text

from fedtrace.client.app import request_in
from fedtrace.deploy.monitoring.consortium import ConsortiumView
from fedtrace.deploy.monitoring.school import SchoolView
from fedtrace.deploy.network.keeping import Observation
from fedtrace.deploy.network.provisioning import provision_server
from fedtrace.deploy.simulation.grid import Node, deliver
from fedtrace.deploy.simulation.in_process import run_in_process
from fedtrace.governance.log.entries import RunClosed, RunOpened
from fedtrace.server.consortium import open_consortium
from fedtrace.server.restored import mark_restored

NOW = datetime(2026, 11, 1, tzinfo=UTC)


@dataclass
class Running:
    """A service as its view sees it."""

    processes: dict[str, bool]
    age_seconds: float = 0.0
    connections: Mapping[str, bool] = field(default_factory=dict)
    contacts: Mapping[str, datetime] = field(default_factory=dict)

    @property
    def observed(self) -> Observation:
        return Observation(
            at=time.monotonic() - self.age_seconds,
            processes=self.processes,
            restarts=dict.fromkeys(self.processes, 2),
        )

    def is_connected(self) -> bool:
        return True


def require_documented(shown: Mapping[str, float]) -> None:
    page = text(Path("docs/deployment.md"))
    names = {name.partition("{")[0] for name in shown}
    assert {name for name in names if f"`{name}`" not in page} == set()


def exposed(view: ConsortiumView | SchoolView) -> dict[str, float]:
    """Sample -> value."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(view)
    lines = generate_latest(registry).decode().splitlines()
    samples = (line.rpartition(" ") for line in lines if not line.startswith("#"))
    return {name: float(value) for name, _, value in samples}


def test_the_consortium_shows_its_job(federation: Federation) -> None:
    assert federation.run().reason == "completed"
    home = federation.workspace.consortium_home
    provision_server(home / "network", hosts=["localhost"], now=NOW)
    service = Running(
        {"front": True, "superlink": False},
        connections={"school-1": True, "school-2": False},
        contacts={"school-1": NOW},
    )
    view = ConsortiumView(home, service, lambda: NOW)
    shown = exposed(view)
    require_documented(shown)
    assert shown['fedtrace_process_up{process="superlink"}'] == 0
    assert shown['fedtrace_process_restarts_total{process="front"}'] == 2
    assert shown['fedtrace_rounds_total{plan="usual",result="closed"}'] == 4
    answers = [n for n in shown if n.startswith("fedtrace_answers_total")]
    assert len(answers) == 3
    assert {shown[name] for name in answers} == {4}
    assert all('outcome="accepted"' in name for name in answers)
    assert 0 < shown['fedtrace_round_seconds{plan="usual"}'] < 60
    assert 7 < shown['fedtrace_epsilon_charged{plan="usual"}'] <= 8
    assert shown["fedtrace_jobs_open"] == 0
    assert 396 < shown["fedtrace_certificate_days_left"] <= 397
    assert shown["fedtrace_log_bytes"] == (home / "log" / "entries.jsonl").stat().st_size
    assert shown["fedtrace_disk_free_bytes"] > 0
    assert shown['fedtrace_school_connected{school="school-2"}'] == 0
    seen = 'fedtrace_school_last_contact_timestamp_seconds{school="school-1"}'
    assert shown[seen] == NOW.timestamp()
    assert view.is_alive()
    assert view.problems() == ("superlink does not run",)
    service.processes, service.age_seconds = {"front": True}, 120
    assert not view.is_alive()
    mark_restored(home, made_at=NOW - timedelta(days=1))
    assert len(view.problems()) == 1


def test_a_job_that_was_given_up_is_not_shown_as_open(federation: Federation) -> None:
    def dies(node_id: int, message: Message, node: Node) -> Iterable[Message]:
        if "order" in request_in(message):
            raise KeyboardInterrupt
        return deliver(node_id, message, node)

    home, digest = federation.workspace.consortium_home, federation.plans["usual"].digest()
    with pytest.raises(KeyboardInterrupt):
        run_in_process(federation.workspace, digest, progress=lambda event: None, transport=dies)
    provision_server(home / "network", hosts=["localhost"], now=NOW)
    view = ConsortiumView(home, Running({}), lambda: NOW)
    assert exposed(view)["fedtrace_jobs_open"] == 1

    with closing(open_consortium(home)) as consortium:
        opened = next(e for e in logged(home) if isinstance(e, RunOpened))
        entry = RunClosed(  # as `fedtrace consortium abandon` writes it
            plan_digest=digest, run_id=opened.run_id, reason="abandoned", rounds=0
        )
        consortium.log.append(entry, now=datetime.now(UTC))
    assert exposed(view)["fedtrace_jobs_open"] == 0


def test_a_school_shows_what_it_has_charged_and_nothing_about_students(
    federation: Federation,
) -> None:
    assert federation.run().reason == "completed"
    school = federation.schools[0]
    view = SchoolView(federation.home(school), Running({"gate": True}), lambda: datetime.now(UTC))
    shown = exposed(view)
    require_documented(shown)
    assert shown['fedtrace_rounds_paid_total{plan="usual"}'] == 4
    assert 7 < shown['fedtrace_epsilon_charged{plan="usual"}'] <= 8
    assert shown["fedtrace_epsilon_student_year"] <= shown["fedtrace_epsilon_student_year_limit"]
    assert shown["fedtrace_training_stopped"] == 0
    assert time.time() - shown["fedtrace_last_round_timestamp_seconds"] < 60
    assert view.problems() == ()
    # A closed list: a new metric of a school is a decision about what may leave its vault.
    assert {name.partition("{")[0] for name in shown} == {
        "fedtrace_connected",
        "fedtrace_disk_free_bytes",
        "fedtrace_epsilon_charged",
        "fedtrace_epsilon_student_year",
        "fedtrace_epsilon_student_year_limit",
        "fedtrace_last_round_timestamp_seconds",
        "fedtrace_log_bytes",
        "fedtrace_process_restarts_total",
        "fedtrace_process_up",
        "fedtrace_rounds_paid_total",
        "fedtrace_training_stopped",
    }
