"""The next version of a charter, from what the desk knows; people change and sign it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import tomli_w

from fedtrace.deploy.enrolment.desk import Desk
from fedtrace.deploy.enrolment.founding import member_of
from fedtrace.governance.charter import Charter, Member
from fedtrace.governance.charter_history import changes, read_charters


@dataclass(frozen=True, slots=True, kw_only=True)
class DraftedCharter:
    """A proposal.

    Attributes:
        charter: the next version, as far as the desk knows.
        changes: what it changes, a sentence each.
    """

    charter: Charter
    changes: tuple[str, ...]


def draft_charter(home: Path) -> DraftedCharter:
    """The present charter with the schools approved since, without those that were revoked.

    Raises:
        PolicyError: there is no charter that can be believed.
        ValueError: nobody would be left, or too few for the threshold.
        NetworkError: what the desk keeps is damaged.
        OSError: a file cannot be read.
    """
    history = read_charters(home)
    present, enrolments = history.current, {one.school: one for one in Desk(home).all()}
    states = {name: one.state for name, one in enrolments.items()}
    stay = [each for each in present.members if states.get(each.name) != "revoked"]
    known = {member.name for member in present.members}
    come = [
        member_of(request)
        for name, one in sorted(enrolments.items())
        if one.state == "approved" and name not in known and (request := one.opened()) is not None
    ]
    members: tuple[Member, ...] = (*stay, *come)
    values = {name: getattr(present, name) for name in Charter.model_fields}
    drafted = Charter(
        **{
            **values,
            "version": present.version + 1,
            "previous": present.digest(),
            "members": members,
        }
    )
    return DraftedCharter(charter=drafted, changes=changes(present, drafted))


def toml_of(charter: Charter) -> str:
    """A charter as the TOML that people edit."""
    head = "# Every key is explained in docs/formats/charter.md.\n\n"
    return head + tomli_w.dumps(charter.model_dump(mode="json", exclude_none=True))
