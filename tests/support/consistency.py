"""What must hold of a consortium's homes after whatever happened: one check for every test."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path

from fedtrace.client.home import open_school
from fedtrace.client.school import School
from fedtrace.deploy.audit import verify_path
from fedtrace.deploy.workspace import Workspace
from fedtrace.governance.ledger import PrivacyEvent, spent, spent_by_plan
from fedtrace.governance.log.entries import (
    Entry,
    ModelReleased,
    RoundClosed,
    RoundReserved,
    UpdateSent,
    decode_entry,
)
from fedtrace.governance.log.storage import read_log
from fedtrace.privacy.accounting import GaussianEvent, epsilon
from fedtrace.server.registry import ModelRegistry


def check_consortium(workspace: Workspace, *, warnings: Iterable[str] = ()) -> None:
    """Verify logs, ledgers, rounds, budgets and models against each other.

    Args:
        workspace: the homes, with nobody working in them.
        warnings: the checks of the audit that must warn, once for each time; nothing may fail.
    """
    lines = verify_path(workspace.root).lines
    assert [line for line in lines if line.status == "FAIL"] == []
    warned = [line.check for line in lines if line.status == "WARN"]
    assert sorted(warned) == sorted(warnings), [line for line in lines if line.status == "WARN"]
    for home in workspace.school_homes.values():
        with open_school(home) as school:
            _check_ledger(school, logged(home))
            _check_budgets(school)
    entries = logged(workspace.consortium_home)
    _check_rounds_rise(entries)
    _check_models(workspace, entries)


def logged(home: Path) -> tuple[Entry, ...]:
    """What a home's log says, read without opening it for writing."""
    lines = read_log(home / "log").lines
    return tuple(
        decode_entry(line, index=index, origin=json.loads(line)["source"]).entry
        for index, line in enumerate(lines)
    )


def _check_ledger(school: School, entries: Sequence[Entry]) -> None:
    """Every reservation and every commit is in the log, as often as in the ledger."""
    ledger = school.store.ledger()
    reserved = Counter(_round(each.event) for each in ledger)
    assert reserved == Counter(_round(e) for e in entries if isinstance(e, RoundReserved))
    committed = Counter(_round(each.event) for each in ledger if each.state == "committed")
    assert committed == Counter(_round(e) for e in entries if isinstance(e, UpdateSent))
    for plan in {each.event.plan_digest for each in ledger}:
        rounds = [event.round for event in spent_by_plan(ledger, plan)]
        assert rounds == sorted(rounds)


def _round(told: PrivacyEvent | RoundReserved | UpdateSent) -> tuple[str, str, int, str]:
    """Which round an event or an entry is about."""
    return (told.plan_digest, told.run_id, told.round, told.kind)


def _check_budgets(school: School) -> None:
    """No plan and no student-year has cost more than plan and policy allow."""
    ledger, bounds = school.store.ledger(), school.rules.policy.privacy
    for accepted in school.store.plans():
        signed = school.find_plan(accepted.digest)
        assert signed is not None
        limits = signed.plan.privacy
        of_plan = _epsilon(spent_by_plan(ledger, accepted.digest), limits.delta)
        assert of_plan <= min(limits.epsilon_job, bounds.max_epsilon_job)
    for year in {each.event.student_year for each in ledger}:
        of_year = _epsilon(spent(ledger, year), bounds.max_delta)
        assert of_year <= bounds.max_epsilon_student_year


def _epsilon(events: Iterable[PrivacyEvent], delta: float) -> float:
    """The accountant's epsilon, computed once for all schools that released the same."""
    counts = Counter[tuple[float, float]]()
    for event in events:
        counts[event.noise_multiplier, event.sampling_rate] += event.count
    return _epsilon_of(tuple(sorted(counts.items())), delta)


@cache
def _epsilon_of(counts: tuple[tuple[tuple[float, float], int], ...], delta: float) -> float:
    return epsilon(
        [
            GaussianEvent(noise_multiplier=noise, sampling_rate=rate, count=count)
            for (noise, rate), count in counts
        ],
        delta,
    )


def _check_rounds_rise(entries: Sequence[Entry]) -> None:
    closed = [entry for entry in entries if isinstance(entry, RoundClosed)]
    for plan in {entry.plan_digest for entry in closed}:
        rounds = [entry.round for entry in closed if entry.plan_digest == plan]
        assert rounds == list(range(1, len(rounds) + 1))


def _check_models(workspace: Workspace, entries: Sequence[Entry]) -> None:
    """Exactly the models that the log released are there, whole, each with its card."""
    registry = ModelRegistry(workspace.consortium_home / "models")
    cards = [registry.load(name)[1] for name in registry.names()]
    released = [entry.digest for entry in entries if isinstance(entry, ModelReleased)]
    assert sorted(card.model.digest for card in cards) == sorted(released)
