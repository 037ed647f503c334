"""``fedtrace school consent`` and ``fedtrace school hold``: who agreed, and what must be kept."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, get_args

import typer

from fedtrace.deploy.cli.options import Home, Json, Student
from fedtrace.deploy.cli.output import (
    ExitCode,
    plain_errors,
    print_json,
    print_lines,
    say_next,
)
from fedtrace.governance.consent import PURPOSES, Authority, ConsentState, Item, standing
from fedtrace.governance.log.entries import HoldMatter
from fedtrace.governance.plan import Purpose

if TYPE_CHECKING:
    from fedtrace.client.consent import Notice

app = typer.Typer(help="Who agreed to what.", no_args_is_help=True)
holds = typer.Typer(help="Records that may be neither used nor erased.", no_args_is_help=True)

NoticeFile = Annotated[
    Path | None, typer.Option("--notice", help="The notice that people were given before.")
]
NoticeLanguage = Annotated[
    str, typer.Option("--language", help="The notice's language, such as en or es-MX.")
]
Items = Annotated[list[Item] | None, typer.Option("--item", help="One item; may be repeated.")]
Purposes = Annotated[
    list[str] | None, typer.Option("--purpose", help="One purpose; may be repeated.")
]


@app.callback()
def consent() -> None:
    """Who agreed to what: kept encrypted in the school's vault, asked before every round."""


@app.command("import")
def import_(
    csv: Annotated[Path, typer.Argument(help="The office's list.", metavar="CSV")],
    home: Home,
    notice: NoticeFile = None,
    language: NoticeLanguage = "en",
) -> None:
    """Take in a list of consents, whole or not at all; import the students' records first.

    Exit code 0: all lines were taken in; 1: some were about students who are not here.
    """
    from fedtrace.client.home import open_school
    from fedtrace.client.students import import_consent

    now = datetime.now(UTC)
    with plain_errors(), open_school(home) as opened:
        read, effect = import_consent(opened, csv, notice=_notice(notice, language), now=now)
    print_lines(f"consents of {len(read.changes):,} students recorded: {effect.sentence}")
    if read.unknown_lines:
        say_next(
            f"{len(read.unknown_lines):,} lines are about students of whom no record is here, and "
            f"were not stored (lines {read.unknown}): import their records, then this list again, "
            "before the gate is started"
        )
        raise typer.Exit(ExitCode.WARNING)


@app.command()
def record(
    student: Student,
    home: Home,
    state: Annotated[ConsentState, typer.Option(help="What was said.")],
    authority: Annotated[Authority, typer.Option(help="Who said it.")],
    purpose: Purposes = None,
    item: Items = None,
    valid_until: Annotated[str, typer.Option(help="A consent ends on this date.")] = "",
    authority_until: Annotated[
        str, typer.Option(help="This person speaks for the student until this date.")
    ] = "",
    notice: NoticeFile = None,
    language: NoticeLanguage = "en",
    evidence: Annotated[
        Path | None, typer.Option(help="The signed form; only its digest is kept.")
    ] = None,
) -> None:
    """Write down what somebody said about one student, a purpose and an item at a time."""
    from fedtrace.client.consent import read_moment
    from fedtrace.client.home import open_school
    from fedtrace.client.students import record_consent
    from fedtrace.governance.canonical import digest

    with plain_errors(), open_school(home) as opened:
        if not (purpose and item):
            raise ValueError(
                "name what was said: --purpose and --item, each as often as needed. "
                f"Purposes are {', '.join(PURPOSES)}; items are {', '.join(Item)}."
            )
        effect = record_consent(
            opened,
            student,
            state=state,
            authority=authority,
            now=datetime.now(UTC),
            purposes=_known(purpose),
            items=tuple(item),
            notice=_notice(notice, language) if state is ConsentState.GIVEN else None,
            valid_until=read_moment(valid_until, "--valid-until"),
            authority_until=read_moment(authority_until, "--authority-until"),
            evidence=digest(evidence.read_bytes()) if evidence else None,
        )
    print_lines(f"recorded as {state}: {effect.sentence}")


@app.command()
def withdraw(
    student: Student,
    home: Home,
    authority: Annotated[Authority, typer.Option(help="Who withdraws.")] = Authority.GUARDIAN,
    purpose: Purposes = None,
    item: Items = None,
) -> None:
    """Take a student out of all rounds to come; everything is withdrawn if nothing is named."""
    from fedtrace.client.home import open_school
    from fedtrace.client.students import record_consent

    with plain_errors(), open_school(home) as opened:
        effect = record_consent(
            opened,
            student,
            state=ConsentState.WITHDRAWN,
            authority=authority,
            now=datetime.now(UTC),
            purposes=_known(purpose) if purpose else PURPOSES,
            items=tuple(item) if item else tuple(Item),
        )
    print_lines(
        f"withdrawn: {effect.sentence}\nwhat models learnt from this student before is bounded "
        "by the plans' epsilon; it cannot be taken out of them"
    )


@app.command("list")
def list_(home: Home, json: Json = False) -> None:
    """Say how many students stand where, by purpose and item; nobody is named."""
    from fedtrace.client.home import open_school
    from fedtrace.client.students import consent_counts

    with plain_errors(), open_school(home) as opened:
        counts = consent_counts(opened, now=datetime.now(UTC))
    if json:
        print_json([count.as_json() for count in counts])
        return
    print_lines("\n".join(count.sentence for count in counts) or "nothing is on file")


@app.command()
def show(student: Student, home: Home, json: Json = False) -> None:
    """Show everything that is on file about one student's consent."""
    from fedtrace.client.home import open_school
    from fedtrace.client.students import consent_history

    with plain_errors(), open_school(home) as opened:
        history = consent_history(opened, student)
    if json:
        print_json([record.model_dump(mode="json") for record in history])
        return
    stands = set(map(id, standing(history).values()))
    lines = [
        f"{each.recorded_at:%Y-%m-%d} {each.state}: {each.item} for {each.purpose}, by "
        f"{each.authority}"
        + (f", valid until {each.valid_until:%Y-%m-%d}" if each.valid_until else "")
        + ("" if id(each) in stands else " (replaced since)")
        for each in history
    ]
    print_lines("\n".join(lines) or "nothing is on file about this student")


@holds.callback()
def hold() -> None:
    """Records that may be neither used nor erased, until a person lifts the hold."""


@holds.command()
def place(
    home: Home,
    matter: Annotated[str, typer.Option(help=f"Why: {', '.join(get_args(HoldMatter))}.")],
    student: Annotated[
        str | None, typer.Option("--student", help="The school's own number.")
    ] = None,
    everybody: Annotated[
        bool, typer.Option("--everybody", help="All records of the school.")
    ] = False,
) -> None:
    """Hold the records of one student or of everybody: no training with them, no erasure."""
    from fedtrace.client.home import open_school
    from fedtrace.client.students import place_hold

    with plain_errors(), open_school(home) as opened:
        known = next((each for each in get_args(HoldMatter) if each == matter), None)
        if known is None:
            raise ValueError(f"--matter must be one of {', '.join(get_args(HoldMatter))}.")
        if everybody == (student is not None):
            raise ValueError("name one student with --student, or all with --everybody.")
        placed, effect = place_hold(opened, student, matter=known, now=datetime.now(UTC))
    print_lines(f"hold {placed.request} is placed: {effect.sentence}")
    say_next(f"fedtrace school hold lift {placed.request} --home {home} ends it")


@holds.command()
def lift(
    request: Annotated[str, typer.Argument(help="The hold's name.", metavar="HOLD")],
    home: Home,
    yes: Annotated[
        bool, typer.Option("--yes", help="The privacy officer has agreed to it.")
    ] = False,
) -> None:
    """End a hold; what it kept may be used and erased again."""
    from fedtrace.client.home import open_school
    from fedtrace.client.students import lift_hold

    with plain_errors(), open_school(home) as opened:
        if not yes:
            raise ValueError(
                "a lifted hold lets records be used and erased: ask the privacy officer, then "
                "add --yes."
            )
        effect = lift_hold(opened, request, now=datetime.now(UTC))
    print_lines(f"the hold is lifted: {effect.sentence}")


@holds.command("list")
def list_holds(home: Home, json: Json = False) -> None:
    """List the holds in force; students are not named."""
    from fedtrace.client.home import open_school

    with plain_errors(), open_school(home) as opened:
        found = opened.vault.holds.all()
    if json:
        print_json(
            [
                {
                    "hold": each.request,
                    "scope": each.scope,
                    "matter": each.matter,
                    "placed_at": each.placed_at.isoformat(),
                }
                for each in found
            ]
        )
        return
    lines = [
        f"{each.request}: {each.scope}, {each.matter}, since {each.placed_at:%Y-%m-%d}"
        for each in found
    ]
    print_lines("\n".join(lines) or "no hold is in force")


def _notice(path: Path | None, language: str) -> Notice | None:
    from fedtrace.client.consent import Notice
    from fedtrace.governance.canonical import digest

    return None if path is None else Notice(digest=digest(path.read_bytes()), language=language)


def _known(purposes: list[str]) -> tuple[Purpose, ...]:
    """The purposes that a person named.

    Raises:
        ValueError: one that no plan can have.
    """
    if not set(purposes) <= set(PURPOSES):
        raise ValueError(f"--purpose must be one of {', '.join(PURPOSES)}.")
    return tuple(each for each in PURPOSES if each in purposes)
