"""``fedtrace plan``: read, check and sign what a training job may do."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from fedtrace.deploy.cli.options import Json
from fedtrace.deploy.cli.output import ExitCode, plain_errors, print_json, print_lines
from fedtrace.governance.charter import Charter
from fedtrace.governance.explain import explain as explain_plan
from fedtrace.governance.lint import lint as lint_plan
from fedtrace.governance.plan import Plan, load_toml
from fedtrace.governance.plan_signing import join_plan, sign_plan
from fedtrace.governance.signing import Signer

app = typer.Typer(help="Read, check and sign plans.", no_args_is_help=True)

PlanFile = Annotated[Path, typer.Argument(help="The plan, as TOML.", metavar="PLAN.toml")]


@app.callback()
def plan() -> None:
    """Read, check and sign plans: what one training job may do."""


@app.command()
def lint(
    path: PlanFile,
    charter: Annotated[
        Path | None, typer.Option(help="The consortium's charter.json, to check members against.")
    ] = None,
    json: Json = False,
) -> None:
    """Look for clauses that are missing or contradict each other.

    Recomputes epsilon from noise, sampling rate and rounds. Exit code 0: nothing found; 1: only
    warnings; 2: an error, and no school should sign this.
    """
    from fedtrace.privacy.accounting import epsilon

    with plain_errors():
        findings = lint_plan(
            _load(path),
            epsilon=epsilon,
            now=datetime.now(UTC),
            charter=Charter.from_bytes(charter.read_bytes()) if charter else None,
        )
    if json:
        print_json(
            [{"level": f.level, "clause": f.clause, "sentence": f.sentence} for f in findings]
        )
    else:
        lines = [f"{found.level:7}  {found.clause}: {found.sentence}" for found in findings]
        print_lines("\n".join(lines or ["nothing found: every clause is there and they agree"]))
    levels = {found.level for found in findings}
    raise typer.Exit(
        ExitCode.BAD_INPUT if "error" in levels else ExitCode.WARNING if levels else ExitCode.DONE
    )


@app.command()
def explain(
    path: PlanFile,
    previous: Annotated[
        Path | None, typer.Option(help="The version before, to show what changed.")
    ] = None,
) -> None:
    """Say on one page, in plain words, what a plan allows and what it promises."""
    from fedtrace.privacy.accounting import epsilon, epsilon_sentence

    with plain_errors():
        page = explain_plan(
            _load(path),
            epsilon=epsilon,
            sentence=epsilon_sentence,
            previous=_load(previous) if previous else None,
        )
    print_lines(page)


@app.command()
def sign(
    path: PlanFile,
    key: Annotated[Path, typer.Option(help="The school's private key: keys/school.pem.")],
    envelope: Annotated[
        Path | None,
        typer.Option(help="Where the signed plan is; a plan that others signed is joined."),
    ] = None,
) -> None:
    """Sign a plan for a school; writes PLAN.dsse.json beside it, or adds to the one there."""
    with plain_errors():
        document = _load(path)
        signer = Signer.from_pem(key.read_bytes())
        target = envelope or path.with_suffix(".dsse.json")
        signed = (
            join_plan(target.read_bytes(), document, signer)
            if target.exists()
            else sign_plan(document, [signer])
        )
        staged = target.with_name(f".{target.name}.tmp")
        staged.write_bytes(signed)
        staged.replace(target)
    print_lines(f"signed {document.digest()}\nwritten to {target}")


def _load(path: Path) -> Plan:
    return load_toml(path.read_text("utf-8"))
