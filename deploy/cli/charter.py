"""``fedtrace consortium charter``, ``fedtrace school charter``: who the members are; changing it.

A next version is drafted from the present one, read and changed by people, signed by as many
members as the present one asks for, put into force by the consortium, and accepted by each school.
"""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from fedtrace.deploy.cli.documents import (
    naming,
    read_charter,
    read_document,
    read_text,
    write_agreement,
)
from fedtrace.deploy.cli.key import SigningKey, signer_of
from fedtrace.deploy.cli.options import ConsortiumHome, Home, Json
from fedtrace.deploy.cli.output import plain_errors, print_json, print_lines, say_next
from fedtrace.governance.agreement import read_agreement
from fedtrace.governance.charter import CHARTER_TYPE, Charter
from fedtrace.governance.charter_history import CharterHistory, changes
from fedtrace.governance.signing import unverified_payload
from fedtrace.governance.source import load

consortium_app = typer.Typer(help="Who the members are, and changing it.", no_args_is_help=True)
school_app = typer.Typer(help="Go by the next version of the charter.", no_args_is_help=True)

Draft = Annotated[
    Path,
    typer.Argument(help="The next version: TOML, or signed (.dsse.json).", metavar="CHARTER"),
]
Signed = Annotated[
    Path, typer.Argument(help="The next version, signed.", metavar="CHARTER.dsse.json")
]
Present = Annotated[
    Path, typer.Option("--charter", help="The version in force: your own charter.json.")
]


@consortium_app.callback()
def consortium_charter() -> None:
    """The consortium's root of trust: members, their keys, how many must agree."""


@school_app.callback()
def school_charter() -> None:
    """What this school holds to be the consortium's root of trust."""


@consortium_app.command()
def show(
    path: Annotated[Path, typer.Argument(help="charter.json, or a home.", metavar="CHARTER")],
    json: Json = False,
) -> None:
    """Say who the members are, who signs for them, and how many must agree."""
    with plain_errors():
        charter = read_charter(path / "charter.json" if path.is_dir() else path)
    if json:
        print_json({"digest": charter.digest(), **charter.model_dump(mode="json")})
        return
    print_lines(f"{charter.consortium}, version {charter.version}, {charter.digest()}")
    print_lines(
        f"{charter.threshold} of {len(charter.members)} members must agree; "
        f"{charter.people_per_member} of a member's people sign for it"
    )
    for member in charter.members:
        people = ", ".join(person.role for person in member.people) or "its machine"
        print_lines(f"  {member.name:24} signed for by {people}")


@consortium_app.command()
def draft(
    home: ConsortiumHome,
    out: Annotated[Path, typer.Option(help="A new TOML file.")],
) -> None:
    """Write the next version down, to be read and changed by people.

    It is the present one with every school that was approved since, and without those whose node
    was revoked.
    """
    from fedtrace.deploy.enrolment.charter_draft import draft_charter, toml_of

    with plain_errors():
        drafted = draft_charter(home)
        with out.open("x", encoding="utf-8") as file:
            file.write(toml_of(drafted.charter))
    print_lines(f"{out} is version {drafted.charter.version}, not signed by anybody")
    for change in drafted.changes or ("it changes nothing yet",):
        print_lines(f"  {change}")
    say_next(
        f"read and change {out}; then people of enough members run fedtrace consortium charter "
        f"sign {out} --key KEY --charter charter.json"
    )


@consortium_app.command()
def explain(path: Draft, charter: Present) -> None:
    """Say what a next version changes and who has agreed to it; nothing is signed."""
    with plain_errors():
        present = read_charter(charter)
        after = _next(path, present)
        _print_changes(present, after)
        if path.suffix != ".toml":
            agreed = read_agreement(read_document(path), CHARTER_TYPE, present)
            missing = max(0, present.threshold - len(agreed.members))
            who = ", ".join(agreed.members) or "nobody"
            print_lines(f"agreed to by {who}; {missing} more members must")
            for member, count in agreed.waiting.items():
                print_lines(f"  {member} has begun: {count} more of its people must sign")


@consortium_app.command()
def sign(
    path: Annotated[Path, typer.Argument(help="The next version, TOML.", metavar="CHARTER.toml")],
    key: SigningKey,
    charter: Present,
    envelope: Annotated[
        Path | None,
        typer.Option(help="Where the signed charter is; one that others signed is joined."),
    ] = None,
) -> None:
    """Sign the next version; writes CHARTER.dsse.json beside it, or adds to the one there."""
    target = envelope or path.with_suffix(".dsse.json")
    with plain_errors():
        present = read_charter(charter)
        after = _next(path, present)
        _print_changes(present, after)
        signer = signer_of(key)
        with naming(key):
            who = _signatory(signer.public_key, present, after)
        write_agreement(target, after, signer)
    print_lines(f"signed {after.digest()}\nby {who}\nwritten to {target}")
    say_next(
        f"send {target} to the others until {present.threshold} members have agreed, then to the "
        f"consortium, which runs fedtrace consortium charter adopt {target.name}"
    )


@consortium_app.command()
def adopt(path: Signed, home: ConsortiumHome) -> None:
    """Put a next version into force that enough members agreed to, and log it; no job may run."""
    from fedtrace.server.charters import adopt_charter
    from fedtrace.server.consortium import open_consortium

    with plain_errors():
        content = read_document(path)
        with naming(path), closing(open_consortium(home)) as consortium:
            history = adopt_charter(consortium, content, now=datetime.now(UTC))
    _say_in_force(history)
    say_next(
        f"send {path} to every school, which runs fedtrace school charter accept; until then it "
        "answers nothing. A plan that its members have to sign again says so when it is started"
    )


@school_app.command()
def accept(
    paths: Annotated[
        list[Path],
        typer.Argument(
            help="The next version, signed; where the school missed some, all in their order.",
            metavar="CHARTER.dsse.json...",
        ),
    ],
    home: Home,
) -> None:
    """Check who agreed to a next version, log it, and go by it; the gate must not run."""
    from fedtrace.client.charters import accept_charter

    with plain_errors():
        contents = [read_document(path) for path in paths]
        with naming(*paths):
            history = accept_charter(home, contents, now=datetime.now(UTC))
    _say_in_force(history)
    say_next(f"start fedtrace school run --home {home} again")


@school_app.command("new-key")
def new_key(home: Home) -> None:
    """Make the next key of the school's machine; it counts once an accepted charter names it."""
    from fedtrace.client.keys import NextKey

    with plain_errors():
        public_key = NextKey.make(home / "keys").signer.public_key
    print_lines(public_key)
    say_next(
        "give this line to whoever drafts the charter's next version, as public_key of this "
        "school; the present key stays in use until fedtrace school charter accept"
    )


def _next(path: Path, present: Charter) -> Charter:
    """The next version in a file, lawful after the present one; whoever signed it."""
    if path.suffix == ".toml":
        text = read_text(path)
        with naming(path):
            after = load(text, Charter)
    else:
        content = read_document(path)
        with naming(path):
            after = Charter.from_bytes(unverified_payload(content, CHARTER_TYPE))
    with naming(path):
        CharterHistory(versions=(present,)).require_lawful(after)
    return after


def _signatory(public_key: str, present: Charter, after: Charter) -> str:
    """Who signs, by the present version or, for those whose key is new, by the next."""
    try:
        return str(present.signatory(public_key))
    except ValueError:
        return f"{after.signatory(public_key)}, who counts by the next version only"


def _print_changes(present: Charter, after: Charter) -> None:
    print_lines(f"version {after.version} of {after.consortium}, {after.digest()}")
    for change in changes(present, after) or ("it changes nothing",):
        print_lines(f"  {change}")


def _say_in_force(history: CharterHistory) -> None:
    now = history.current
    print_lines(f"version {now.version} is in force, {now.digest()}")
    for change in changes(history.versions[-2], now):
        print_lines(f"  {change}")
