"""``fedtrace plan``: read, check and sign what a training job may do."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from fedtrace.deploy.cli.documents import any_plan, read_catalogue, read_charter, read_plan
from fedtrace.deploy.cli.options import Epsilon, Json, Seed, Trust, TrustChoice
from fedtrace.deploy.cli.output import (
    ExitCode,
    plain_errors,
    print_json,
    print_lines,
    say_next,
)
from fedtrace.deploy.cli.plan_life import AnyPlan, diff, revoke, status
from fedtrace.deploy.cli.plan_signing import CharterFile, PlanFile, findings_of, propose, sign
from fedtrace.governance.explain import explain as explain_plan
from fedtrace.governance.label import privacy_label
from fedtrace.governance.lint import job_epsilon
from fedtrace.governance.witnessing import witness_sentence

app = typer.Typer(help="Read, check and sign plans.", no_args_is_help=True)


@app.callback()
def plan() -> None:
    """Read, check and sign plans: what one training job may do."""


for command in (propose, sign, diff, status, revoke):
    app.command()(command)


@app.command()
def new(
    name: Annotated[str, typer.Argument(help="What people will call it.", metavar="NAME")],
    charter: Annotated[Path, typer.Option(help="The consortium's charter.json.")],
    catalogue: Annotated[Path, typer.Option(help="catalogue.json: names of skills.")],
    students: Annotated[
        int, typer.Option(min=1, help="Public number of training students of all schools.")
    ],
    epsilon: Epsilon = 2.0,
    trust: Trust = TrustChoice.DISTRIBUTED,
    rounds: Annotated[int | None, typer.Option(min=1, help="Training rounds.")] = None,
    days: Annotated[int, typer.Option(min=1, max=730, help="How long it is valid.")] = 365,
    seed: Seed = 0,
    out: Annotated[Path, typer.Option(help="The folder for both files.")] = Path(),
) -> None:
    """Propose a plan from public numbers: schools, students, skills, epsilon.

    Writes NAME.toml, to be read and changed by people, and NAME.initial.safetensors, the
    parameters that round 1 starts from. No student's record is looked at.
    """
    from fedtrace.deploy.planning import proposed_plan, toml_of

    with plain_errors():
        members = tuple(member.name for member in read_charter(charter).members)
        skills = read_catalogue(catalogue)
        plan_file, parameters = out / f"{name}.toml", out / f"{name}.initial.safetensors"
        for path in (plan_file, parameters):
            if path.exists():
                raise FileExistsError(f"{path} is there already")
        first = datetime.now(UTC).replace(microsecond=0)
        drafted, initial = proposed_plan(
            name,
            members,
            skills,
            students=students,
            epsilon=epsilon,
            trust_mode=trust.value,
            rounds=rounds,
            seed=seed,
            valid_from=first,
            valid_until=first + timedelta(days=days),
        )
        parameters.write_bytes(initial)
        plan_file.write_text(toml_of(drafted), encoding="utf-8")
    print_lines(
        f"{plan_file}: {drafted.model.architecture}, {drafted.rounds.count} rounds, "
        f"epsilon {drafted.privacy.epsilon_job:g} for one student, trust mode "
        f"{drafted.privacy.trust_mode}\n{parameters}: the parameters of round 1"
    )
    say_next(
        f"read and change {plan_file}, then fedtrace plan lint {plan_file} --charter {charter}"
    )


@app.command()
def lint(path: PlanFile, charter: CharterFile = None, json: Json = False) -> None:
    """Look for clauses that are missing or contradict each other.

    Recomputes epsilon from noise, sampling rate and rounds. Exit code 0: nothing found; 1: only
    warnings; 2: an error, and no school should sign this.
    """
    with plain_errors():
        rules = read_charter(charter) if charter else None
        findings = findings_of(read_plan(path), rules)
    if json:
        print_json(
            [{"level": f.level, "clause": f.clause, "sentence": f.sentence} for f in findings]
        )
    else:
        lines = [f"{found.level:7}  {found.clause}: {found.sentence}" for found in findings]
        print_lines("\n".join(lines or ["nothing found: every clause is there and they agree"]))
        if rules is not None:
            print_lines(f"witnesses: {witness_sentence(rules)}")
    levels = {found.level for found in findings}
    raise typer.Exit(
        ExitCode.BAD_INPUT if "error" in levels else ExitCode.WARNING if levels else ExitCode.DONE
    )


@app.command()
def explain(
    path: AnyPlan,
    previous: Annotated[
        Path | None, typer.Option(help="The version before, to show what changed.")
    ] = None,
    label: Annotated[
        bool, typer.Option("--label", help="Print the privacy label after NIST SP 800-226 instead.")
    ] = False,
) -> None:
    """Say on one page, in plain words, what a plan allows and promises; it may be signed."""
    with plain_errors():
        from fedtrace.privacy.accounting import epsilon, epsilon_sentence

        if label:
            plan = any_plan(path)
            lines = privacy_label(plan, epsilon=job_epsilon(plan, epsilon))
            print_lines("\n".join(f"{question}: {answer}" for question, answer in lines.items()))
            return
        page = explain_plan(
            any_plan(path),
            epsilon=epsilon,
            sentence=epsilon_sentence,
            previous=any_plan(previous) if previous else None,
        )
    print_lines(page)
