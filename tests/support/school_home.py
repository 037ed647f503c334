"""One school's home in a temporary folder, as a member of the consortium of `support.gate`."""

from __future__ import annotations

from pathlib import Path

from support.gate import NOW, charter, policy_with, signer

from fedtrace.client.home import initialise_school
from fedtrace.client.keys import create_keys
from fedtrace.client.school import School
from fedtrace.governance.charter import Charter, Member
from fedtrace.governance.charter_history import CharterHistory
from fedtrace.governance.plan import Plan
from fedtrace.governance.plan_signing import sign_plan

SCHOOL = "school-1"


def charter_with_keys_in(home: Path) -> Charter:
    """The usual charter, with new keys of its first school, which are written to ``home``."""
    keys = create_keys(home / "keys")
    own = Member(name=SCHOOL, public_key=keys.public_key, log_public_key=keys.log_public_key)
    others = [member for member in charter().members if member.name != SCHOOL]
    return charter().model_copy(update={"members": (own, *others)})


def new_school(home: Path) -> School:
    """A school without students that has accepted nothing yet."""
    policy = policy_with({"school": SCHOOL})
    return initialise_school(
        home,
        charters=CharterHistory(versions=(charter_with_keys_in(home),)),
        policy=policy,
        now=NOW,
    )


def envelope_of(plan: Plan, school: School) -> bytes:
    """The plan, signed by the school and one more: enough for the charter."""
    return sign_plan(plan, [school.signer, signer("school-2")])
