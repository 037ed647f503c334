"""``lira``: was this student among those who trained the released model?"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch

from fedtrace.client.trainer import Trainer, model_spec
from fedtrace.deploy.attacks.finding import (
    AttackReport,
    AttackSettings,
    Finding,
    claim,
    control,
    percent,
)
from fedtrace.deploy.attacks.setting import attacked_plan, simulated_students
from fedtrace.governance.plan import Plan
from fedtrace.models.fitting import Pull, fit_full_batch
from fedtrace.models.interactions import Interactions, to_batch
from fedtrace.models.networks import build, student_losses
from fedtrace.models.parameters import Vector, from_vector, to_vector
from fedtrace.privacy.accounting import attack_bound
from fedtrace.privacy.attacks.membership import (
    LEAST_MODELS,
    MembershipRate,
    fit_scores,
    likelihood_ratios,
    membership_rate,
)
from fedtrace.privacy.randomness import RandomSource, poisson_sample
from fedtrace.server.aggregation import (
    OptimiserState,
    ServerOptimiser,
    averaged,
    public_denominator,
)

SKILLS = 150
STUDENTS, STUDENTS_SHORT = 100, 40
ANSWERS, LONGEST = 30, 60
MODELS, MODELS_SHORT = 48, 12
ROUNDS, ROUNDS_SHORT = 40, 6
FALSE_ALARM_RATES = (0.01, 0.001)
WEAKEST_PRIOR = 1e-3
"""Of the control: as good as none, and yet the optimum is unique."""
OVERFITTING_STEPS = 40

Train = Callable[[Interactions], Vector]
"""Students -> the model that is released after training on them."""


def attack_membership(settings: AttackSettings) -> AttackReport:
    """Attack released models of the smallest kind that a plan can name and that overfits: PFA.

    Each model is trained on the students that fair coins chose in one school of trust mode `local`,
    the least noise that there is in a whole released model. Each is attacked with all the
    others as shadow models.
    """
    models = MODELS_SHORT if settings.short else MODELS
    count = STUDENTS_SHORT if settings.short else STUDENTS
    plan = attacked_plan(
        architecture="pfa",
        skills=SKILLS,
        schools=1,
        students=count // 2,
        epsilon=settings.epsilon,
        trust_mode="local",
        rounds=ROUNDS_SHORT if settings.short else ROUNDS,
    )
    students = simulated_students(
        count, skills=SKILLS, seed=settings.students_seed, answers=ANSWERS, longest=LONGEST
    )
    source = settings.source()
    members = _coins(models, count, source)
    private = _attack(plan, students, members, lambda those: _privately(plan, those, source))
    bare = _attack(plan, students, members, lambda those: _overfitted(plan, those))
    return AttackReport(
        attack="lira",
        tried=(
            f"{models} PFA models, each trained on those of {count} simulated students that fair "
            f"coins chose, privately in {plan.rounds.count} rounds. The attacker knows all "
            "students and, for each model, how well all others fit those who were in and out of "
            "them, and names the students who were in this one (likelihood ratio attack, Carlini "
            "et al. 2022)."
        ),
        bound="; ".join(
            f"at {percent(rate)} wrong accusations, epsilon {settings.epsilon:g} allows "
            f"{percent(attack_bound(settings.epsilon, plan.privacy.delta, rate))} to be found"
            for rate in FALSE_ALARM_RATES
        ).capitalize()
        + ".",
        findings=(
            *(_claim(private[rate], plan) for rate in FALSE_ALARM_RATES),
            control(
                "Overfitted without clip and noise: "
                + " and ".join(_found(bare[rate]) for rate in FALSE_ALARM_RATES)
                + ".",
                breaks=any(_breaks(found, plan) for found in bare.values()),
            ),
        ),
        numbers={
            "models": models,
            "students": count,
            "noise_multiplier": plan.privacy.noise_multiplier,
            **{f"found_at_{rate:g}": private[rate].found_rate for rate in FALSE_ALARM_RATES},
            **{f"control_found_at_{rate:g}": bare[rate].found_rate for rate in FALSE_ALARM_RATES},
        },
    )


def _breaks(found: MembershipRate, plan: Plan) -> bool:
    return found.breaks(plan.privacy.epsilon_job, plan.privacy.delta)


def _claim(found: MembershipRate, plan: Plan) -> Finding:
    return claim(f"Trained privately: {_found(found)}.", holds=not _breaks(found, plan))


def _found(found: MembershipRate) -> str:
    return (
        f"{found.found} of {found.members} members ({percent(found.found_rate)}) found with "
        f"{found.false_alarms} of {found.outsiders} wrongly accused"
    )


def _coins(models: int, students: int, source: RandomSource) -> npt.NDArray[np.bool_]:
    """Bool [models, students]: independent fair coins, drawn again where an attack is not possible.

    Exact halves would tell: among the other models a member is in one fewer than an outsider.
    """
    while True:
        members = poisson_sample(models * students, 0.5, source).reshape(models, students)
        counts = members.sum(axis=0)
        if counts.min() >= LEAST_MODELS and (models - counts).min() >= LEAST_MODELS:
            return members


def _attack(
    plan: Plan, students: Interactions, members: npt.NDArray[np.bool_], train: Train
) -> dict[float, MembershipRate]:
    """Train every model, attack every model; results by rate of false alarms."""
    model = build(model_spec(plan), seed=0)
    batch = model.prepare(to_batch(students))
    losses = []
    for inside in members:
        from_vector(model, train(students.select(inside)))
        with torch.no_grad():
            losses.append(student_losses(model, batch).double().numpy())
    ratios = likelihood_ratios(fit_scores(np.array(losses)), members)
    return {
        rate: membership_rate(ratios, members, false_alarm_rate=rate) for rate in FALSE_ALARM_RATES
    }


def _privately(plan: Plan, students: Interactions, source: RandomSource) -> Vector:
    """What a job of one school releases: the school's trainer and the server's arithmetic."""
    trainer = Trainer(plan, source=source)
    optimiser = ServerOptimiser.of(plan.aggregation)
    parameters = to_vector(build(model_spec(plan), seed=0))
    state = OptimiserState.fresh(len(parameters))
    denominator = public_denominator(
        sampling_rate=plan.privacy.sampling_rate,
        planned_students=plan.privacy.planned_students,
        answered=1,
        members=1,
    )
    checkpoints = []
    for _ in range(plan.rounds.count):
        update = trainer.private_update(parameters, students)
        parameters, state = optimiser.step(parameters, update / denominator, state)
        checkpoints.append(parameters)
    return averaged(checkpoints[-plan.aggregation.average_last :])


def _overfitted(plan: Plan, students: Interactions) -> Vector:
    """The exact optimum on these students: no clip, no noise, next to no prior."""
    model = build(model_spec(plan), seed=0)
    pull = Pull(towards=np.zeros_like(to_vector(model)), strength=WEAKEST_PRIOR)
    fit_full_batch(model, students, iterations=OVERFITTING_STEPS, max_sequence=LONGEST, pull=pull)
    return to_vector(model)
