"""The privacy label of a plan: what a reader of NIST SP 800-226 asks, answered from the plan.

The questions are the publication's (Near, Darais, Lefkovitz and Howarth 2025, "Guidelines for
Evaluating Differential Privacy Guarantees"), from the top of its pyramid to the bottom: the
parameter and the unit; algorithms, accuracy, bias and trust; data collection, security and side
channels.
"""

from __future__ import annotations

import math

from fedtrace.governance.plan import Plan


def privacy_label(plan: Plan, *, epsilon: float) -> dict[str, str]:
    """Question -> answer, in the order in which they are printed.

    Args:
        plan: what is promised.
        epsilon: of the whole job for one student, from the accountant; infinite without noise.
    """
    return {
        "Epsilon": _parameter(plan, epsilon),
        "Unit of privacy": (
            "one student: two data sets are neighbours if one has one student more, with all "
            "that is recorded of that student"
        ),
        "Mechanism": _mechanism(plan),
        "Sampling and composition": _composition(plan),
        "Trust model": _trust(plan),
        "Accuracy": (
            "measured on held-out students by noisy histograms, which the epsilon above includes"
        ),
        "Bias": (
            "noise costs small schools and rarely practised skills most; compare schools before "
            "relying on the model, and let each school fit it at home"
        ),
        "Tuning": "settings that were tuned on the same students before are not in this epsilon",
        "Data collection": (
            "no record leaves a school; there it is encrypted under a key of its student's own"
        ),
        "Security": (
            "a school answers only orders under a plan that it signed, and logs every answer; "
            "anyone who can read the school's computer is outside this promise"
        ),
        "Side channels": (
            "noise comes from the operating system's generator and lies on a grid, so that no low "
            "bits tell; which schools take part, and when, can be seen"
        ),
    }


def _parameter(plan: Plan, epsilon: float) -> str:
    spent = f"{epsilon:.2f}" if math.isfinite(epsilon) else "unbounded"
    year = plan.privacy.epsilon_student_year
    return (
        f"{spent} at delta {plan.privacy.delta:g} for this job; at most {year:g} for all jobs of "
        "one school year"
    )


def _mechanism(plan: Plan) -> str:
    privacy = plan.privacy
    if privacy.noise_multiplier == 0:
        return f"none: students clipped to L2 norm {privacy.clipping_norm:g}, and no noise"
    kind = "discrete Gaussian" if plan.secure_sum else "Gaussian"
    return (
        f"{kind} noise of {privacy.noise_multiplier:g} times the clipping norm on a sum of "
        f"student contributions, each clipped to L2 norm {privacy.clipping_norm:g}"
    )


def _composition(plan: Plan) -> str:
    return (
        f"in each of {plan.rounds.count} rounds a student takes part with probability "
        f"{plan.privacy.sampling_rate:g}, by secret coins; these and one evaluation are composed "
        "by their privacy loss distributions"
    )


def _trust(plan: Plan) -> str:
    if plan.secure_sum is None:
        return "local: each school adds all the noise itself and has to trust nobody else"
    members, colluding = len(plan.schools.members), plan.secure_sum.colluding
    return (
        f"distributed: secure sum shows the aggregator nothing but the noised sum over at least "
        f"{plan.schools.minimum_per_round} of {members} schools, as long as no more than "
        f"{colluding} of them tell it all they know"
    )
