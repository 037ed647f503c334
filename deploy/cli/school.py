"""``fedtrace school``: what a school's IT does with its own node."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from fedtrace.deploy.cli.options import Home, Json
from fedtrace.deploy.cli.output import ExitCode, plain_errors, print_json, print_lines
from fedtrace.governance.charter import Charter
from fedtrace.governance.policy import load_policy_toml

app = typer.Typer(help="A school's own node: records, plans, status.", no_args_is_help=True)


@app.callback()
def school() -> None:
    """A school's own node: its records, its plans, its status."""


@app.command()
def keys(home: Home) -> None:
    """Make the school's keys and print the public halves, for the consortium's charter."""
    from fedtrace.client.keys import create_keys

    with plain_errors():
        made = create_keys(home / "keys")
    print_json({"public_key": made.public_key, "log_public_key": made.log_public_key})


@app.command()
def init(
    home: Home,
    charter: Annotated[Path, typer.Option(help="charter.json, from the consortium.")],
    policy: Annotated[Path, typer.Option(help="The school's policy, as TOML.")],
) -> None:
    """Make the school's home around its keys, from charter and policy."""
    from fedtrace.client.school import initialise_school

    with plain_errors():
        opened = initialise_school(
            home,
            charter=Charter.from_bytes(charter.read_bytes()),
            policy=load_policy_toml(policy.read_text("utf-8")),
            now=datetime.now(UTC),
        )
        with opened:
            print_lines(f"{opened.name} is ready in {home}; next: fedtrace school import")


@app.command("import")
def import_(
    csv: Annotated[Path, typer.Argument(help="The export (.csv, .gz, .xz).", metavar="CSV")],
    home: Home,
    catalogue: Annotated[Path, typer.Option(help="The plan's catalogue.json: names of skills.")],
    mapping: Annotated[
        Path | None, typer.Option(help="A mapping file, as TOML; ASSISTments 2009 if absent.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Report what would be kept; store nothing.")
    ] = False,
    json: Json = False,
) -> None:
    """Import student records; every column that the mapping does not name is dropped unread.

    Exit code 0: all rows were used; 1: some rows were rejected, with the reasons.
    """
    from fedtrace.client.ingest.assistments import ASSISTMENTS_2009
    from fedtrace.client.ingest.catalogue import load_catalogue
    from fedtrace.client.ingest.mapping import load_mapping
    from fedtrace.client.school import open_school

    with plain_errors(), open_school(home) as opened:
        report = opened.import_csv(
            csv,
            load_mapping(mapping.read_text("utf-8")) if mapping else ASSISTMENTS_2009,
            load_catalogue(catalogue.read_bytes()),
            now=datetime.now(UTC),
            dry_run=dry_run,
        )
    if json:
        print_json(report.model_dump(mode="json"))
    else:
        print_lines("\n".join(report.lines()))
    raise typer.Exit(ExitCode.WARNING if report.rows_rejected else ExitCode.DONE)


@app.command()
def accept(
    envelope: Annotated[Path, typer.Argument(help="The signed plan.", metavar="PLAN.dsse.json")],
    home: Home,
    catalogue: Annotated[Path, typer.Option(help="The plan's catalogue.json.")],
) -> None:
    """Take part in a plan that enough schools have signed, this one among them."""
    from fedtrace.client.school import open_school

    with plain_errors(), open_school(home) as opened:
        signed = opened.accept_plan(
            envelope.read_bytes(), catalogue.read_bytes(), now=datetime.now(UTC)
        )
    print_lines(f"accepted {signed.digest}, signed by {', '.join(signed.signers)}")


@app.command()
def status(home: Home, json: Json = False) -> None:
    """Say how the node is: records, plans, what has been spent, whether training is stopped.

    Exit code 0: ready to train; 1: something needs a person.
    """
    from fedtrace.client.school import open_school
    from fedtrace.deploy.status import school_status

    with plain_errors(), open_school(home) as opened:
        found = school_status(opened, now=datetime.now(UTC))
    if json:
        print_json(found.as_json())
    else:
        print_lines("\n".join(found.lines()))
    raise typer.Exit(ExitCode.WARNING if found.problems else ExitCode.DONE)


@app.command()
def stop(home: Home) -> None:
    """Stop all training at this school, from the next order on."""
    _switch(home, on=True)
    print_lines("training is stopped at this school; `fedtrace school resume` allows it again")


@app.command()
def resume(home: Home) -> None:
    """Allow training at this school again."""
    _switch(home, on=False)
    print_lines("training is allowed at this school")


def _switch(home: Path, *, on: bool) -> None:
    from fedtrace.client.school import open_school

    with plain_errors(), open_school(home) as opened:
        opened.set_kill_switch(on, now=datetime.now(UTC))
