"""``one-run``: canary students, put in by coins, told apart by whoever reads every release."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial

import numpy as np
import numpy.typing as npt

from fedtrace.client.trainer import model_spec
from fedtrace.deploy.attacks.finding import AttackReport, AttackSettings, claim, control
from fedtrace.deploy.attacks.setting import attacked_plan, simulated_students
from fedtrace.governance.plan import Plan, TrustMode
from fedtrace.models.interactions import to_batch
from fedtrace.models.networks import build, student_losses
from fedtrace.privacy.attacks.one_run import OneRunBound, audit_one_run
from fedtrace.privacy.discrete import NoiseShare
from fedtrace.privacy.engine import ClippedSumEngine
from fedtrace.privacy.noise import gaussian_on_grid
from fedtrace.privacy.randomness import RandomSource, poisson_sample

FloatArray = npt.NDArray[np.float64]

SKILLS = 124
SCHOOLS = 5
STUDENTS = 60
CANARIES, CANARIES_SHORT = 2000, 500
ROUNDS_SHORT = 10
TRUST_MODES: tuple[TrustMode, ...] = ("local", "distributed")


def attack_canaries(settings: AttackSettings) -> AttackReport:
    """Audit a whole job of the default model, in both trust modes.

    In `local` all canaries are in one school, whose noise is all that hides them; in
    `distributed` they are spread over the schools, of which only the quorum answers.
    """
    canaries = CANARIES_SHORT if settings.short else CANARIES
    plans = {mode: _plan(settings, mode, canaries) for mode in TRUST_MODES}
    source = settings.source()
    coins = poisson_sample(canaries, 0.5, source)
    others = _sum_of_others(plans["local"], settings.students_seed)
    audited = {
        mode: _audit(plan, others, coins, noise_multiplier, source)
        for mode, plan in plans.items()
        for noise_multiplier in (plan.privacy.noise_multiplier,)
    }
    bare = {mode: _audit(plan, others, coins, 0.0, source) for mode, plan in plans.items()}
    plan = plans["local"]
    return AttackReport(
        attack="one-run",
        tried=(
            f"{canaries} canary students, each put in by a coin, gave the largest vector that the "
            f"clip allows, on a parameter of their own, in each of {plan.rounds.count} rounds, "
            f"beside {STUDENTS} simulated students whom the attacker knows. The attacker adds up "
            "all releases and guesses which canaries were in (Steinke et al. 2023)."
        ),
        bound=(
            f"The job claims epsilon {settings.epsilon:g} at delta {plan.privacy.delta:g}; what is "
            "measured is an epsilon that the truth exceeds with 95 % confidence."
        ),
        findings=(
            *(
                claim(
                    f"Trust mode {mode}: {_counted(found)}, so epsilon is at least "
                    f"{found.epsilon:.3f}.",
                    holds=found.epsilon <= settings.epsilon,
                )
                for mode, found in audited.items()
            ),
            *(
                control(
                    f"Trust mode {mode} without noise: {_counted(found)}, so epsilon would be at "
                    f"least {found.epsilon:.3f}.",
                    breaks=found.epsilon > settings.epsilon,
                )
                for mode, found in bare.items()
            ),
        ),
        numbers={
            "canaries": canaries,
            "rounds": plan.rounds.count,
            "noise_multiplier": plan.privacy.noise_multiplier,
            **{f"{mode}_epsilon": found.epsilon for mode, found in audited.items()},
            **{f"control_{mode}_epsilon": found.epsilon for mode, found in bare.items()},
        },
    )


def _counted(found: OneRunBound) -> str:
    return f"{found.right} of {found.guesses} guesses were right"


def _plan(settings: AttackSettings, trust_mode: TrustMode, canaries: int) -> Plan:
    """Of the default model, whose students all take part in every round."""
    return attacked_plan(
        architecture="residual-dkt",
        skills=SKILLS,
        schools=SCHOOLS,
        students=STUDENTS + canaries,
        epsilon=settings.epsilon,
        trust_mode=trust_mode,
        rounds=ROUNDS_SHORT if settings.short else None,
    )


def _sum_of_others(plan: Plan, seed: int) -> FloatArray:
    """float64 [parameters]: what the simulated students of one school add in a round.

    The same in each round: the attacker knows it and subtracts it, so that it matters only for
    the grid to which sums are rounded.
    """
    students = simulated_students(STUDENTS, skills=SKILLS, seed=seed)
    model = build(model_spec(plan), seed=0)
    engine = ClippedSumEngine(model)
    losses = partial(student_losses, model, to_batch(students))
    total = engine.clipped_sum(losses, clipping_norm=plan.privacy.clipping_norm).total
    return -total.astype(np.float64)


def _audit(
    plan: Plan,
    others: FloatArray,
    coins: npt.NDArray[np.bool_],
    noise_multiplier: float,
    source: RandomSource,
) -> OneRunBound:
    """Release every round of a job, score each canary by its own parameter, bound epsilon."""
    vectors = np.zeros_like(others)
    vectors[: len(coins)] = plan.privacy.clipping_norm * coins
    scores = np.zeros(len(coins))
    release = _shared if plan.privacy.trust_mode == "distributed" else _alone
    for _ in range(plan.rounds.count):
        total = release(plan, others, vectors, noise_multiplier, source)
        scores += (total - others)[: len(coins)]
    return audit_one_run(scores, coins, delta=plan.privacy.delta)


def _alone(
    plan: Plan,
    others: FloatArray,
    vectors: FloatArray,
    noise_multiplier: float,
    source: RandomSource,
) -> FloatArray:
    """One school's release in trust mode `local`, before it is rounded to float32."""
    return gaussian_on_grid(
        others + vectors,
        clipping_norm=plan.privacy.clipping_norm,
        noise_multiplier=noise_multiplier,
        source=source,
    )


def _shared(
    plan: Plan,
    others: FloatArray,
    vectors: FloatArray,
    noise_multiplier: float,
    source: RandomSource,
) -> FloatArray:
    """The sum of a quorum's shares: what a secure sum reveals.

    The simulated students are in the first school; canary i is in school i modulo the quorum.
    """
    share = NoiseShare.of(**asdict(plan.summed("train")) | {"noise_multiplier": noise_multiplier})
    quorum = plan.schools.minimum_per_round
    school_of = np.arange(len(vectors)) % quorum
    steps = np.zeros(len(vectors), dtype=np.int64)
    for school in range(quorum):
        own = np.where(school_of == school, vectors, 0.0)
        steps += share.protect(own + others if school == 0 else own, source)
    return share.in_units(steps)
