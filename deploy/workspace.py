"""A whole consortium in one folder: its home, its schools' homes, and a plan that all have signed.

For demonstrations, simulations and tests, where one person plays all parts. Every step is the one
that a school or the consortium takes in a deployment; only the walk between the buildings is left
out. Keys are made where they belong: each school's in its own home.

::

    <root>/consortium/      fedtrace.server.consortium
    <root>/schools/<name>/  fedtrace.client.home
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from fedtrace.client.home import initialise_school, open_school
from fedtrace.client.ingest.catalogue import Catalogue
from fedtrace.client.keys import create_keys
from fedtrace.governance.charter import Member
from fedtrace.governance.charter_history import CharterHistory
from fedtrace.governance.plan import Plan
from fedtrace.governance.plan_signing import SignedPlan, sign_plan
from fedtrace.governance.policy import PrivacyBounds, SchoolPolicy
from fedtrace.server.consortium import initialise_consortium, open_consortium


@dataclass(frozen=True, slots=True, kw_only=True)
class Workspace:
    """Where the homes are.

    Attributes:
        root: the folder that ``fedtrace audit verify`` is pointed at.
        schools: school names, sorted.
    """

    root: Path
    schools: tuple[str, ...]

    @property
    def consortium_home(self) -> Path:
        """The consortium's home."""
        return self.root / "consortium"

    @property
    def school_homes(self) -> dict[str, Path]:
        """Each school's home."""
        return {school: self.root / "schools" / school for school in self.schools}


def create_workspace(
    root: Path, *, schools: Sequence[str], max_epsilon: float, now: datetime
) -> Workspace:
    """Make keys, charter and homes for a consortium of these schools.

    Args:
        root: a folder without a consortium in it; created when it is not there.
        schools: their names.
        max_epsilon: what each school's policy accepts at most, a job and a student-year.
        now: with a time zone.

    Raises:
        FileExistsError: there is a consortium already.
        ValueError: a name that no charter can hold.
        OSError: the folder cannot be written.
    """
    workspace = Workspace(root=root, schools=tuple(sorted(schools)))
    members = []
    for school, home in workspace.school_homes.items():
        keys = create_keys(home / "keys")
        members.append(
            Member(name=school, public_key=keys.public_key, log_public_key=keys.log_public_key)
        )
    consortium = initialise_consortium(
        workspace.consortium_home,
        name="demo-consortium",
        members=members,
        threshold=len(members) // 2 + 1,
        now=now,
    )
    with closing(consortium):
        for school, home in workspace.school_homes.items():
            initialise_school(
                home,
                charters=CharterHistory(versions=(consortium.charter,)),
                policy=_policy(school, max_epsilon=max_epsilon),
                now=now,
            ).close()
    return workspace


def activate_plan(
    workspace: Workspace,
    plan: Plan,
    *,
    catalogue: Catalogue,
    initial_parameters: bytes,
    now: datetime,
) -> SignedPlan:
    """Let every school sign the plan and accept it, and the consortium activate it.

    Raises:
        Refused: R01, a signature is not that of a member.
        PolicyError: catalogue or parameters are not those that the plan names.
        OSError: a home cannot be written.
    """
    homes = {name: open_school(home) for name, home in workspace.school_homes.items()}
    try:
        envelope = sign_plan(plan, [school.signer for school in homes.values()])
        for school in homes.values():
            school.accept_plan(envelope, catalogue.to_json(), now=now)
    finally:
        for school in homes.values():
            school.close()
    with closing(open_consortium(workspace.consortium_home)) as consortium:
        return consortium.activate_plan(
            envelope,
            catalogue=catalogue.to_json(),
            initial_parameters=initial_parameters,
            now=now,
        )


def _policy(school: str, *, max_epsilon: float) -> SchoolPolicy:
    """The bounds of a school that takes part in demonstrations."""
    return SchoolPolicy(
        school=school,
        purposes=("adaptive_practice", "learning_research", "mastery_reporting"),
        legal_bases=("school_official",),
        fields=("student", "skill", "correct", "order"),
        max_sequence=1000,
        min_students=1,
        min_schools=1,
        privacy=PrivacyBounds(
            max_epsilon_job=max_epsilon,
            max_epsilon_student_year=max_epsilon,
            max_delta=1e-5,
            min_noise_multiplier=0.1,
            max_clipping_norm=1.0,
            max_sampling_rate=1.0,
            trust_modes=("local", "distributed"),
        ),
    )


def validity(now: datetime) -> tuple[datetime, datetime]:
    """From when until when a demonstration's plan is valid."""
    start = now.replace(microsecond=0) - timedelta(hours=1)
    return start, start + timedelta(days=30)
