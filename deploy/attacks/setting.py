"""The plan under attack: what would be signed for a claimed epsilon, on simulated students."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from fedtrace.client.ingest.catalogue import Catalogue
from fedtrace.deploy.planning import Job, draft_plan, usual_quorum
from fedtrace.governance.plan import Plan, TrustMode
from fedtrace.models.interactions import Interactions
from fedtrace.models.networks import Architecture
from fedtrace.models.simulator import simulate_schools

_VALID_FROM = datetime(2026, 1, 1, tzinfo=UTC)  # a plan that nobody signs needs some date


def attacked_plan(
    *,
    architecture: Architecture,
    skills: int,
    schools: int,
    students: int,
    epsilon: float,
    trust_mode: TrustMode,
    rounds: int | None = None,
) -> Plan:
    """The plan that a consortium of this size would draft.

    Args:
        architecture: of the model.
        skills: catalogue size.
        schools: how many members.
        students: planned number of training students of all schools.
        epsilon: claimed for the whole job.
        trust_mode: who adds the noise.
        rounds: None for the architecture's default.

    Raises:
        ValueError: an epsilon that no noise can reach, or a number outside its range.
    """
    plan, _ = draft_plan(
        Job(
            name="attacked",
            schools=tuple(f"school-{number}" for number in range(1, schools + 1)),
            minimum_per_round=usual_quorum(schools, trust_mode),
            catalogue=Catalogue(skills=[f"skill {number}" for number in range(skills)]),
            planned_students=students,
            architecture=architecture,
            epsilon=epsilon,
            trust_mode=trust_mode,
            rounds=rounds,
            deadline_seconds=600,
            seed=0,
        ),
        valid_from=_VALID_FROM,
        valid_until=_VALID_FROM + timedelta(days=1),
    )
    return plan


def simulated_students(
    count: int, *, skills: int, seed: int, answers: int = 60, longest: int = 200
) -> Interactions:
    """``count`` students of one simulated school.

    Args:
        count: how many.
        skills: catalogue size.
        seed: of the simulator.
        answers: median number of answers.
        longest: no student has more answers.
    """
    [school] = simulate_schools(
        schools=1,
        students_per_school=count,
        skills=skills,
        seed=seed,
        answers_per_student=answers,
        least_students=count,
    )
    return school.interactions.select(range(count)).cut(longest)
