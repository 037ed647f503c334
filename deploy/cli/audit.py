"""``fedtrace audit``: check the promises alone, offline, with public keys only."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fedtrace.deploy.cli.output import plain_errors, print_checks, print_json

app = typer.Typer(help="Check logs and promises offline.", no_args_is_help=True)


@app.callback()
def audit() -> None:
    """Check logs and promises offline, without an account and without trusting the server."""


@app.command()
def verify(
    path: Annotated[
        Path,
        typer.Argument(
            help="A demo or simulation folder, a school's or the consortium's home, or one log."
        ),
    ],
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead of lines.")] = False,
) -> None:
    """Verify every log under PATH and hold them against each other.

    Prints one check a line, PASS, WARN or FAIL. Exit code 0: all pass; 1: something needs a
    person's eye; 2: a check failed.
    """
    from fedtrace.deploy.audit import verify_path

    with plain_errors():
        verdict = verify_path(path)
    if json:
        print_json(
            {
                "exit_code": verdict.exit_code,
                "lines": [
                    {"status": line.status, "check": line.check, "sentence": line.sentence}
                    for line in verdict.lines
                ],
            }
        )
    else:
        print_checks((line.status, line.sentence) for line in verdict.lines)
    raise typer.Exit(verdict.exit_code)
