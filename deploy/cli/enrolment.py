"""From nothing to a member: the consortium's address, invites, approvals, the charter; joining."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, get_args

import typer
from pydantic import ValidationError

from fedtrace.deploy.cli.documents import naming, read_text
from fedtrace.deploy.cli.options import ConsortiumHome, Home, Json
from fedtrace.deploy.cli.output import plain_errors, print_json, print_lines, say_next
from fedtrace.governance.charter import Person, Role

if TYPE_CHECKING:
    from fedtrace.deploy.enrolment.desk import Enrolment

SchoolName = Annotated[str, typer.Argument(help="The school's name.", metavar="SCHOOL")]


def init(
    home: ConsortiumHome,
    name: Annotated[str, typer.Option(help="The consortium's name, without spaces.")],
    host: Annotated[
        list[str], typer.Option("--host", help="A name under which schools connect; repeatable.")
    ],
    port: Annotated[int, typer.Option(min=1, max=65535, help="The one public port.")] = 8443,
    listen: Annotated[str, typer.Option(help="The address to listen on.")] = "0.0.0.0",  # noqa: S104
) -> None:
    """Give the server its name, its address and its certificate authority.

    Run it again to change the address: the authority stays, so no school has to do anything.
    """
    from fedtrace.deploy.enrolment.founding import require_name
    from fedtrace.deploy.enrolment.routes import authority_digest
    from fedtrace.deploy.network.address import address_from, write_address
    from fedtrace.deploy.network.provisioning import provision_server

    with plain_errors():
        address = address_from(name, tuple(host), port=port, listen=listen)
        require_name(home, name)
        identity = provision_server(
            home / "network", hosts=address.certified, now=datetime.now(UTC)
        )
        write_address(home, address)
        shown = authority_digest(identity.ca_certificate.read_bytes())
    print_lines(f"{name} is reached at {host[0]}:{port}\nits authority: {shown}")
    say_next(
        f"fedtrace consortium serve --home {home}, and beside it fedtrace consortium invite SCHOOL "
        f"--home {home}"
    )


def invite(
    school: SchoolName,
    home: ConsortiumHome,
    days: Annotated[int, typer.Option(min=1, max=90, help="How long it can be used.")] = 14,
) -> None:
    """Print a line that lets one school ask to join, once; it expires."""
    from fedtrace.deploy.enrolment.desk import Desk
    from fedtrace.deploy.enrolment.routes import authority_digest
    from fedtrace.deploy.network.address import read_address

    with plain_errors():
        made = Desk(home).invite(
            school,
            read_address(home),
            authority=authority_digest((home / "network" / "ca.pem").read_bytes()),
            now=datetime.now(UTC),
            valid=timedelta(days=days),
        )
    print_lines(made.to_line())
    say_next(
        f"send this line to {school}, which runs fedtrace school join LINE --home FOLDER. It can "
        f"be used until {made.expires_at:%Y-%m-%d %H:%M} UTC; whoever has it can ask, so send it "
        "to one person only"
    )


def members(home: ConsortiumHome, json: Json = False) -> None:
    """Say who was invited, who has asked, and who is a member."""
    from fedtrace.deploy.enrolment.desk import Desk
    from fedtrace.deploy.enrolment.founding import charter_members

    with plain_errors():
        known = charter_members(home)
        enrolments = {one.school: one for one in Desk(home).all()}
        rows = [
            {"school": name, "state": _state(name, enrolments.get(name), known),
             "fingerprint": _fingerprint(enrolments.get(name))}
            for name in sorted({*known, *enrolments})
        ]  # fmt: skip
    if json:
        print_json(rows)
    else:
        for row in rows or [{"school": "nobody", "state": "invited yet", "fingerprint": ""}]:
            print_lines(f"{row['school']:24} {row['state']:32} {row['fingerprint']}".rstrip())
    if any(row["state"] == "asked" for row in rows):
        say_next(
            f"have a school that asked read its fingerprint out by telephone, then fedtrace "
            f"consortium approve SCHOOL --fingerprint FINGERPRINT --home {home}"
        )


def approve(
    school: SchoolName,
    fingerprint: Annotated[str, typer.Option(help="As the school reads it out by telephone.")],
    home: ConsortiumHome,
) -> None:
    """Accept a school's keys, after comparing their fingerprint; its node may connect."""
    from fedtrace.deploy.enrolment.desk import Desk
    from fedtrace.deploy.enrolment.founding import charter_members
    from fedtrace.deploy.network.hosting import admit

    with plain_errors():
        request = Desk(home).approve(school, fingerprint)
        admit(home, school, f"{request.node_key}\n".encode())
        is_member = charter_members(home).get(school) == request.log_public_key
    print_lines(f"{school} is approved")
    if not is_member:
        say_next(
            f"when all schools are approved, fedtrace consortium found --home {home} makes the "
            "charter that names them"
        )


def found(
    home: ConsortiumHome,
    threshold: Annotated[
        int | None,
        typer.Option(min=1, help="How many must agree to a plan; more than half if absent."),
    ] = None,
    people: Annotated[
        int, typer.Option(min=1, max=10, help="How many people of a school must sign for it.")
    ] = 1,
    witness_quorum: Annotated[
        int | None, typer.Option(min=1, help="How many must cosign the log; the usual if absent.")
    ] = None,
) -> None:
    """Make the charter, the keys and the log of a consortium of the approved schools."""
    from fedtrace.deploy.enrolment.founding import found as found_consortium

    with plain_errors():
        charter = found_consortium(
            home,
            threshold=threshold,
            people_per_member=people,
            witness_quorum=witness_quorum,
            now=datetime.now(UTC),
        )
    names = ", ".join(member.name for member in charter.members)
    print_lines(f"the charter of {charter.consortium} is {charter.digest()}\nmembers: {names}")
    say_next(
        "every school that runs fetches the charter by itself and shows the same digest: compare it"
    )


def revoke(school: SchoolName, home: ConsortiumHome) -> None:
    """Let a school's node connect no more, and void its invite; a running server notices."""
    from fedtrace.deploy.enrolment.desk import Desk, EnrolmentError
    from fedtrace.deploy.enrolment.founding import charter_members
    from fedtrace.deploy.network.hosting import dismiss

    with plain_errors():
        admitted = dismiss(home, school)
        try:
            Desk(home).revoke(school)
        except EnrolmentError:
            if not admitted:  # a node that was admitted by its key alone has no invite
                raise
        is_member = school in charter_members(home)
    print_lines(f"{school} cannot connect any more")
    if is_member:
        say_next(
            "the charter still names it: its signatures count until a new charter leaves it out"
        )


def renew(home: ConsortiumHome) -> None:
    """Issue a new server certificate now; the authority stays, a running server notices.

    The server does this by itself 30 days before the present one ends.
    """
    from fedtrace.deploy.network.address import read_address
    from fedtrace.deploy.network.provisioning import renew_server

    with plain_errors():
        address = read_address(home)
        renew_server(
            home / "network", hosts=address.certified, now=datetime.now(UTC), even_if_valid=True
        )
    print_lines(f"the certificate of {address.hosts[0]} is new; schools have nothing to do")


def join(
    invite: Annotated[
        str,
        typer.Argument(help="The line from the consortium, or a file with it.", metavar="INVITE"),
    ],
    home: Home,
    policy: Annotated[
        Path | None, typer.Option(help="The school's policy, as TOML; a careful one if absent.")
    ] = None,
    proxy: Annotated[
        str | None, typer.Option(help="http://[USER:PASSWORD@]HOST:PORT of the school's proxy.")
    ] = None,
    person: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ROLE=KEY",
            help="Who signs plans for the school: a role, and the line that fedtrace key new "
            "printed; may be repeated. Without it the school's machine signs.",
        ),
    ] = None,
) -> None:
    """Make the school's keys, and ask the consortium that gave the invite to become a member.

    Every private key is made here and stays here. Run it again after any failure.
    """
    from fedtrace.deploy.enrolment.invites import read_invite
    from fedtrace.deploy.enrolment.joining import join as ask_to_join
    from fedtrace.deploy.enrolment.policies import (
        careful_policy,
        place_policy,
        require_policy_of,
    )
    from fedtrace.governance.policy import load_policy_toml

    with plain_errors():
        now = datetime.now(UTC)
        people = tuple(_person(each) for each in person or ())
        read = read_invite(_line(invite), now=now)
        text = careful_policy(read.school) if policy is None else read_text(policy)
        with naming(policy or Path("the built-in policy")):
            require_policy_of(read.school, load_policy_toml(text))
        request = ask_to_join(home, read, proxy=proxy, people=people, now=now)
        path = place_policy(home, text, replace=policy is not None)
    print_lines(f"{read.school} has asked {read.consortium} at {read.host}:{read.port} to join")
    print_lines(f"fingerprint: {request.fingerprint()}")
    say_next(
        "read the fingerprint out to the consortium by telephone. Look at the most that this "
        f"school will ever accept, {path}. Back up {home / 'keys'} apart from everything else. "
        f"Then fedtrace school run --home {home}: it waits for the approval and connects"
    )


def leave(
    home: Home,
    yes: Annotated[bool, typer.Option("--yes", help="Do it; without it nothing changes.")] = False,
) -> None:
    """Leave the consortium: no training any more, and the key that connects is destroyed.

    Records, ledger and log stay: they are the school's, and its duty to keep or erase.
    """
    from fedtrace.client.home import open_school
    from fedtrace.deploy.network.node import forget

    with plain_errors():
        if not yes:
            raise ValueError(
                f"{home} would stop training and destroy the key that it connects with; add --yes"
            )
        with open_school(home) as opened:
            opened.set_kill_switch(True, now=datetime.now(UTC))
            name = opened.name
        forget(home)
    print_lines(f"{name} trains no more and cannot connect; its records and its log are untouched")
    say_next(
        "stop fedtrace school run, and tell the consortium to run fedtrace consortium revoke "
        f"{name}"
    )


def _person(text: str) -> Person:
    """``privacy_officer=<public key>``."""
    role, _, public_key = text.partition("=")
    try:
        return Person.model_validate({"role": role, "public_key": public_key})
    except ValidationError as error:
        roles = ", ".join(get_args(Role))
        raise ValueError(
            f"{text[:100]!r} is not ROLE=KEY: a role is one of {roles}, and a key is the line that "
            "fedtrace key new printed"
        ) from error


def _line(invite: str) -> str:
    """The invite itself, or what is in the file of that name."""
    if invite.startswith("fedtrace-invite-"):
        return invite
    path = Path(invite)
    if not path.is_file():
        raise ValueError("this is neither an invite (fedtrace-invite-...) nor a file with one")
    return path.read_text("utf-8", errors="replace")


def _state(school: str, enrolment: Enrolment | None, known: dict[str, str]) -> str:
    request = enrolment.opened() if enrolment is not None else None
    if enrolment is None:
        return "member"
    if enrolment.state == "approved":
        is_member = request is not None and known.get(school) == request.log_public_key
        return "member" if is_member else "approved, not in the charter yet"
    if enrolment.state == "invited":
        return f"invited until {enrolment.expires_at:%Y-%m-%d %H:%M}"
    return enrolment.state


def _fingerprint(enrolment: Enrolment | None) -> str:
    request = enrolment.opened() if enrolment is not None else None
    return request.fingerprint() if request is not None else ""
