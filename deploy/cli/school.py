"""``fedtrace school``: what a school's IT does with its own node."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from fedtrace.client.ingest.formats import Format
from fedtrace.deploy.cli import consent, retention
from fedtrace.deploy.cli.charter import school_app as charter
from fedtrace.deploy.cli.documents import (
    naming,
    read_catalogue,
    read_document,
    read_policy,
    read_text,
)
from fedtrace.deploy.cli.enrolment import join, leave
from fedtrace.deploy.cli.options import Home, Json, Student
from fedtrace.deploy.cli.output import (
    RUNBOOK,
    ExitCode,
    fail,
    plain_errors,
    print_json,
    print_lines,
    say_next,
)
from fedtrace.deploy.cli.recovery import backup_school, drill_school, restore_school
from fedtrace.deploy.cli.serving import connect, doctor, run
from fedtrace.governance.errors import Corrupt

app = typer.Typer(help="A school's own node: records, plans, status.", no_args_is_help=True)
app.command()(join)
app.command()(leave)
app.command()(connect)
app.command()(doctor)
app.command()(run)
app.command("backup")(backup_school)
app.command("restore")(restore_school)
app.command("drill")(drill_school)
app.add_typer(charter, name="charter")
app.add_typer(consent.app, name="consent")
app.add_typer(consent.holds, name="hold")
app.add_typer(retention.app, name="retention")

_AFTERWARDS = {True: "", False: "; the gate, which has the log open, writes it down"}


@app.callback()
def school() -> None:
    """A school's own node: its records, its plans, its status."""


@app.command("import")
def import_(
    export: Annotated[Path, typer.Argument(help="The export, also as .gz or .xz.", metavar="FILE")],
    home: Home,
    catalogue: Annotated[Path, typer.Option(help="The plan's catalogue.json: names of skills.")],
    mapping: Annotated[
        Path | None, typer.Option(help="A mapping file, as TOML, for a CSV of your own.")
    ] = None,
    format_: Annotated[
        Format, typer.Option("--format", help="What the file is; told by its beginning if absent.")
    ] = Format.AUTO,
    kc_model: Annotated[
        str | None, typer.Option(help="DataShop: the KC model that names the skills.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Report what would be kept; store nothing.")
    ] = False,
    json: Json = False,
) -> None:
    """Import student records; every field that the format does not need is dropped unread.

    Exit code 0: all rows were used; 1: some rows were rejected, with the reasons, or none was kept.
    """
    from fedtrace.client.home import open_school
    from fedtrace.client.ingest.assistments import ASSISTMENTS_2009
    from fedtrace.client.ingest.formats import layout_of
    from fedtrace.client.ingest.mapping import load_mapping

    with plain_errors(), open_school(home) as opened:
        columns = None
        if mapping is not None:
            text = read_text(mapping)
            with naming(mapping):
                columns = load_mapping(text)
        skills = read_catalogue(catalogue)
        with naming(export):
            layout = layout_of(export, format_, mapping=columns, kc_model=kc_model)
        with naming(export), _own_columns(guessed=layout is ASSISTMENTS_2009):
            report = opened.import_csv(
                export, layout, skills, now=datetime.now(UTC), dry_run=dry_run
            )
    if json:
        print_json(report.model_dump(mode="json"))
    else:
        print_lines("\n".join(report.lines()))
    if report.rows_rejected:
        say_next("look at the lines named above; correct the export or the mapping, import again")
    elif not report.students:
        say_next(f"{export} has no row with an answer: look at the export")
    needs_a_person = report.rows_rejected or not report.students
    raise typer.Exit(ExitCode.WARNING if needs_a_person else ExitCode.DONE)


@contextmanager
def _own_columns(*, guessed: bool) -> Iterator[None]:
    """Where neither mapping nor format fits, say whose columns were looked for.

    Raises:
        ValueError: the same, with what to do.
    """
    try:
        yield
    except ValueError as error:
        if not guessed:
            raise
        raise ValueError(
            f"{error}; without --mapping the columns of ASSISTments 2009 are read, so name yours "
            "in a mapping file (docs/formats/csv-mapping.md)"
        ) from error


@app.command()
def accept(
    envelope: Annotated[Path, typer.Argument(help="The signed plan.", metavar="PLAN.dsse.json")],
    home: Home,
    catalogue: Annotated[Path, typer.Option(help="The plan's catalogue.json.")],
) -> None:
    """Take part in a plan that enough schools have signed, this one among them.

    Exit code 0: accepted; 1: accepted, but the school's own policy does not allow what it says.
    """
    from fedtrace.client.home import open_school
    from fedtrace.governance.checks import against_policy
    from fedtrace.governance.plan import PLAN_TYPE
    from fedtrace.governance.signing import unverified_payload

    with plain_errors(), open_school(home) as opened:
        content = read_document(envelope)
        with naming(envelope):
            unverified_payload(content, PLAN_TYPE)  # another kind of file is not a refusal
        signed = opened.accept_plan(
            content, read_catalogue(catalogue).to_json(), now=datetime.now(UTC)
        )
        policy = opened.rules.policy
    print_lines(
        f"accepted {signed.plan.name}, {signed.digest}\nsigned by {', '.join(signed.signers)}"
    )
    if (refused := against_policy(signed.plan, policy)) is not None:
        print_lines(f"! this school will refuse every order of it: {refused}")
        say_next(
            "read the plan with fedtrace plan explain. If the school wants to take part, allow it "
            f"in its policy (fedtrace school policy --home {home}), before the job is started"
        )
        raise typer.Exit(ExitCode.WARNING)
    say_next(f"fedtrace school status --home {home} says whether everything is ready")


@app.command()
def policy(
    document: Annotated[Path, typer.Argument(help="The policy, as TOML.", metavar="POLICY.toml")],
    home: Home,
) -> None:
    """Set the school's bounds: signed, logged, in force when the gate starts next."""
    from fedtrace.client.home import change_policy

    with plain_errors():
        read = read_policy(document)
        change_policy(home, read, now=datetime.now(UTC))
    print_lines(f"the policy of {read.school} is {read.digest()}")
    say_next(f"start the gate again; fedtrace school status --home {home} says what is in force")


@app.command()
def status(home: Home, json: Json = False) -> None:
    """Say how the node is: records, plans, what has been spent, whether training is stopped.

    Exit code 0: ready to train; 1: something needs a person.
    """
    from fedtrace.client.home import open_school
    from fedtrace.deploy.status import school_status

    with plain_errors(), open_school(home) as opened:
        found = school_status(opened, now=datetime.now(UTC))
    if json:
        print_json(found.as_json())
    else:
        print_lines("\n".join(found.lines()))
    raise typer.Exit(ExitCode.WARNING if found.problems else ExitCode.DONE)


@app.command()
def budget(
    home: Home,
    export: Annotated[
        Path | None, typer.Option(help="Write the signed ledger into this new file.")
    ] = None,
    import_: Annotated[
        Path | None, typer.Option("--import", help="Add the entries of such a file.")
    ] = None,
    json: Json = False,
) -> None:
    """Say what has been spent on a student, what is left, and how far the plans still get.

    Exit code 0: everything that is planned fits; 1: a plan will end early.
    """
    from fedtrace.client.files import write_private
    from fedtrace.client.home import open_school
    from fedtrace.client.ledger_export import export_ledger, import_ledger
    from fedtrace.deploy.budget import school_budget

    with plain_errors(), open_school(home) as opened:
        if import_ is not None:
            content = import_.read_bytes()
            with naming(import_):
                added = import_ledger(content, opened)
            say_next(f"{added} entries of {import_} were added to the ledger")
        if export is not None:
            write_private(export, export_ledger(opened))
        found = school_budget(opened, now=datetime.now(UTC))
    if json:
        print_json(found.as_json())
    else:
        print_lines("\n".join(found.lines()))
    raise typer.Exit(ExitCode.WARNING if found.is_spent else ExitCode.DONE)


@app.command("cohort-proof")
def cohort_proof(
    student: Student,
    home: Home,
    round_number: Annotated[int, typer.Option("--round", min=1, help="Which round.")],
    out: Annotated[Path, typer.Option(help="The new file for the proof.")],
) -> None:
    """Prove whether a student could be drawn for a round; the proof can be checked offline."""
    from fedtrace.client.files import write_private
    from fedtrace.client.home import open_school
    from fedtrace.client.proofs import cohort_proof

    with plain_errors(), open_school(home) as opened:
        if out.exists():
            raise ValueError(f"{out} is there already: choose another --out.")
        proof = cohort_proof(opened, student, round_number=round_number, now=datetime.now(UTC))
        write_private(out, proof.to_bytes())
    print_lines(f"the proof is in {out}")
    say_next(f"fedtrace audit cohort-proof {out} --charter charter.json says what it shows")


@app.command()
def access(
    student: Student,
    home: Home,
    out: Annotated[Path, typer.Option(help="The new ZIP file.")],
) -> None:
    """Write down everything that the school holds about one student, for them or a guardian."""
    from fedtrace.client.home import open_school
    from fedtrace.client.proofs import log_access
    from fedtrace.deploy.access import everything_about, write_package

    now = datetime.now(UTC)
    with plain_errors(), open_school(home) as opened:
        if out.exists():
            raise ValueError(f"{out} is there already: choose another --out.")
        if opened.vault.token_of(student) is None and opened.vault.is_erased(student):
            raise ValueError(
                "the record of this student was destroyed on request; the school holds a keyed "
                "hash that keeps it from coming back, and nothing else."
            )
        found = everything_about(opened, student, now=now)
        log_access(opened, found.student, "everything", now=now)
        write_package(found, opened.rules.charter.to_bytes(), out)
    print_lines(f"everything about the student is in {out}, with a page to read: index.html")
    say_next(
        "give it to the student or the guardian in a way that nobody else can read, then "
        "delete the file"
    )


@app.command()
def erase(
    student: Student,
    home: Home,
    yes: Annotated[
        bool, typer.Option("--yes", help="It cannot be undone, and that is understood.")
    ] = False,
    json: Json = False,
) -> None:
    """Destroy one student's record and consents, and keep later imports from bringing them back."""
    from fedtrace.client.home import open_school
    from fedtrace.client.students import erase_student

    now = datetime.now(UTC)
    with plain_errors(), open_school(home) as opened:
        if not yes:
            raise ValueError(
                "an erased record cannot be brought back: check the number, then add --yes."
            )
        evidence, certificate, effect = erase_student(opened, student, now=now)
    if json:
        print_json(
            {
                "erased_at": now.isoformat(),
                **asdict(evidence),
                "certificate": str(certificate) if certificate else None,
            }
        )
        return
    print_lines(
        f"erased: {evidence.files} files with {evidence.searched_bytes:,} bytes were searched, and "
        f"nothing of the record is left; {effect.sentence}\nwhat models learnt from this student "
        "before is bounded by the plans' epsilon; it cannot be taken out of them"
    )
    if certificate:
        print_lines(f"the school's certificate of destruction is {certificate}")
    say_next("erase the student in your backups of keys.db too: keep those for a short time only")


@app.command()
def stop(home: Home) -> None:
    """Stop all training at this school, from the next order on."""
    from fedtrace.client.home import open_school

    with plain_errors(), open_school(home) as opened:
        try:
            logged = opened.set_kill_switch(True, now=datetime.now(UTC))
        except Corrupt as error:
            fail(f"training is stopped, but {error}. {RUNBOOK}", ExitCode.CORRUPT)
    print_lines("training is stopped at this school" + _AFTERWARDS[logged])
    say_next(f"fedtrace school resume --home {home} allows it again")


@app.command()
def resume(home: Home) -> None:
    """Allow training at this school again."""
    from fedtrace.client.home import open_school

    with plain_errors(), open_school(home) as opened:
        logged = opened.set_kill_switch(False, now=datetime.now(UTC))
    print_lines("training is allowed at this school" + _AFTERWARDS[logged])
