"""The entry point: puts the groups of commands together."""

from __future__ import annotations

import typer

from fedtrace.deploy.cli import audit, demo, plan, school, simulate

app = typer.Typer(
    name="fedtrace",
    help=(
        "Schools train one model of how students learn, without pooling student records. "
        "Start with: fedtrace demo"
    ),
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_show_locals=False,  # a traceback must never print student data
)
app.command("demo")(demo.demo)
app.command("simulate")(simulate.simulate)
app.add_typer(plan.app, name="plan")
app.add_typer(school.app, name="school")
app.add_typer(audit.app, name="audit")


def main() -> None:
    """Run the command line."""
    app()
