"""``fedtrace audit``: check the promises alone, offline, with public keys only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedtrace.deploy.cli import witness
from fedtrace.deploy.cli.documents import read_charter, read_document
from fedtrace.deploy.cli.output import console, plain_errors, print_checks, print_json, print_lines

if TYPE_CHECKING:
    from fedtrace.deploy.audit import FoundLog
    from fedtrace.governance.charter_history import CharterHistory
    from fedtrace.governance.log.verify import Line

app = typer.Typer(help="Check logs and promises offline.", no_args_is_help=True)
app.add_typer(witness.app, name="witness")


DEFAULT_EPSILON = 2.0


Html = Annotated[
    Path | None,
    typer.Option("--html", help="Write a page to read, print and file as well; a new file."),
]


class AttackChoice(StrEnum):
    """The attacks that can be tried."""

    ROW_LEAK = "row-leak"
    ONE_RUN = "one-run"
    LIRA = "lira"
    NOISE = "noise"


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
    html: Html = None,
) -> None:
    """Verify every log under PATH and hold them against each other.

    Prints one check a line, PASS, WARN or FAIL. Exit code 0: all pass; 1: something needs a
    person's eye; 2: a check failed.
    """
    from fedtrace.deploy.audit import verify_path

    with plain_errors():
        verdict = verify_path(path)
        if html is not None:
            _write_page(
                html,
                f"The logs in {path.resolve().name}",
                "fedtrace audit verify",
                verdict.lines,
                logs=verdict.logs,
                charters=verdict.charters,
            )
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


@app.command()
def reconcile(
    paths: Annotated[
        list[Path],
        typer.Argument(
            help="Homes, logs or exports: the consortium's or a copy of it, and schools'.",
            metavar="PATH...",
        ),
    ],
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead of lines.")] = False,
    html: Html = None,
) -> None:
    """Hold logs from several places against each other, and say who has to explain a difference.

    Exit code 0: they tell the same; 1: something needs a person's eye; 2: they do not.
    """
    from fedtrace.deploy.reconcile import reconcile as hold_together

    with plain_errors():
        found = hold_together(paths)
        if html is not None:
            told = [replace(each.line, sentence=each.sentence) for each in found.findings]
            _write_page(
                html,
                f"Logs from {len(paths)} places",
                "fedtrace audit reconcile",
                told,
                logs=found.logs,
                charters=found.charters,
            )
    if json:
        print_json(
            {
                "exit_code": found.exit_code,
                "lines": [
                    {
                        "status": each.line.status,
                        "check": each.line.check,
                        "sentence": each.line.sentence,
                        "explains": each.explains,
                    }
                    for each in found.findings
                ],
            }
        )
    else:
        print_checks((each.line.status, each.sentence) for each in found.findings)
    raise typer.Exit(found.exit_code)


@app.command("cohort-proof")
def cohort_proof(
    file: Annotated[Path, typer.Argument(help="The proof that a school gave.", metavar="FILE")],
    charter: Annotated[Path, typer.Option(help="charter.json, of the consortium.")],
) -> None:
    """Say what a school's proof about a student and a round shows; offline.

    Exit code 0: the proof holds; 2: it does not.
    """
    from fedtrace.governance.cohort import CohortProof, verify_cohort_proof
    from fedtrace.governance.witnessing import school_origin

    with plain_errors():
        proof = CohortProof.from_bytes(read_document(file))
        rules = read_charter(charter)
        keys = {member.name: member.log_public_key for member in rules.members}
        if proof.school not in keys:
            raise ValueError(f"the charter does not name the school {proof.school}.")
        answers = verify_cohort_proof(
            proof, origin=school_origin(rules, proof.school), public_key=keys[proof.school]
        )
    print_checks(("PASS", f"{proof.school}: {answer.sentence}.") for answer in answers)
    print_lines(f"the student is {proof.student} in everything that the school gives out")


@app.command()
def certificate(
    file: Annotated[Path, typer.Argument(help="A certificate of destruction.", metavar="FILE")],
    charter: Annotated[Path, typer.Option(help="charter.json, of the consortium.")],
    log: Annotated[
        Path | None,
        typer.Option("--log", help="The school's home, log or export, to hold it against."),
    ] = None,
) -> None:
    """Check a school's certificate of destruction, offline.

    Exit code 0: the school signed it, and its log tells of all that; 1: no log was given; 2: it is
    not the school's, or its log does not tell of it.
    """
    from fedtrace.deploy.certifying import check_certificate
    from fedtrace.governance.log.verify import exit_code

    with plain_errors():
        lines = check_certificate(read_document(file), read_charter(charter), log)
    print_checks((line.status, line.sentence) for line in lines)
    raise typer.Exit(exit_code(lines))


@app.command()
def prove(
    path: Annotated[Path, typer.Argument(help="A home, a log or an export: one log.")],
    entry: Annotated[int, typer.Option("--entry", min=0, help="Which entry, from 0.")],
    to: Annotated[
        Path | None, typer.Option("--to", help="The file; entry-<N>.tlog-proof if absent.")
    ] = None,
) -> None:
    """Write a proof that an entry is in a log, for somebody who does not have the log.

    The file follows C2SP's tlog-proof and holds the entry, its path and the checkpoint with its
    cosignatures. `fedtrace audit check` checks it offline.
    """
    from fedtrace.deploy.proving import prove_entry

    target = to or Path(f"entry-{entry}.tlog-proof")
    with plain_errors():
        proof = prove_entry(path, entry)
        target.write_bytes(proof.to_bytes())
    print_lines(
        f"Entry {entry} is proven in {target}. Check it with: fedtrace audit check {target}"
    )


@app.command()
def check(
    proof: Annotated[Path, typer.Argument(help="A .tlog-proof file.")],
    trust: Annotated[
        Path,
        typer.Option(
            "--trust", help="The charter, or a trust policy in C2SP's tlog-policy format."
        ),
    ] = Path("charter.json"),
) -> None:
    """Check a proof, offline and without the log.

    Exit code 0: the entry is in the log, and enough witnesses saw it; 1: nobody witnessed it; 2: it
    is not shown to be there.
    """
    from fedtrace.deploy.proving import check_proof
    from fedtrace.governance.log.verify import exit_code

    lines = check_proof(proof, trust)
    print_checks((line.status, line.sentence) for line in lines)
    raise typer.Exit(exit_code(lines))


@app.command()
def export(
    path: Annotated[Path, typer.Argument(help="A home, a folder of homes, or one log.")],
    to: Annotated[Path, typer.Option("--to", help="A folder that is not there yet.")],
) -> None:
    """Write logs as C2SP tiles, with the charter and trust policies: no key, no record.

    It is what a privacy officer can be given. Of a school's home it is its own log and its copy of
    the consortium's. Any program that reads tlog-tiles can read them, and any web server can hand
    them out; `fedtrace audit verify` reads them as it reads a home.
    """
    from fedtrace.deploy.proving import export_logs

    with plain_errors():
        entries = export_logs(path, to)
    print_lines(f"{entries} entries are in {to}. Check them with: fedtrace audit verify {to}")


@app.command()
def page(
    out: Annotated[Path, typer.Option("--out", help="The file, such as check.html.")],
) -> None:
    """Write a second verifier: one HTML page that checks a bundle in a browser, without a network.

    It was written from the formats, shares no code with `fedtrace audit verify`, and names what it
    does not check.
    """
    from fedtrace.deploy.verifier.page import verifier_page

    with plain_errors():
        out.write_text(verifier_page(), encoding="utf-8")
    print_lines(f"Open {out} in a browser and choose the folder that you received.")


@app.command()
def attack(
    name: Annotated[
        AttackChoice,
        typer.Argument(
            metavar="ATTACK",
            help=(
                "row-leak: read a student's answers off an update; one-run: tell canary students "
                "apart; lira: find the students behind a released model; noise: test the noise."
            ),
        ),
    ],
    epsilon: Annotated[
        float | None,
        typer.Option(
            "--epsilon",
            min=0.01,
            max=1000,
            help="What the attacked job claims, at delta 1e-5; 2 if absent.",
        ),
    ] = None,
    model: Annotated[
        Path | None,
        typer.Option(
            help="A released model's folder: attack what its card claims, and say so in it."
        ),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option("--seed", min=0, help="Repeatable noise; the operating system's if absent."),
    ] = None,
    short: Annotated[bool, typer.Option("--short", help="A smaller attack, in seconds.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead of sentences.")] = False,
) -> None:
    """Attack what this code releases about simulated students, with privacy on and off.

    Exit code 0: the claim held where privacy is on and was broken where it is off; 1: it was not
    broken where privacy is off, so the attack says nothing; 2: the claim was broken.
    """
    from fedtrace.deploy.attacks.attacks import carry_out
    from fedtrace.deploy.attacks.finding import AttackSettings
    from fedtrace.deploy.attacks.record import claimed_epsilon, record

    with plain_errors():
        if model is not None and epsilon is not None:
            raise ValueError("--model brings the epsilon of its card: leave out --epsilon")
        claimed = claimed_epsilon(model) if model else epsilon or DEFAULT_EPSILON
        with console().status(f"attacking: {name}"):
            found = carry_out(name, AttackSettings(epsilon=claimed, seed=seed, short=short))
        if model:
            record(found, model, epsilon=claimed)
    if json:
        print_json(found.as_json())
    else:
        print_lines(f"tried: {found.tried}\nbound: {found.bound}")
        print_checks((finding.status, finding.sentence) for finding in found.findings)
    raise typer.Exit(found.exit_code)


def _write_page(
    path: Path,
    title: str,
    command: str,
    lines: Sequence[Line],
    *,
    logs: Sequence[FoundLog],
    charters: CharterHistory | None,
) -> None:
    """The page of a verdict; a file that is there is not replaced, it may be filed evidence."""
    from fedtrace.deploy.report.verdict import verdict_page

    page = verdict_page(title, command, lines, logs=logs, charters=charters, now=datetime.now(UTC))
    with path.open("x", encoding="utf-8") as file:
        file.write(page)
