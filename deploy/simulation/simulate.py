"""``fedtrace simulate``: a real table of answers through the production code, without a network.

The private condition runs through everything that a deployment runs through: homes, vaults, a
signed plan, the gate's decision, the engine, the ledger, the logs. The others exist to compare.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal

from safetensors.numpy import load_file

from fedtrace.client.home import open_school
from fedtrace.client.ingest.catalogue import Catalogue
from fedtrace.client.sealing import StudentRecord
from fedtrace.client.vault import Fold
from fedtrace.deploy.audit import verify_path
from fedtrace.deploy.planning import Job, draft_plan, usual_quorum
from fedtrace.deploy.report.build import Setting, build_report
from fedtrace.deploy.report.model import Condition, ConditionScores, Report
from fedtrace.deploy.simulation.answers import Answers, Columns, SchoolTable, read_answers
from fedtrace.deploy.simulation.baselines import compare
from fedtrace.deploy.simulation.defaults import Consortium, propose
from fedtrace.deploy.simulation.in_process import run_in_process
from fedtrace.deploy.simulation.on_ray import require_ray, run_on_ray
from fedtrace.deploy.simulation.personalised import personalised
from fedtrace.deploy.simulation.schools import charter_names, simulated_tables
from fedtrace.deploy.simulation.scoring import score_release
from fedtrace.deploy.simulation.split import MAX_SEQUENCE, Folds, SchoolSplit, fold_schools
from fedtrace.deploy.workspace import Workspace, activate_plan, create_workspace, validity
from fedtrace.governance.plan import Plan, TrustMode
from fedtrace.models.networks import Architecture, ModelSpec
from fedtrace.models.simulator import simulate_schools
from fedtrace.server.outcome import JobOutcome
from fedtrace.server.ports import Progress

DEADLINE_SECONDS = 600
_MEMORY = Path("/dev/shm")  # noqa: S108 - keys and records of the run never touch a disk there

SKILLS, ANSWERS_PER_STUDENT = 24, 60
"""Of invented students."""

SimulationEngine = Literal["in-process", "ray"]
"""Where the schools' answers are computed."""

Phase = Callable[[str], None]
"""Told when a phase of the work begins."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulateSettings:
    """What to simulate.

    Attributes:
        data: the table; see ``fedtrace.deploy.simulation.answers``. None for invented students.
        columns: its columns.
        schools: how many schools have invented students.
        students_per_school: as many of them, in the middle.
        engine: where the schools' answers are computed.
        ray_address: of a Ray cluster; None for this machine.
        min_students: schools with fewer are left out.
        architecture: of the model; None for what a plan would propose.
        epsilon: of the whole job, at delta 1e-5, for one student.
        trust_mode: who adds the noise; the given plan's where there is one.
        rounds: of training; None for what suits the model, or is in the plan.
        plan: a plan to take training, privacy and aggregation settings from; None for defaults.
        compare: also train without privacy, alone and pooled.
        seed: of split, initial parameters and comparisons. Noise is never seeded.
        out: where homes, logs and report go.
    """

    data: Path | None
    columns: Columns
    schools: int
    students_per_school: int
    engine: SimulationEngine
    ray_address: str | None
    min_students: int
    architecture: Architecture | None
    epsilon: float
    trust_mode: TrustMode
    rounds: int | None
    plan: Plan | None
    compare: bool
    seed: int
    out: Path


def simulate(
    settings: SimulateSettings, *, now: datetime, phase: Phase, progress: Progress
) -> Report:
    """Run it; writes homes and logs under ``settings.out`` and returns the report.

    Raises:
        ValueError: the table cannot be read, or a setting is outside its range.
        FileExistsError: ``settings.out`` holds a run already.
        EngineError: the engine is not installed, or does not start.
        OSError: a file cannot be read or written.
    """
    if (settings.out / "consortium").exists():
        raise FileExistsError(f"{settings.out} holds a run already; choose another --out")
    if settings.engine == "ray":
        require_ray()  # before anything is made
    seconds: dict[str, float] = {}
    with _timed("read", seconds, phase):
        answers = _answers(settings)
        folds = fold_schools(answers, seed=settings.seed, min_students=settings.min_students)
        names = charter_names(folds)
        tables = {names[school]: answers.schools[school].cut(MAX_SEQUENCE) for school in folds}
        named_folds = {names[school]: fold for school, fold in folds.items()}
        splits = _splits(tables, named_folds)
    with _in_memory(settings.out, shared=settings.ray_address is not None) as root:
        with _timed("set up", seconds, phase):
            workspace, plan, plan_digest = _set_up(
                root, settings, answers, tables, named_folds, now=now
            )
        with _timed("private training", seconds, phase):
            outcome = _run(settings, workspace, plan_digest, progress)
        metrics: dict[Condition, ConditionScores] = {}
        if outcome.model_path is not None:
            tests = {school: split.test for school, split in splits.items()}
            metrics["private"] = score_release(outcome.model_path, plan, tests)
            if plan.model.architecture == "shared-logistic-2":
                with _timed("models of the schools", seconds, phase):
                    released = load_file(outcome.model_path)["parameters"]
                    metrics["personalised"] = personalised(
                        splits, released, plan.data.skills, seed=settings.seed
                    )
        with _timed("verification", seconds, phase):
            verdict = verify_path(root)
    if settings.compare:
        with _timed("comparison", seconds, phase):
            spec = ModelSpec(
                architecture=plan.model.architecture,
                skills=plan.data.skills,
                hidden_size=plan.model.hidden_size,
                embedding_size=plan.model.embedding_size,
            )
            metrics |= compare(splits, spec, seed=settings.seed)
    return build_report(
        Setting(
            engine=settings.engine,
            data=settings.data.name if settings.data else f"{settings.schools} invented schools",
            students=sum(len(table.students) for table in tables.values()),
            interactions=sum(len(table.interactions.skills) for table in tables.values()),
            split=(
                "Students at random within each school: 70 % train, 10 % validation, 20 % test, at "
                f"least 2 test students; schools with fewer than {settings.min_students} left out; "
                f"sequences cut after {MAX_SEQUENCE} answers; a student's first is context only."
            ),
            seed=settings.seed,
        ),
        plan=plan,
        outcome=outcome,
        verdict=verdict,
        metrics=metrics,
        seconds=seconds,
        now=now,
    )


def _answers(settings: SimulateSettings) -> Answers:
    """The table, or one of students who do not exist."""
    if settings.data is not None:
        return read_answers(settings.data, settings.columns)
    simulated = simulate_schools(
        schools=settings.schools,
        students_per_school=settings.students_per_school,
        skills=SKILLS,
        seed=settings.seed,
        answers_per_student=ANSWERS_PER_STUDENT,
        least_students=settings.min_students,
    )
    skills = tuple(f"skill {number + 1:02d}" for number in range(SKILLS))
    return Answers(skills=skills, schools=simulated_tables(simulated), without_school=None)


def _run(
    settings: SimulateSettings, workspace: Workspace, plan_digest: str, progress: Progress
) -> JobOutcome:
    """The job, on the engine that was asked for."""
    if settings.engine == "in-process":
        return run_in_process(workspace, plan_digest, progress=progress)
    return run_on_ray(workspace, plan_digest, progress=progress, address=settings.ray_address)


def _set_up(
    root: Path,
    settings: SimulateSettings,
    answers: Answers,
    tables: Mapping[str, SchoolTable],
    folds: Mapping[str, Folds],
    *,
    now: datetime,
) -> tuple[Workspace, Plan, str]:
    """Homes, records and a plan that all schools signed."""
    catalogue = Catalogue(skills=list(answers.skills))
    given = settings.plan
    workspace = create_workspace(
        root,
        schools=list(tables),
        max_epsilon=given.privacy.epsilon_student_year if given else settings.epsilon,
        now=now,
    )
    for name, home in workspace.school_homes.items():
        with open_school(home) as school:
            school.vault.add(
                _records(tables[name]),
                retain_until=now + timedelta(days=school.settings.retention_days),
                catalogue_digest=catalogue.digest(),
                folds=_fold_names(tables[name], folds[name]),
            )
    valid_from, valid_until = validity(now)
    trust_mode = given.privacy.trust_mode if given else settings.trust_mode
    epsilon = given.privacy.epsilon_job if given else settings.epsilon
    planned_students = sum(len(fold.train) for fold in folds.values())
    wanted = given.model.architecture if given else settings.architecture
    architecture = (
        wanted
        or propose(
            Consortium(
                schools=len(workspace.schools),
                students=planned_students,
                skills=len(catalogue),
                epsilon=epsilon,
                trust_mode=trust_mode,
            )
        ).architecture
    )
    plan, initial = draft_plan(
        Job(
            name="simulation",
            schools=workspace.schools,
            minimum_per_round=usual_quorum(len(workspace.schools), trust_mode),
            catalogue=catalogue,
            planned_students=planned_students,
            architecture=architecture,
            epsilon=epsilon,
            trust_mode=trust_mode,
            rounds=settings.rounds,
            deadline_seconds=DEADLINE_SECONDS,
            seed=settings.seed,
        ),
        valid_from=valid_from,
        valid_until=valid_until,
        like=given,
    )
    signed = activate_plan(
        workspace, plan, catalogue=catalogue, initial_parameters=initial, now=now
    )
    return workspace, signed.plan, signed.digest


def _records(table: SchoolTable) -> Iterator[StudentRecord]:
    ragged = table.interactions
    spans = zip(table.students, ragged.offsets[:-1], ragged.offsets[1:], strict=True)
    for student, first, end in spans:
        yield StudentRecord(
            external_id=student,
            skills=ragged.skills[first:end],
            correct=ragged.correct[first:end],
        )


def _fold_names(table: SchoolTable, folds: Folds) -> dict[str, Fold]:
    """Fold by the table's student number."""
    members = {Fold.TRAIN: folds.train, Fold.VALIDATION: folds.validation, Fold.TEST: folds.test}
    return {table.students[i]: fold for fold, students in members.items() for i in students}


def _splits(
    tables: Mapping[str, SchoolTable], folds: Mapping[str, Folds]
) -> dict[str, SchoolSplit]:
    return {
        name: SchoolSplit(
            train=table.interactions.select(folds[name].train),
            validation=table.interactions.select(folds[name].validation),
            test=table.interactions.select(folds[name].test),
        )
        for name, table in tables.items()
    }


@contextmanager
def _in_memory(out: Path, *, shared: bool) -> Iterator[Path]:
    """A folder to work in, in memory where the machine has such a place, moved to ``out`` after.

    A simulation waits for the disk some thousand times; nothing in it has to survive a power cut.
    What other machines must see is made in ``out`` at once.
    """
    out.mkdir(parents=True, exist_ok=True)
    if shared:
        yield out
        return
    parent = _MEMORY if _MEMORY.is_dir() else None
    with tempfile.TemporaryDirectory(prefix="fedtrace-", dir=parent) as folder:
        root = Path(folder)
        try:
            yield root
        finally:
            _copy_all(root, out)


def _copy_all(root: Path, out: Path) -> None:
    """Copy what is in a folder into another: all of it, or nothing where the disk is full.

    Raises:
        OSError: it cannot be written.
    """
    try:
        shutil.copytree(root, out, dirs_exist_ok=True)
    except OSError:
        for made in root.iterdir():
            shutil.rmtree(out / made.name, ignore_errors=True)
        raise


@contextmanager
def _timed(name: str, seconds: dict[str, float], phase: Phase) -> Iterator[None]:
    phase(name)
    started = time.monotonic()
    yield
    seconds[name] = time.monotonic() - started
