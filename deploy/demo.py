"""``fedtrace demo``: a whole consortium of real processes on this machine, from CSV to report.

Nothing is shortened: every school imports a CSV file through the allow-list, signs the plan, runs
a SuperNode and a gate of its own and speaks TLS to the consortium's one public port. Only the
distance is left out.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from fedtrace.client.home import open_school
from fedtrace.client.ingest.catalogue import Catalogue
from fedtrace.deploy.audit import verify_path
from fedtrace.deploy.network.control import RunStatus
from fedtrace.deploy.network.federation import Federation, FederationSettings
from fedtrace.deploy.network.nursery import Nursery
from fedtrace.deploy.planning import Job, draft_plan
from fedtrace.deploy.report.build import Setting, build_report
from fedtrace.deploy.report.model import Condition, ConditionScores, Report
from fedtrace.deploy.simulation.answers import Columns, SchoolTable, read_answers
from fedtrace.deploy.simulation.schools import (
    IMPORT_MAPPING,
    charter_names,
    simulated_tables,
    write_school_csv,
)
from fedtrace.deploy.simulation.scoring import held_out_students, score_release
from fedtrace.deploy.workspace import Workspace, activate_plan, create_workspace, validity
from fedtrace.governance.plan import Plan, TrustMode
from fedtrace.models.networks import Architecture
from fedtrace.models.simulator import simulate_schools
from fedtrace.server.app import PROGRESS_FILE
from fedtrace.server.consortium import open_consortium
from fedtrace.server.outcome import JobOutcome
from fedtrace.server.round import finished_job

SKILLS = 24
STUDENTS_PER_SCHOOL = 120
DEADLINE_SECONDS = 60
MIN_STUDENTS = 10

Phase = Callable[[str], None]
"""Told when a phase of the work begins."""

Rounds = Callable[[int], None]
"""Told how many rounds are closed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoSettings:
    """What to show.

    Attributes:
        schools: how many are simulated; with ``data`` the largest so many take part.
        rounds: training rounds.
        architecture: of the model.
        epsilon: of the whole job, at delta 1e-5, for one student.
        trust_mode: who adds the noise.
        data: a table of answers instead of simulated students.
        columns: its columns.
        seed: of the simulated students and the initial parameters.
        out: where homes, logs and report go.
    """

    schools: int
    rounds: int
    architecture: Architecture
    epsilon: float
    trust_mode: TrustMode
    data: Path | None
    columns: Columns
    seed: int
    out: Path


def run_demo(
    settings: DemoSettings, nursery: Nursery, *, now: datetime, phase: Phase, rounds: Rounds
) -> Report:
    """Run it; every process that was started has ended when this returns or raises.

    Args:
        settings: what to show.
        nursery: starts the processes of the federation.
        now: the time at the start.
        phase: told when a phase of the work begins.
        rounds: told how many rounds are closed.

    Raises:
        FileExistsError: ``settings.out`` holds a run already.
        ValueError: the table cannot be read, or a setting is outside its range.
        OSError: a port, a file or the disk is in the way.
    """
    if (settings.out / "consortium").exists():
        raise FileExistsError(f"{settings.out} holds a run already; choose another --out")
    seconds: dict[str, float] = {}
    with _timed("import", seconds, phase):
        skills, tables = _tables(settings)
        workspace = create_workspace(
            settings.out, schools=list(tables), max_epsilon=settings.epsilon, now=now
        )
        catalogue = Catalogue(skills=list(skills))
        _import(workspace, tables, catalogue, now=now)
    with _timed("plan", seconds, phase):
        plan, plan_digest = _agree(workspace, tables, catalogue, settings, now=now)
    outcome = _train(workspace, plan, plan_digest, nursery, seconds, phase, rounds, now=now)
    with _timed("verification", seconds, phase):
        verdict = verify_path(settings.out)
    metrics: dict[Condition, ConditionScores] = {}
    if outcome.model_path is not None:
        tests = held_out_students(workspace, plan, now=datetime.now(UTC))
        metrics["private"] = score_release(outcome.model_path, plan, tests)
    return build_report(
        Setting(
            engine="loopback",
            data=settings.data.name if settings.data else "simulated students",
            students=sum(len(table.students) for table in tables.values()),
            interactions=sum(len(table.interactions.skills) for table in tables.values()),
            split=(
                "Each student's part was drawn by the school at import: 70 % train, 10 % "
                "validation, 20 % test. A student's first answer in a window of "
                f"{plan.data.max_sequence} is context only."
            ),
            seed=settings.seed,
        ),
        plan=plan,
        outcome=outcome,
        verdict=verdict,
        metrics=metrics,
        seconds=seconds,
        now=datetime.now(UTC),
    )


def _tables(settings: DemoSettings) -> tuple[tuple[str, ...], Mapping[str, SchoolTable]]:
    """The skills and each school's answers, real or simulated."""
    if settings.data is None:
        simulated = simulate_schools(
            schools=settings.schools,
            students_per_school=STUDENTS_PER_SCHOOL,
            skills=SKILLS,
            seed=settings.seed,
            least_students=4 * MIN_STUDENTS,
        )
        return tuple(f"skill {i + 1:02d}" for i in range(SKILLS)), simulated_tables(simulated)
    answers = read_answers(settings.data, settings.columns)
    sizes = {name: len(table.students) for name, table in answers.schools.items()}
    largest = sorted(sizes, key=lambda name: (-sizes[name], name))[: settings.schools]
    if len(largest) < settings.schools or min(sizes[name] for name in largest) < MIN_STUDENTS:
        raise ValueError(
            f"the table has not {settings.schools} schools with {MIN_STUDENTS} students or more"
        )
    names = charter_names(largest)
    return answers.skills, {names[school]: answers.schools[school] for school in largest}


def _import(
    workspace: Workspace,
    tables: Mapping[str, SchoolTable],
    catalogue: Catalogue,
    *,
    now: datetime,
) -> None:
    """Let every school import its own export, as `fedtrace school import` does."""
    exports = workspace.root / "exports"
    exports.mkdir()
    for name, home in workspace.school_homes.items():
        path = exports / f"{name}.csv"
        write_school_csv(tables[name], tuple(catalogue.skills), path)
        with open_school(home) as school:
            school.import_csv(path, IMPORT_MAPPING, catalogue, now=now)


def _agree(
    workspace: Workspace,
    tables: Mapping[str, SchoolTable],
    catalogue: Catalogue,
    settings: DemoSettings,
    *,
    now: datetime,
) -> tuple[Plan, str]:
    valid_from, valid_until = validity(now)
    students = sum(len(table.students) for table in tables.values())
    plan, initial_parameters = draft_plan(
        Job(
            name="demo",
            schools=workspace.schools,
            minimum_per_round=max(1, len(workspace.schools) - 1),
            catalogue=catalogue,
            planned_students=round(0.7 * students),
            architecture=settings.architecture,
            epsilon=settings.epsilon,
            trust_mode=settings.trust_mode,
            rounds=settings.rounds,
            deadline_seconds=DEADLINE_SECONDS,
            seed=settings.seed,
        ),
        valid_from=valid_from,
        valid_until=valid_until,
    )
    signed = activate_plan(
        workspace, plan, catalogue=catalogue, initial_parameters=initial_parameters, now=now
    )
    return plan, signed.digest


def _train(
    workspace: Workspace,
    plan: Plan,
    plan_digest: str,
    nursery: Nursery,
    seconds: dict[str, float],
    phase: Phase,
    rounds: Rounds,
    *,
    now: datetime,
) -> JobOutcome:
    """Start all processes, run the job, end all processes."""
    federation = FederationSettings(
        directory=workspace.root / "network",
        consortium_home=workspace.consortium_home,
        school_homes=workspace.school_homes,
    )
    phase("start")
    started = time.monotonic()
    with Federation(federation, now=now, nursery=nursery) as running:
        seconds["start"] = time.monotonic() - started
        with _timed("training", seconds, phase):
            run_id = running.start_run(plan_digest)
            longest = (plan.rounds.count + 1) * 3 * (plan.rounds.deadline_seconds + 10)
            running.wait(run_id, seconds=longest, tick=_ticker(workspace, rounds))
        stopping = time.monotonic()
    seconds["stop"] = time.monotonic() - stopping
    with closing(open_consortium(workspace.consortium_home)) as consortium:
        return finished_job(consortium, plan_digest)


def _ticker(workspace: Workspace, rounds: Rounds) -> Callable[[RunStatus], None]:
    """Reads the aggregator's progress file and counts closed rounds."""
    path = workspace.consortium_home / PROGRESS_FILE

    def tick(status: RunStatus) -> None:
        del status
        if path.exists():
            events = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
            rounds(sum(event["kind"] == "round.closed" for event in events))

    return tick


@contextmanager
def _timed(name: str, seconds: dict[str, float], phase: Phase) -> Iterator[None]:
    phase(name)
    started = time.monotonic()
    yield
    seconds[name] = time.monotonic() - started
