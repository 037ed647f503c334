"""Evidence from the signed plans: a log names them by digest, which proves what they say."""

from __future__ import annotations

from collections.abc import Callable

from fedtrace.deploy.packs.facts import Facts
from fedtrace.deploy.packs.finding import Finding
from fedtrace.governance.explain import FIELDS, LEGAL_BASES, OVERSEERS, PURPOSES, RECEIVERS
from fedtrace.governance.plan import Plan


def purposes(facts: Facts) -> Finding:
    """What each plan is for."""
    return _of_plans(
        facts,
        lambda plan: f"{PURPOSES[plan.purpose]}; commercial use is excluded",
    )


def fields(facts: Facts) -> Finding:
    """What training reads of a student's record."""
    return _of_plans(
        facts,
        lambda plan: (
            "reads "
            + "; ".join(
                f"{FIELDS[each.name]} ({each.category.replace('_', ' ')})"
                for each in plan.data.fields
            )
            + "; nothing else, and none of it leaves a school"
        ),
    )


def legal_basis(facts: Facts) -> Finding:
    """What allows a school to use the records."""
    return _of_plans(facts, lambda plan: LEGAL_BASES[plan.legal_basis])


def retention(facts: Facts) -> Finding:
    """How long each artefact of the job is kept."""
    return _of_plans(
        facts,
        lambda plan: (
            f"after the job, updates are kept {plan.retention.updates}, checkpoints "
            f"{plan.retention.checkpoints}, the model {plan.retention.model} and the log "
            f"{plan.retention.log} (ISO 8601: P0D not at all, P90D 90 days, P1Y a year); valid "
            f"until {plan.valid_until.date()}"
        ),
    )


def oversight(facts: Facts) -> Finding:
    """Who may stop the job."""
    return _of_plans(
        facts,
        lambda plan: (
            "may be stopped at any time by "
            + ", ".join(OVERSEERS[each] for each in plan.oversight.may_stop)
        ),
    )


def terms(facts: Facts) -> Finding:
    """What whoever gets the model promises."""
    return _of_plans(
        facts,
        lambda plan: (
            f"the model goes to {RECEIVERS[plan.release.to]}, after at least "
            f"{plan.release.minimum_rounds} closed rounds; whoever gets it promises not to "
            "identify anybody and not to pass data on"
        ),
    )


def trust(facts: Facts) -> Finding:
    """Who adds the noise, and how much."""
    return _of_plans(facts, _noise)


def _noise(plan: Plan) -> str:
    privacy = plan.privacy
    who = {
        "local": "each school adds all of the noise itself, before anything leaves",
        "distributed": "each school adds its share of the noise, and only the sum over the schools "
        "can be opened",
    }[privacy.trust_mode]
    return (
        f"{who}; one {privacy.unit} is protected ({privacy.adjacency}), clipping norm "
        f"{privacy.clipping_norm:g}, noise multiplier {privacy.noise_multiplier:g}, sampling rate "
        f"{privacy.sampling_rate:g}, at most epsilon {privacy.epsilon_job:g} for the job and "
        f"{privacy.epsilon_student_year:g} for a school year, delta {privacy.delta:g}"
    )


def _of_plans(facts: Facts, says: Callable[[Plan], str]) -> Finding:
    """What every plan says to one question; a plan that is not at hand says nothing."""
    entries = tuple(facts.plan_entries())
    if not entries:
        return Finding(status="not_shown", sentence="The logs here know of no plan so far.")
    said = [f"{each.plan.name}: {says(each.plan)}." for each in facts.plans]
    if facts.unread:
        said.append(
            f"The text of {', '.join(facts.unread)} is not here: ask a member for its "
            "plan.dsse.json and name it with --plan."
        )
    return Finding(
        status="elsewhere" if facts.unread else "shown", sentence=" ".join(said), entries=entries
    )
