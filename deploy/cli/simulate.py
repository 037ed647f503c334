"""``fedtrace simulate``: a table of answers through the production code, without a network."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from fedtrace.deploy.cli.documents import read_plan
from fedtrace.deploy.cli.options import (
    CorrectColumn,
    Engine,
    Epsilon,
    ItemColumn,
    Json,
    ModelChoice,
    OrderColumn,
    Out,
    SchoolColumn,
    Seed,
    SkillColumn,
    StudentColumn,
    Trust,
    TrustChoice,
    new_folder,
    table_columns,
)
from fedtrace.deploy.cli.output import finish_with_report, plain_errors, progress_bar


def simulate(
    data: Annotated[
        Path | None, typer.Option(help="A CSV of answers (.csv, .gz, .xz); or --schools.")
    ] = None,
    school_column: SchoolColumn = None,
    student_column: StudentColumn = "student",
    skill_column: SkillColumn = "skill",
    item_column: ItemColumn = None,
    order_column: OrderColumn = "seq",
    correct_column: CorrectColumn = "correct",
    min_students: Annotated[
        int, typer.Option(min=3, help="Schools with fewer students are left out.")
    ] = 10,
    model: Annotated[
        ModelChoice | None,
        typer.Option(help="The architecture; what suits the size of the consortium if absent."),
    ] = None,
    epsilon: Epsilon = 8.0,
    trust: Trust = TrustChoice.DISTRIBUTED,
    rounds: Annotated[
        int | None,
        typer.Option(min=1, max=10_000, help="Training rounds; what suits the model if absent."),
    ] = None,
    plan: Annotated[
        Path | None,
        typer.Option(help="Take model, rounds, privacy and aggregation from this plan."),
    ] = None,
    compare: Annotated[
        bool,
        typer.Option(
            "--compare", help="Also train without privacy: federated, each school alone, pooled."
        ),
    ] = False,
    schools: Annotated[
        int | None, typer.Option(min=2, max=1000, help="So many schools of invented students.")
    ] = None,
    students_per_school: Annotated[
        int, typer.Option(min=3, max=10_000, help="Of invented students, in the middle.")
    ] = 40,
    engine: Annotated[
        Engine, typer.Option(help="In this process, or on Flower's Ray simulation.")
    ] = Engine.IN_PROCESS,
    ray_address: Annotated[
        str | None, typer.Option(help="Of a Ray cluster; workers of this machine if absent.")
    ] = None,
    seed: Seed = 0,
    out: Out = None,
    json: Json = False,
) -> None:
    """Measure what training together would be worth on real answers, or invented ones.

    Runs the same code as a deployment, without a network. Writes OUT/report.json and
    OUT/report.html.
    """
    from fedtrace.deploy.simulation.answers import Columns
    from fedtrace.deploy.simulation.simulate import SimulateSettings
    from fedtrace.deploy.simulation.simulate import simulate as run
    from fedtrace.server.outcome import JobEvent

    with plain_errors(), progress_bar() as progress:
        if (data is None) == (schools is None):
            raise ValueError("say either --data CSV with --school-column NAME, or --schools N.")
        if schools is not None and school_column is not None:
            raise ValueError("--school-column names a column of a table: add --data CSV.")
        if ray_address is not None and engine is not Engine.RAY:
            raise ValueError("--ray-address belongs to --engine ray.")
        if plan is not None and rounds is not None:
            raise ValueError("--plan has a number of rounds: leave --rounds out.")
        folder = new_folder(out, "fedtrace-simulate")
        columns = Columns()
        if data is not None:
            columns = table_columns(
                path=data,
                school=school_column,
                student=student_column,
                skill=skill_column,
                item=item_column,
                order=order_column,
                correct=correct_column,
            )
        task = progress.add_task("read", total=None)

        def show(event: JobEvent) -> None:
            done = event.round if event.kind == "round.closed" else None
            progress.update(task, total=event.rounds, completed=done)

        report = run(
            SimulateSettings(
                data=data,
                columns=columns,
                schools=schools or 0,
                students_per_school=students_per_school,
                engine=engine.value,
                ray_address=ray_address,
                min_students=min_students,
                architecture=model.value if model else None,
                epsilon=epsilon,
                trust_mode=trust.value,
                rounds=rounds,
                plan=read_plan(plan) if plan else None,
                compare=compare,
                seed=seed,
                out=folder,
            ),
            now=datetime.now(UTC),
            phase=lambda name: progress.update(task, description=name),
            progress=show,
        )
        progress.update(task, description="report")
        finish_with_report(report, folder, json=json, progress=progress)
