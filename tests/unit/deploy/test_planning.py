"""A drafted plan's step factors: the model's own, or those of the plan that is taken over."""

from datetime import timedelta

import pytest
from support.gate import NOW

from fedtrace.client.ingest.catalogue import Catalogue
from fedtrace.deploy.planning import Job, draft_plan, toml_of
from fedtrace.governance.plan import Plan, StepFactors, load_toml
from fedtrace.models.networks import Architecture


def drafted(
    skills: int = 4, architecture: Architecture = "shared-logistic-2", like: Plan | None = None
) -> Plan:
    job = Job(
        name="pilot",
        schools=("north", "south"),
        minimum_per_round=2,
        catalogue=Catalogue(skills=[f"skill {number}" for number in range(skills)]),
        planned_students=60,
        architecture=architecture,
        epsilon=8.0,
        trust_mode="local",
        rounds=3,
        deadline_seconds=60,
        seed=0,
    )
    return draft_plan(job, valid_from=NOW, valid_until=NOW + timedelta(days=1), like=like)[0]


def stretches(plan: Plan) -> list[tuple[int, tuple[float, ...]]] | None:
    found = plan.aggregation.step_factors
    return None if found is None else [(each.parameters, each.factors) for each in found]


def with_factors(plan: Plan, factors: tuple[StepFactors, ...] | None) -> Plan:
    changed = plan.aggregation.model_copy(update={"step_factors": factors})
    return plan.model_copy(update={"aggregation": changed})


def test_shared_weights_take_longer_steps_and_slopes_shorter_ones() -> None:
    found = stretches(drafted(skills=4))

    assert found is not None
    assert [size for size, _ in found] == [19, 1, 4 * 5]
    (shared,), (level,), (easiness, *slopes) = (factors for _, factors in found)
    assert shared > level == easiness == 1 > max(slopes)
    assert len(slopes) == 4


def test_they_survive_the_file_that_people_edit() -> None:
    plan = drafted()

    assert load_toml(toml_of(plan)) == plan


def test_other_architectures_step_alike() -> None:
    assert stretches(drafted(architecture="pfa")) is None
    assert stretches(drafted(architecture="shared-logistic")) is None


def test_a_plan_that_is_taken_over_keeps_its_factors_for_another_catalogue() -> None:
    usual = drafted(skills=4)
    edited = with_factors(
        usual, tuple(StepFactors(parameters=size, factors=(0.5,)) for size in (19, 1, 20))
    )

    assert stretches(drafted(skills=7, like=edited)) == [(19, (0.5,)), (1, (0.5,)), (35, (0.5,))]
    assert stretches(drafted(skills=7, like=with_factors(usual, None))) is None


def test_factors_that_fit_no_parameter_are_refused() -> None:
    halves = with_factors(drafted(), (StepFactors(parameters=40, factors=(0.5,)),))

    with pytest.raises(ValueError, match=r"1 stretches of step factors; .* of shared.weight, l"):
        drafted(like=halves)
