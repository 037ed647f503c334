"""``fedtrace simulate``: a real table of answers through the production code, in one process."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from fedtrace.deploy.cli.documents import read_plan
from fedtrace.deploy.cli.options import (
    CorrectColumn,
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
    data: Annotated[Path, typer.Option(help="A CSV of answers (.csv, .gz, .xz).")],
    school_column: SchoolColumn,
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
    seed: Seed = 0,
    out: Out = None,
    json: Json = False,
) -> None:
    """Measure what training together would be worth on a table of real answers.

    Runs the same code as a deployment, without a network. Writes OUT/report.json and
    OUT/report.html.
    """
    from fedtrace.deploy.simulation.simulate import SimulateSettings
    from fedtrace.deploy.simulation.simulate import simulate as run
    from fedtrace.server.outcome import JobEvent

    with plain_errors(), progress_bar() as progress:
        folder = new_folder(out, "fedtrace-simulate")
        task = progress.add_task("read", total=None)

        def show(event: JobEvent) -> None:
            done = event.round if event.kind == "round.closed" else None
            progress.update(task, total=event.rounds, completed=done)

        report = run(
            SimulateSettings(
                data=data,
                columns=table_columns(
                    path=data,
                    school=school_column,
                    student=student_column,
                    skill=skill_column,
                    item=item_column,
                    order=order_column,
                    correct=correct_column,
                ),
                min_students=min_students,
                architecture=model.value if model else None,
                epsilon=epsilon,
                trust_mode=trust.value,
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
