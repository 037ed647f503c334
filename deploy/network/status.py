"""How a consortium is, in the words of the person who looks at it at seven in the morning."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from fedtrace.deploy.network.address import read_address
from fedtrace.deploy.network.hosting import STATE_FILE, job_folder
from fedtrace.deploy.network.jobs import Job, Jobs
from fedtrace.governance.charter_history import CHARTER_FILE
from fedtrace.server.consortium import database_url, find_plan, read_charter
from fedtrace.server.head import Head
from fedtrace.server.readiness import waited_for
from fedtrace.server.store import ConsortiumStore

SILENT_AFTER = timedelta(seconds=30)
"""A server that runs writes down how it is every few seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobStatus:
    """How far one job is.

    Attributes:
        name: the plan's.
        plan_digest: which plan.
        state: waiting, running or over.
        round: the last round that was closed.
        rounds: of the plan.
        reason: why training ended, None while it goes on.
    """

    name: str
    plan_digest: str
    state: str
    round: int
    rounds: int
    reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsortiumStatus:
    """What ``fedtrace consortium status`` prints.

    Attributes:
        consortium: its name.
        address: where it serves, None where it does not run.
        processes: process -> whether it runs.
        schools: member -> whether its node is connected; None where it was not admitted.
        jobs: every job that was asked for.
        problems: what needs a person, each with what to do.
    """

    consortium: str
    address: str | None
    processes: dict[str, bool]
    schools: dict[str, bool | None]
    jobs: tuple[JobStatus, ...]
    problems: tuple[str, ...]

    def as_json(self) -> dict[str, object]:
        """The same facts for programs."""
        return asdict(self)

    def lines(self) -> list[str]:
        """The same facts for people."""
        said = {True: "connected", False: "not connected", None: "not admitted"}
        lines = [
            f"consortium  {self.consortium}",
            f"server      {f'serving at {self.address}' if self.address else 'not running'}",
            *(f"process     {name}: ended" for name, runs in self.processes.items() if not runs),
            *(f"school      {name}: {said[state]}" for name, state in self.schools.items()),
        ]
        for job in self.jobs:
            reason = f", {job.reason.replace('_', ' ')}" if job.reason else ""
            lines.append(
                f"job         {job.name}: {job.state}, round {job.round} of {job.rounds}{reason}"
            )
        return [*lines, *(f"TO DO       {problem}" for problem in self.problems)]


def consortium_status(home: Path, *, now: datetime) -> ConsortiumStatus:
    """Look at a consortium's home; its server may run or not.

    Raises:
        PolicyError: the charter or a plan is damaged.
        NetworkError: a job's file is damaged.
        Corrupt: the database cannot be read.
        OSError: it is no consortium's home.
    """
    state = _state(home, now)
    problems = (
        [] if state else [f"the server does not run: fedtrace consortium serve --home {home}"]
    )
    if not (home / CHARTER_FILE).exists():
        consortium = read_address(home).consortium
        problems.append(
            "there is no charter yet: invite the schools, approve them, and found the consortium; "
            f"fedtrace consortium members --home {home} says how far they are"
        )
        return ConsortiumStatus(
            consortium=consortium,
            address=state.get("address"),
            processes=state.get("processes", {}),
            schools={},
            jobs=(),
            problems=tuple(problems),
        )
    charter = read_charter(home)
    connected: dict[str, bool] = state.get("schools", {})
    admitted = {path.stem for path in (home / "network" / "nodes").glob("*.pub")}
    schools = {
        member.name: connected.get(member.name, False) if member.name in admitted else None
        for member in charter.members
    }
    jobs = Jobs(job_folder(home)).all()
    problems += [
        f"{name} may not connect: fedtrace consortium invite {name} --home {home}"
        for name, is_connected in schools.items()
        if is_connected is None
    ]
    if state:
        problems += [
            f"{name} is not connected: ask it for `fedtrace school doctor`"
            for name, is_connected in schools.items()
            if is_connected is False
        ]
    waiting = {job.plan_digest: waited_for(home, job.plan_digest) for job in jobs}
    problems += [
        f"the job of {digest} waits until enough schools are connected and have run fedtrace "
        f"school accept: {', '.join(schools)}"
        for digest, schools in waiting.items()
        if schools
    ]
    problems += [
        f"the job of {job.plan_digest} failed {job.failures} times and is tried again: {job.says} "
        f"See {home / 'serverapp.log'}"
        for job in jobs
        if job.failures and not waiting[job.plan_digest]
    ]
    return ConsortiumStatus(
        consortium=charter.consortium,
        address=state.get("address"),
        processes=state.get("processes", {}),
        schools=schools,
        jobs=_jobs(home, jobs),
        problems=tuple(problems),
    )


def _state(home: Path, now: datetime) -> dict[str, Any]:
    """What the running server wrote last; empty where it does not run."""
    try:
        state: dict[str, Any] = json.loads((home / "network" / STATE_FILE).read_bytes())
        silent = now - datetime.fromisoformat(state["at"])
    except (FileNotFoundError, ValueError, KeyError):
        return {}
    return state if silent < SILENT_AFTER else {}


def _jobs(home: Path, jobs: tuple[Job, ...]) -> tuple[JobStatus, ...]:
    if not jobs:
        return ()
    heads: dict[str, Head] = {}
    with closing(ConsortiumStore.open(database_url(home))) as store:
        for job in jobs:
            if (stored := store.head(job.plan_digest)) is not None:
                heads[job.plan_digest] = stored.head
    found = []
    for job in jobs:
        plan, head = find_plan(home, job.plan_digest).plan, heads.get(job.plan_digest)
        found.append(
            JobStatus(
                name=plan.name,
                plan_digest=job.plan_digest,
                state=job.state,
                round=head.round if head else 0,
                rounds=plan.rounds.count,
                reason=head.reason if head else None,
            )
        )
    return tuple(found)
