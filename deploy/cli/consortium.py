"""``fedtrace consortium``: what the consortium's operator does."""

from __future__ import annotations

import typer

from fedtrace.deploy.cli.charter import consortium_app as charter
from fedtrace.deploy.cli.enrolment import approve, found, init, invite, members, renew, revoke
from fedtrace.deploy.cli.recovery import (
    backup_consortium,
    drill_consortium,
    restore_consortium,
)
from fedtrace.deploy.cli.serving import abandon, activate, serve, start, status, withdraw

app = typer.Typer(help="The consortium's server: schools, jobs, status.", no_args_is_help=True)
for command in (init, serve, invite, members, approve, found, revoke, renew):
    app.command()(command)
app.command()(activate)
app.command()(withdraw)
app.command()(start)
app.command()(abandon)
app.command()(status)
app.add_typer(charter, name="charter")
app.command("backup")(backup_consortium)
app.command("restore")(restore_consortium)
app.command("drill")(drill_consortium)


@app.callback()
def consortium() -> None:
    """The consortium's server: the schools that may connect, the jobs it runs, how it is."""
