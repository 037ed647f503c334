"""Real homes of a small consortium on disk: simulated schools, one activated and accepted plan."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from support.gate import plan_with, policy_with

from fedtrace.client.bundle import fab_digest
from fedtrace.client.checkpoint import write_tensor
from fedtrace.client.home import initialise_school
from fedtrace.client.ingest.catalogue import Catalogue
from fedtrace.client.ingest.mapping import Columns, Mapping
from fedtrace.client.keys import SchoolKeys, create_keys
from fedtrace.governance.canonical import digest
from fedtrace.governance.charter import Charter, Member
from fedtrace.governance.charter_history import CharterHistory
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
MODEL = build(
    ModelSpec(architecture="shared-logistic-2", skills=SKILLS, hidden_size=1, embedding_size=1),
    seed=1,
)
INITIAL_PARAMETERS = write_tensor("parameters", to_vector(MODEL))


@dataclass(frozen=True, kw_only=True)
class Homes:
    """Where everything is."""

    consortium: Path
    schools: dict[str, Path]
    plans: tuple[str, ...]


SECURE_SUM: dict[str, object] = {"protocol": "fedtrace-secure-sum/1", "colluding": 0}
SUM_DEADLINE_SECONDS = 120  # four messages, on a machine that may be slow


def make_homes(
    directory: Path,
    *,
    now: datetime,
    rounds: Sequence[int],
    schools: int = 3,
    deadline_seconds: int = 60,
    summed_rounds: int = 0,
    noise_multiplier: float = 12.0,
) -> Homes:
    """Make a consortium whose schools have accepted plans.

    Args:
        directory: A new directory for all homes.
        now: The time of the first entries; the plan is valid from the day before.
        rounds: For each plan, how many training rounds; an evaluation follows.
        schools: How many take part; two are enough for a round.
        deadline_seconds: For each round.
        noise_multiplier: Of every plan; more rounds need more noise to stay within the budget.
        summed_rounds: How many training rounds one more plan has, under secure sum; 0 for none.
    """
    simulated = simulate_schools(
        schools=schools, students_per_school=20, skills=SKILLS, seed=1, answers_per_student=12
    )
    names = tuple(school.name for school in simulated)
    homes = {name: directory / name for name in names}
    keys = {name: create_keys(home / "keys") for name, home in homes.items()}
    plans = [
        _plan(f"job-{number}", names, now, count, deadline_seconds, noise=noise_multiplier)
        for number, count in enumerate(rounds, 1)
    ]
    if summed_rounds:
        plans.append(_plan("sum", names, now, summed_rounds, SUM_DEADLINE_SECONDS, SECURE_SUM))
    signers = [each.signer for each in keys.values()]
    envelopes = [sign_plan(plan, signers) for plan in plans]
    charter = _make_consortium(directory / "consortium", keys, now, envelopes)
    for school in simulated:
        _make_school(homes[school.name], school, charter, now, envelopes)
    return Homes(
        consortium=directory / "consortium",
        schools=homes,
        plans=tuple(plan.digest() for plan in plans),
    )


def _make_consortium(
    home: Path, keys: dict[str, SchoolKeys], now: datetime, envelopes: list[bytes]
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
    for envelope in envelopes:
        consortium.activate_plan(
            envelope,
            catalogue=CATALOGUE.to_json(),
            initial_parameters=INITIAL_PARAMETERS,
            now=now,
        )
    consortium.close()
    return consortium.charter


def _make_school(
    home: Path, school: SimulatedSchool, charter: Charter, now: datetime, envelopes: list[bytes]
) -> None:
    table = home / "answers.csv"
    with table.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["student", "order", "skill", "correct"])
        for student, order, skill, correct in school.rows():
            writer.writerow([student, order, CATALOGUE.skills[skill], correct])
    trust = ["local", "distributed"]
    policy = policy_with({"school": school.name, "privacy.trust_modes": trust})
    with initialise_school(
        home, charters=CharterHistory(versions=(charter,)), policy=policy, now=now
    ) as opened:
        opened.import_csv(table, MAPPING, CATALOGUE, now=now)
        for envelope in envelopes:
            opened.accept_plan(envelope, CATALOGUE.to_json(), now=now)


def _plan(
    name: str,
    schools: tuple[str, ...],
    now: datetime,
    rounds: int,
    deadline_seconds: int,
    secure_sum: dict[str, object] | None = None,
    *,
    noise: float = 12.0,
) -> Plan:
    return plan_with(
        {
            "name": name,
            "valid_from": (now - timedelta(days=1)).isoformat(),
            "valid_until": (now + timedelta(days=90)).isoformat(),
            "schools.members": schools,
            "data.skills": SKILLS,
            "data.skill_catalogue_digest": CATALOGUE.digest(),
            "model.parameters": len(to_vector(MODEL)),
            "model.schema_fingerprint": fingerprint(MODEL),
            "model.initial_parameters_digest": digest(INITIAL_PARAMETERS),
            "app.fab_digest": fab_digest(),
            "privacy.noise_multiplier": noise,
            "rounds.count": rounds,
            "rounds.deadline_seconds": deadline_seconds,
            "release.minimum_rounds": 1,
            "secure_sum": secure_sum,
            "privacy.trust_mode": "distributed" if secure_sum else "local",
        }
    )
