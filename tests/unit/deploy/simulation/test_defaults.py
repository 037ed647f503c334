"""What is proposed depends on public numbers, in the direction that noise demands."""

import math
from dataclasses import replace

import pytest

from fedtrace.deploy.simulation.defaults import Consortium, propose, training_defaults
from fedtrace.deploy.simulation.step_size import LONGEST_STEP, learning_rate

TOWN = Consortium(schools=17, students=650, skills=136, epsilon=2.0, trust_mode="distributed")


def rate(consortium: Consortium) -> float:
    return propose(consortium).training.learning_rate


def test_the_logistic_model_is_proposed_with_a_finite_step() -> None:
    proposal = propose(TOWN)

    assert proposal.architecture == "shared-logistic-2"
    assert math.isfinite(proposal.training.learning_rate)
    assert proposal.training.sampling_rate == 1


def test_less_noise_allows_longer_steps() -> None:
    strict = replace(TOWN, epsilon=1.0)
    alone = replace(TOWN, trust_mode="local")
    crowded = replace(TOWN, students=6500)

    assert rate(alone) < rate(strict) < rate(TOWN) < rate(crowded)


def test_rounds_share_the_travel() -> None:
    usual = training_defaults("shared-logistic-2", TOWN)
    doubled = training_defaults("shared-logistic-2", TOWN, rounds=2 * usual.rounds)

    assert doubled.learning_rate == pytest.approx(usual.learning_rate / 2)


def test_a_short_job_averages_its_later_half_and_keeps_its_steps_short() -> None:
    short = training_defaults("shared-logistic-2", TOWN, rounds=3)

    assert short.average_last == 1
    assert short.learning_rate * short.clipping_norm <= LONGEST_STEP


def test_other_architectures_have_fixed_steps() -> None:
    assert training_defaults("pfa", TOWN) == training_defaults("pfa", replace(TOWN, epsilon=8.0))


@pytest.mark.parametrize("wrong", [{"students": 0}, {"noise": 0.0}, {"rounds": 0}])
def test_numbers_that_mean_nothing_are_refused(wrong: dict[str, float]) -> None:
    numbers = {
        "students": 10,
        "skills": 5,
        "noise": 1.0,
        "rounds": 9,
        "clipping_norm": 0.1,
        "momentum": 0.9,
    } | wrong
    with pytest.raises(ValueError, match="at least 1"):
        learning_rate(**numbers)  # type: ignore[arg-type]
