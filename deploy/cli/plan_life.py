"""``fedtrace plan diff | status | revoke``: what becomes of a plan after it was written."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from fedtrace.deploy.cli.documents import (
    any_plan,
    naming,
    read_charter,
    read_document,
    write_agreement,
)
from fedtrace.deploy.cli.key import SigningKey, signer_of
from fedtrace.deploy.cli.options import Json
from fedtrace.deploy.cli.output import ExitCode, plain_errors, print_json, print_lines, say_next
from fedtrace.governance.compare import WEIGHTS, differences
from fedtrace.governance.revocation import (
    REASONS,
    REVOCATION_TYPE,
    Revocation,
)
from fedtrace.governance.signing import unverified_payload

AnyPlan = Annotated[
    Path, typer.Argument(help="The plan: TOML, or signed (.dsse.json).", metavar="PLAN")
]


class ReasonChoice(StrEnum):
    """Why a plan is taken back."""

    MISTAKE = "mistake"
    INCIDENT = "incident"
    REPLACED = "replaced"
    NO_LONGER_WANTED = "no_longer_wanted"


_TITLES = {
    "asks more": "ASKS MORE of students and schools",
    "asks less": "ASKS LESS",
    "differs": "SAYS SOMETHING ELSE, for a person to judge",
}


def diff(
    before: Annotated[Path, typer.Argument(help="The plan before.", metavar="BEFORE")],
    after: Annotated[Path, typer.Argument(help="The plan to compare.", metavar="AFTER")],
    json: Json = False,
) -> None:
    """Say what a plan asks for beyond another, what weakens the promise first.

    Both may be TOML or signed. Exit code 0: it asks for nothing more; 1: it does, or it says
    something else that a person has to judge.
    """
    with plain_errors():
        found = differences(any_plan(before), any_plan(after))
    if json:
        print_json(
            [
                {
                    "clause": each.clause,
                    "before": each.before,
                    "after": each.after,
                    "weight": each.weight,
                }
                for each in found
            ]
        )
    elif not found:
        print_lines("the two plans say the same")
    for weight in () if json else WEIGHTS:
        if lines := [f"  {each.sentence}" for each in found if each.weight == weight]:
            print_lines("\n".join([_TITLES[weight], *lines]))
    harmless = all(each.weight == "asks less" for each in found)
    raise typer.Exit(ExitCode.DONE if harmless else ExitCode.WARNING)


def status(
    path: AnyPlan,
    charter: Annotated[Path, typer.Option(help="The consortium's charter.json.")],
    log: Annotated[
        Path | None,
        typer.Option(help="A home or an export with the consortium's log, to look the plan up in."),
    ] = None,
    json: Json = False,
) -> None:
    """Say who signed a plan, who may still, and whether it is in force.

    With --log also whether it stands in the consortium's log, activated or revoked. Exit code 0:
    in force, as far as could be seen; 1: it is not.
    """
    from fedtrace.deploy.plan_status import plan_status

    with plain_errors():
        content, plan = read_document(path), any_plan(path)
        envelope = None if path.suffix == ".toml" else content
        found = plan_status(plan, envelope, read_charter(charter), log=log, now=datetime.now(UTC))
    if json:
        print_json(found.as_json())
    else:
        print_lines("\n".join(found.lines()))
    raise typer.Exit(ExitCode.DONE if found.in_force else ExitCode.WARNING)


def revoke(
    path: AnyPlan,
    key: SigningKey,
    charter: Annotated[Path, typer.Option(help="The consortium's charter.json.")],
    reason: Annotated[ReasonChoice, typer.Option(help="Why, from a closed list.")],
    envelope: Annotated[
        Path | None,
        typer.Option(help="Where the revocation is; one that others signed is joined."),
    ] = None,
) -> None:
    """Sign that a plan is taken back; writes PLAN.revocation.dsse.json, or adds to the one there.

    It is in force when as many members signed as a plan needs and the consortium's operator ran
    `fedtrace consortium withdraw`. It cannot be undone: the same plan never comes back.
    """
    with plain_errors():
        rules = read_charter(charter)
        signer = signer_of(key)
        with naming(key):
            name = rules.signatory(signer.public_key)
        revocation = Revocation(
            consortium=rules.consortium, plan_digest=any_plan(path).digest(), reason=reason.value
        )
        stem = path.name.removesuffix(".json").removesuffix(".dsse").removesuffix(".toml")
        target = envelope or path.with_name(f"{stem}.revocation.dsse.json")
        write_agreement(target, revocation, signer)
    print_lines(
        f"revoked {revocation.plan_digest}\nbecause {REASONS[revocation.reason]}\nby {name}\n"
        f"written to {target}"
    )
    say_next(
        f"send {target} to the other schools until {rules.threshold} of them have signed, then to "
        f"the consortium, which runs fedtrace consortium withdraw {target.name}"
    )


def revocation_in(path: Path) -> bytes:
    """The bytes of a file that holds a revocation.

    Raises:
        ValueError: it holds something else.
        OSError: it cannot be read.
    """
    content = read_document(path)
    with naming(path):
        unverified_payload(content, REVOCATION_TYPE)
    return content
