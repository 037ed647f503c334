"""``fedtrace plan propose | sign``: from a plan that somebody wrote to one schools agree to."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from fedtrace.deploy.cli.documents import (
    any_plan,
    naming,
    read_catalogue,
    read_charter,
    read_document,
    read_plan,
    write_agreement,
)
from fedtrace.deploy.cli.key import SigningKey, signer_of
from fedtrace.deploy.cli.output import plain_errors, print_lines, say_next
from fedtrace.governance.canonical import digest
from fedtrace.governance.charter import Charter
from fedtrace.governance.explain import explain
from fedtrace.governance.label import privacy_label
from fedtrace.governance.lint import Finding, job_epsilon, lint
from fedtrace.governance.plan import Plan

PlanFile = Annotated[Path, typer.Argument(help="The plan, as TOML.", metavar="PLAN.toml")]
CharterFile = Annotated[
    Path | None,
    typer.Option("--charter", help="The consortium's charter.json, to check members against."),
]

_SIGNED, _PAGE, _LABEL = "plan.dsse.json", "explained.txt", "label.txt"


def propose(
    path: PlanFile,
    key: SigningKey,
    charter: Annotated[Path, typer.Option(help="The consortium's charter.json.")],
    catalogue: Annotated[Path, typer.Option(help="catalogue.json: names of skills.")],
    initial: Annotated[Path, typer.Option(help="NAME.initial.safetensors, of plan new.")],
    previous: Annotated[
        Path | None, typer.Option(help="The version before, to show what changed.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="A new folder; PLAN-proposal beside the plan if absent.")
    ] = None,
) -> None:
    """Put all that others need to decide about a plan into one folder, signed by you first.

    The plan, the page that explains it, its privacy label, catalogue and initial parameters. A
    plan in which `fedtrace plan lint` finds an error is not proposed. Your signature alone puts
    nothing into force.
    """
    folder = out or path.with_name(f"{path.stem}-proposal")
    with plain_errors():
        rules = read_charter(charter)
        document = sound_plan(path, rules)
        before = any_plan(previous) if previous else None
        beside = {
            "catalogue.json": _named(
                catalogue, read_catalogue(catalogue).to_json(), document.data.skill_catalogue_digest
            ),
            "initial.safetensors": _named(
                initial, read_document(initial), document.model.initial_parameters_digest
            ),
            "plan.toml": path.read_bytes(),
            **_pages(document, before),
        }
        signer = signer_of(key)
        with naming(key):
            who = rules.signatory(signer.public_key)
        folder.mkdir()
        try:
            for name, content in beside.items():
                (folder / name).write_bytes(content)
            write_agreement(folder / _SIGNED, document, signer)
        except BaseException:
            shutil.rmtree(folder)  # half a proposal is none
            raise
    print_lines(f"proposed {document.digest()}\nby {who}\nin {folder}")
    say_next(
        f"send the folder to every school. Its people read {_PAGE} and run fedtrace plan sign "
        f"plan.toml --key KEY --charter charter.json --envelope {_SIGNED}, until "
        f"{rules.threshold} members have agreed"
    )


def sign(
    path: PlanFile,
    key: SigningKey,
    charter: CharterFile = None,
    envelope: Annotated[
        Path | None,
        typer.Option(help="Where the signed plan is; a plan that others signed is joined."),
    ] = None,
) -> None:
    """Sign a plan for a school; writes PLAN.dsse.json beside it, or adds to the one there.

    A plan in which `fedtrace plan lint` finds an error is not signed. With --charter, neither is
    one whose key is no member's.
    """
    target = envelope or path.with_suffix(".dsse.json")
    with plain_errors():
        rules = read_charter(charter) if charter else None
        document = sound_plan(path, rules)
        signer = signer_of(key)
        with naming(key):
            name = rules.signatory(signer.public_key) if rules else f"the key {signer.public_key}"
        write_agreement(target, document, signer)
    print_lines(f"signed {document.digest()}\nby {name}\nwritten to {target}")
    say_next(
        "send this file to the schools that have not signed; when enough have, each of them runs "
        "fedtrace school accept"
    )


def findings_of(document: Plan, charter: Charter | None) -> list[Finding]:
    """What `fedtrace plan lint` says about a plan now."""
    from fedtrace.privacy.accounting import epsilon

    return lint(document, epsilon=epsilon, now=datetime.now(UTC), charter=charter)


def sound_plan(path: Path, charter: Charter | None) -> Plan:
    """A plan in which lint finds no error.

    Raises:
        ValueError: it finds one, or the file is no plan.
        OSError: it cannot be read.
    """
    document = read_plan(path)
    errors = [found for found in findings_of(document, charter) if found.level == "error"]
    if errors:
        first = f"{errors[0].clause}: {errors[0].sentence}"
        more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
        raise ValueError(f"{path} was not signed: {first}{more}. See fedtrace plan lint {path}.")
    return document


def _named(path: Path, content: bytes, named: str) -> bytes:
    """A file's content, which the plan names by its digest."""
    if digest(content) != named:
        raise ValueError(f"{path} is {digest(content)}; the plan names {named}")
    return content


def _pages(document: Plan, previous: Plan | None) -> Mapping[str, bytes]:
    """What people read before they sign."""
    from fedtrace.privacy.accounting import epsilon, epsilon_sentence

    page = explain(document, epsilon=epsilon, sentence=epsilon_sentence, previous=previous)
    label = privacy_label(document, epsilon=job_epsilon(document, epsilon))
    lines = [f"{question}: {answer}" for question, answer in label.items()]
    return {_PAGE: page.encode(), _LABEL: ("\n".join(lines) + "\n").encode()}
