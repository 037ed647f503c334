"""The charter of the approved schools: the moment in which a consortium begins."""

from __future__ import annotations

from contextlib import closing
from datetime import datetime
from pathlib import Path

from fedtrace.deploy.enrolment.desk import Desk, EnrolmentError
from fedtrace.deploy.network.address import read_address
from fedtrace.governance.charter import Charter, Member
from fedtrace.governance.charter_history import CHARTER_FILE
from fedtrace.governance.joining import JoinRequest
from fedtrace.governance.signing import PublicKey
from fedtrace.server.consortium import initialise_consortium, read_charter


def found(
    home: Path,
    *,
    threshold: int | None,
    people_per_member: int = 1,
    witness_quorum: int | None,
    now: datetime,
) -> Charter:
    """Make charter, keys, database and log of a consortium of all approved schools.

    Args:
        home: the consortium's; it has an address and no charter.
        threshold: how many members must agree to a plan; None: more than half.
        people_per_member: how many people of a member must sign for it to agree.
        witness_quorum: how many must cosign the log; None: the usual number.
        now: the time of the log's first entry.

    Raises:
        EnrolmentError: nobody is approved, or somebody asked and waits.
        FileExistsError: there is a charter already.
        NetworkError: the home has no address.
        ValueError: a rule of charters is broken.
    """
    address, enrolments = read_address(home), Desk(home).all()
    if waiting := [one.school for one in enrolments if one.state == "asked"]:
        raise EnrolmentError(
            f"{', '.join(waiting)} asked to join and wait: approve or revoke them first, because "
            "the charter names its members for good"
        )
    requests = [one.opened() for one in enrolments if one.state == "approved"]
    members = [member_of(request) for request in requests if request is not None]
    if not members:
        raise EnrolmentError("no school is approved yet: fedtrace consortium members shows who is")
    consortium = initialise_consortium(
        home,
        name=address.consortium,
        members=members,
        threshold=threshold or len(members) // 2 + 1,
        people_per_member=people_per_member,
        witness_quorum=witness_quorum,
        now=now,
    )
    with closing(consortium):
        return consortium.charter


def member_of(request: JoinRequest) -> Member:
    """A school as a charter names it, with the keys that it asked with."""
    return Member(
        name=request.school,
        public_key=request.public_key,
        log_public_key=request.log_public_key,
        people=request.people,
    )


def is_founded(home: Path) -> bool:
    """Whether the consortium has a charter."""
    return (home / CHARTER_FILE).exists()


def charter_members(home: Path) -> dict[str, PublicKey]:
    """The members with the keys of their logs, which never change; nobody before the charter."""
    if not is_founded(home):
        return {}
    return {member.name: member.log_public_key for member in read_charter(home).members}


def require_name(home: Path, name: str) -> None:
    """Refuse another name than the charter's.

    Raises:
        ValueError: the charter has another one.
    """
    if is_founded(home):
        present = read_charter(home).consortium
        if present != name:
            raise ValueError(f"the charter in {home} is of {present}: its name stays, not {name}")
