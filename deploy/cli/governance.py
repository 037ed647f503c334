"""``fedtrace governance``: reports for the people who answer for a law or a contract."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, get_args

import typer

from fedtrace.deploy.cli.options import Json
from fedtrace.deploy.cli.output import plain_errors, print_json, print_lines, say_next
from fedtrace.deploy.packs.words import PackName

app = typer.Typer(help="Report what a law asks, and what the logs show.", no_args_is_help=True)


@app.callback()
def governance() -> None:
    """Report what a law or a contract asks, and what the logs show."""


@app.command()
def report(
    path: Annotated[
        Path | None,
        typer.Argument(help="A school's or the consortium's home, a folder of homes, an export."),
    ] = None,
    pack: Annotated[str, typer.Option("--pack", help="Which law or contract; see --list.")] = "",
    to: Annotated[
        Path | None,
        typer.Option("--to", help="The page; PACK.html if absent. The JSON lies beside it."),
    ] = None,
    plan: Annotated[
        list[Path] | None,
        typer.Option("--plan", help="A signed plan that does not lie there; may be repeated."),
    ] = None,
    list_packs: Annotated[bool, typer.Option("--list", help="List the packs and stop.")] = False,
    json: Json = False,
) -> None:
    """Say line by line what a law or a contract asks, and which log entries answer it.

    The logs are verified first, as `fedtrace audit verify` does; what does not verify is no
    evidence. Exit code 0: they verify, and nothing is missing; 1: a check warns, or something that
    should be there is not shown; 2: a check failed.
    """
    from fedtrace.deploy.packs.build import build_report
    from fedtrace.deploy.packs.facts import read_facts
    from fedtrace.deploy.packs.pack import all_packs, read_pack
    from fedtrace.deploy.packs.write import write_report

    if list_packs:
        packs = all_packs()
        if json:
            print_json([{"name": each.name, "title": each.title} for each in packs])
        else:
            for each in packs:
                print_lines(f"{each.name:8}  {each.title} ({len(each.lines)} lines)")
        raise typer.Exit
    with plain_errors():
        name = _known(pack)
        if path is None:
            raise ValueError("name the folder with the logs, after the options.")
        page = to or Path(f"{name}.html")
        if page.suffix != ".html":
            raise ValueError(f"{page} is no page: let its name end with .html.")
        facts = read_facts(path, plan or [])
        found = build_report(read_pack(name), facts, now=datetime.now(UTC))
        write_report(found, page)
    if json:
        print_json(found.model_dump(mode="json"))
    else:
        for line in found.lines:
            print_lines(f"{line.status.replace('_', ' '):14}  {line.id}: {line.asks}")
        print_lines(f"verification: {found.verification}")
    say_next(f"read {page}; the same as JSON is {page.with_suffix('.json')}")
    raise typer.Exit(found.exit_code)


def _known(pack: str) -> PackName:
    """The pack's name.

    Raises:
        ValueError: there is none of that name.
    """
    for name in get_args(PackName):
        if name == pack:
            return name  # type: ignore[no-any-return]  # one of the literal's values
    raise ValueError(
        f"there is no pack {pack!r}: --pack is one of {', '.join(get_args(PackName))}."
    )
