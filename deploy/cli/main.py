"""The entry point: puts the groups of commands together."""

from __future__ import annotations

import typer

from fedtrace.deploy.cli.audit import app as audit
from fedtrace.deploy.cli.consortium import app as consortium
from fedtrace.deploy.cli.demo import demo
from fedtrace.deploy.cli.governance import app as governance
from fedtrace.deploy.cli.key import app as key
from fedtrace.deploy.cli.plan import app as plan
from fedtrace.deploy.cli.school import app as school
from fedtrace.deploy.cli.simulate import simulate

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
app.command("demo")(demo)
app.command("simulate")(simulate)
app.add_typer(plan, name="plan")
app.add_typer(key, name="key")
app.add_typer(consortium, name="consortium")
app.add_typer(school, name="school")
app.add_typer(audit, name="audit")
app.add_typer(governance, name="governance")


def main() -> None:
    """Run the command line."""
    app()
