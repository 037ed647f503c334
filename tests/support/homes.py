"""Real homes of a small consortium on disk: simulated schools, one activated and accepted plan."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from support.gate import plan_with, policy_with

from fedtrace.client.bundle import fab_digest
from fedtrace.client.checkpoint import write_tensor
from fedtrace.client.ingest.catalogue import Catalogue
from fedtrace.client.ingest.mapping import Columns, Mapping
from fedtrace.client.keys import SchoolKeys, create_keys
from fedtrace.client.school import initialise_school
from fedtrace.governance.canonical import digest
from fedtrace.governance.charter import Charter, Member
from fedtrace.governance.plan import Plan
from fedtrace.governance.plan_signing import sign_plan
from fedtrace.models.networks import ModelSpec, build
from fedtrace.models.parameters import fingerprint, to_vector
from fedtrace.models.simulator import SimulatedSchool, simulate_schools
from fedtrace.server.consortium import initialise_consortium

SKILLS = 8
CATALOGUE = Catalogue(skills=[f"skill {number}" for number in range(SKILLS)])
MAPPING = Mapping(
    columns=Columns(student="student", order="order", skill="skill", correct="correct")
)


@dataclass(frozen=True, kw_only=True)
class Homes:
    """Where everything is."""

    consortium: Path
    schools: dict[str, Path]
    plan_digest: str


def make_homes(
    directory: Path,
    *,
    now: datetime,
    rounds: int,
    schools: int = 3,
    deadline_seconds: int = 60,
    plan_fab_digest: str | None = None,
) -> Homes:
    """Make a consortium whose schools have accepted a plan of so many rounds.

    Args:
        directory: A new directory for all homes.
        now: The time of the first entries; the plan is valid from the day before.
        rounds: Training rounds; an evaluation follows.
        schools: How many take part; two are enough for a round.
        deadline_seconds: For each round.
        plan_fab_digest: The bundle that the plan names; the installed one where None.
    """
    simulated = simulate_schools(
        schools=schools, students_per_school=20, skills=SKILLS, seed=1, answers_per_student=12
    )
    names = tuple(school.name for school in simulated)
    homes = {name: directory / name for name in names}
    keys = {name: create_keys(home / "keys") for name, home in homes.items()}
    plan, parameters = _plan(names, now, rounds, deadline_seconds, plan_fab_digest)
    envelope = sign_plan(plan, [each.signer for each in keys.values()])
    charter = _make_consortium(directory / "consortium", keys, now, envelope, parameters)
    for school in simulated:
        _make_school(homes[school.name], school, charter, now, envelope)
    return Homes(consortium=directory / "consortium", schools=homes, plan_digest=plan.digest())


def _make_consortium(
    home: Path, keys: dict[str, SchoolKeys], now: datetime, envelope: bytes, parameters: bytes
) -> Charter:
    consortium = initialise_consortium(
        home,
        name="county",
        members=[
            Member(name=name, public_key=each.public_key, log_public_key=each.log_public_key)
            for name, each in keys.items()
        ],
        threshold=2,
        now=now,
    )
    consortium.activate_plan(
        envelope, catalogue=CATALOGUE.to_json(), initial_parameters=parameters, now=now
    )
    consortium.close()
    return consortium.charter


def _make_school(
    home: Path, school: SimulatedSchool, charter: Charter, now: datetime, envelope: bytes
) -> None:
    table = home / "answers.csv"
    with table.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["student", "order", "skill", "correct"])
        for student, order, skill, correct in school.rows():
            writer.writerow([student, order, CATALOGUE.skills[skill], correct])
    policy = policy_with({"school": school.name})
    with initialise_school(home, charter=charter, policy=policy, now=now) as opened:
        opened.import_csv(table, MAPPING, CATALOGUE, now=now)
        opened.accept_plan(envelope, CATALOGUE.to_json(), now=now)


def _plan(
    names: tuple[str, ...],
    now: datetime,
    rounds: int,
    deadline_seconds: int,
    plan_fab_digest: str | None,
) -> tuple[Plan, bytes]:
    model = build(
        ModelSpec(architecture="shared-logistic", skills=SKILLS, hidden_size=1, embedding_size=1),
        seed=1,
    )
    vector = to_vector(model)
    parameters = write_tensor("parameters", vector)
    changes = {
        "valid_from": (now - timedelta(days=1)).isoformat(),
        "valid_until": (now + timedelta(days=90)).isoformat(),
        "schools.members": names,
        "data.skills": SKILLS,
        "data.skill_catalogue_digest": CATALOGUE.digest(),
        "model.parameters": len(vector),
        "model.schema_fingerprint": fingerprint(model),
        "model.initial_parameters_digest": digest(parameters),
        "app.fab_digest": plan_fab_digest or fab_digest(),
        "rounds.count": rounds,
        "rounds.deadline_seconds": deadline_seconds,
        "release.minimum_rounds": 1,
    }
    return plan_with(changes), parameters
