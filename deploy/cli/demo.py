"""``fedtrace demo``: three schools, real processes, one command."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

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


def demo(
    schools: Annotated[int, typer.Option(min=2, max=30, help="How many schools.")] = 3,
    rounds: Annotated[int, typer.Option(min=1, max=10_000, help="Training rounds.")] = 3,
    model: Annotated[ModelChoice, typer.Option(help="The architecture.")] = (
        ModelChoice.RESIDUAL_DKT
    ),
    epsilon: Epsilon = 4.0,
    trust: Trust = TrustChoice.LOCAL,
    data: Annotated[
        Path | None, typer.Option(help="A CSV of answers (.csv, .gz, .xz); simulated if absent.")
    ] = None,
    school_column: SchoolColumn = None,
    student_column: StudentColumn = "student",
    skill_column: SkillColumn = "skill",
    item_column: ItemColumn = None,
    order_column: OrderColumn = "seq",
    correct_column: CorrectColumn = "correct",
    seed: Seed = 0,
    out: Out = None,
    json: Json = False,
) -> None:
    """Train one model in several schools on this machine, over a real Flower deployment.

    Starts a SuperLink and, for each school, a SuperNode and a gate that speak TLS on loopback.
    Ends by verifying every log; writes OUT/report.json and OUT/report.html.
    """
    from fedtrace.deploy.network.nursery import federation_nursery

    with plain_errors(), progress_bar() as progress, federation_nursery(schools) as nursery:
        from fedtrace.deploy.demo import DemoSettings, run_demo  # while the nursery imports, too
        from fedtrace.deploy.simulation.answers import Columns

        folder = new_folder(out, "fedtrace-demo")
        columns = Columns()
        if data is None and school_column is not None:
            raise ValueError("--school-column names a column of a table: add --data CSV.")
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
        task = progress.add_task("import", total=rounds)
        report = run_demo(
            DemoSettings(
                schools=schools,
                rounds=rounds,
                architecture=model.value,
                epsilon=epsilon,
                trust_mode=trust.value,
                data=data,
                columns=columns,
                seed=seed,
                out=folder,
            ),
            nursery,
            now=datetime.now(UTC),
            phase=lambda name: progress.update(task, description=name),
            rounds=lambda closed: progress.update(task, completed=closed),
        )
        progress.update(task, description="report", completed=report.rounds)
        finish_with_report(report, folder, json=json, progress=progress)
