"""A job on Flower's Ray simulation: the same messages, answered by other processes."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from support.consistency import check_consortium
from support.federation import Federation, build_federation

from fedtrace.deploy.simulation.on_ray import run_on_ray
from fedtrace.server.outcome import JobOutcome

pytest.importorskip("ray", reason="the extra is not installed: pip install 'fedtrace[ray]'")
pytestmark = [
    pytest.mark.system,
    pytest.mark.filterwarnings("ignore::FutureWarning"),  # Ray's own
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


def run(federation: Federation, engine: str) -> JobOutcome:
    if engine == "in-process":
        return federation.run("distributed")
    plan_digest = federation.plans["distributed"].digest()
    return run_on_ray(federation.workspace, plan_digest, progress=lambda event: None, address=None)


def test_a_job_ends_as_it_does_in_one_process(tmp_path: Path) -> None:
    """Noise is never seeded, so rounds, answers, spending and logs are compared, not the model."""
    outcomes = []
    for engine in ("in-process", "ray"):
        built = build_federation(
            tmp_path / engine, tables=tmp_path / f"{engine}-tables", now=datetime.now(UTC)
        )
        outcomes.append((run(built, engine), built))
    (here, _), (there, built) = outcomes
    assert there.reason == here.reason == "completed"
    assert [each.answered for each in there.rounds] == [each.answered for each in here.rounds]
    assert there.epsilon == here.epsilon
    assert there.log_entries == here.log_entries
    check_consortium(built.workspace)
