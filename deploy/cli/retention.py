"""``fedtrace school retention``: what is over its time, and how it goes."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from fedtrace.deploy.cli.options import Home, Json
from fedtrace.deploy.cli.output import (
    ExitCode,
    plain_errors,
    print_json,
    print_lines,
    say_next,
)

if TYPE_CHECKING:
    from fedtrace.client.retention import Due

app = typer.Typer(help="Records whose time is over.", no_args_is_help=True)


@app.callback()
def retention() -> None:
    """Records whose time is over: what is due, and its destruction with a certificate."""


@app.command()
def explain(json: Json = False) -> None:
    """Say what fedtrace keeps, at schools and at the consortium: why, how long, what removes it."""
    from fedtrace.deploy.register import register

    with plain_errors():
        kept = register()
    if json:
        print_json([each.model_dump(mode="json", by_alias=True) for each in kept])
        return
    for each in kept:
        print_lines(
            f"{each.place}: {each.name}\n  about {each.about}; {each.why}\n"
            f"  kept {each.keep} from {each.counted_from}\n  removed by {each.removed_by}"
        )
        if each.columns:
            names = "; ".join(f"{name}: {why}" for name, why in each.columns.items())
            print_lines(f"  {names}")


@app.command()
def due(home: Home, json: Json = False) -> None:
    """Say what is over its time; nothing is touched and nobody is named.

    Exit code 0: nothing is due; 1: something is, or a hold keeps it.
    """
    from fedtrace.client.home import open_school
    from fedtrace.client.retention import due as find

    with plain_errors(), open_school(home) as opened:
        found = find(opened, now=datetime.now(UTC))
    if json:
        print_json(_as_json(found))
    else:
        print_lines("\n".join(_lines(found)))
    if not found.nothing:
        say_next(f"fedtrace school retention apply --home {home} --yes destroys what is due")
    if not found.nothing or found.records.held or found.cohorts_held or found.unreadable_plans:
        raise typer.Exit(ExitCode.WARNING)


@app.command("apply")
def apply_(
    home: Home,
    yes: Annotated[
        bool, typer.Option("--yes", help="It cannot be undone, and that is understood.")
    ] = False,
    json: Json = False,
) -> None:
    """Destroy what is over its time, search the files for it, and sign a certificate.

    Cut off at any point, the same command finishes it. Run it every day; where nothing is due it
    does nothing.
    """
    from fedtrace.client.home import open_school
    from fedtrace.client.retention import destroy_due

    with plain_errors(), open_school(home) as opened:
        if not yes:
            raise ValueError(
                "what is destroyed cannot be brought back: look at `fedtrace school retention "
                "due`, then add --yes."
            )
        done = destroy_due(opened, now=datetime.now(UTC))
    if json:
        print_json(
            {
                "records": len(done.certificate.records) if done else 0,
                "cohorts": len(done.certificate.cohorts) if done else 0,
                "certificate": str(done.path) if done else None,
                "logged": done.logged if done else True,
            }
        )
        return
    if done is None:
        print_lines("nothing is over its time, and nothing was destroyed")
        return
    certificate = done.certificate
    print_lines(
        f"destroyed: {len(certificate.records):,} records, and who was in "
        f"{len(certificate.cohorts):,} rounds; {certificate.files} files with "
        f"{certificate.searched_bytes:,} bytes were searched, and nothing of it is left"
        + ("" if done.logged else "; the gate writes it into the log")
        + f"\nthe school's certificate of destruction is {done.path}"
    )
    say_next("let backups of keys.db that are older than today go: they can still open the records")


def _lines(found: Due) -> list[str]:
    lines = []
    if found.begun:
        lines.append("a destruction was begun and cut off: `apply` finishes it")
    records = found.records
    if records.due and records.oldest:
        lines.append(
            f"{len(records.due):,} records of students are over their time, the oldest since "
            f"{records.oldest:%Y-%m-%d}"
        )
    if records.cut_short:
        lines.append(f"{len(records.cut_short):,} erasures were cut off: `apply` finishes them")
    if found.cohorts:
        lines.append(f"who was in {len(found.cohorts):,} rounds is kept longer than their models")
    if records.held or found.cohorts_held:
        lines.append(
            f"{records.held:,} records and {found.cohorts_held:,} rounds are over their time and "
            "stay, because a hold forbids to destroy them: `fedtrace school hold list`"
        )
    if found.unreadable_plans:
        lines.append(
            f"{found.unreadable_plans:,} rounds belong to plans whose file is gone or damaged, so "
            "nobody knows how long to keep who was in them: restore plans/ from a backup"
        )
    if not lines:
        lines.append("nothing is over its time")
    if records.next_due:
        lines.append(f"the next record is on {records.next_due:%Y-%m-%d}")
    return lines


def _as_json(found: Due) -> dict[str, object]:
    records = found.records
    return {
        "records": len(records.due),
        "records_held": records.held,
        "erasures_cut_short": len(records.cut_short),
        "oldest": records.oldest.isoformat() if records.oldest else None,
        "next_due": records.next_due.isoformat() if records.next_due else None,
        "cohorts": len(found.cohorts),
        "cohorts_held": found.cohorts_held,
        "unreadable_plans": found.unreadable_plans,
        "begun": found.begun,
    }
