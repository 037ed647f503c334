"""A plan on one page, in plain words, for people who decide whether to sign it.

Nothing here is computed for show: the epsilon is the accountant's, from the same events that the
ledger will hold, and the sentence about it is the one that every other page prints.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Protocol

from fedtrace.governance.compare import differences
from fedtrace.governance.ledger import Accountant
from fedtrace.governance.lint import job_epsilon
from fedtrace.governance.plan import Plan

PAGE_COLUMNS = 88

PURPOSES: Mapping[str, str] = MappingProxyType(
    {
        "adaptive_practice": "to choose exercises that fit what a student can do",
        "mastery_reporting": "to tell teachers which skills are mastered",
        "curriculum_improvement": "to improve teaching material",
        "learning_research": "to study how people learn",
    }
)

LEGAL_BASES: Mapping[str, str] = MappingProxyType(
    {
        "consent": "only students with a given, valid consent take part",
        "school_official": "the schools use their own records under an agreement; every family "
        "can opt out",
    }
)

FIELDS: Mapping[str, str] = MappingProxyType(
    {
        "student": "a random token for each student (the way back stays in the school)",
        "skill": "which skill was practised",
        "item": "which exercise it was",
        "correct": "whether the answer was right",
        "order": "in which order the answers came",
        "elapsed": "roughly how long an answer took",
    }
)

OVERSEERS: Mapping[str, str] = MappingProxyType(
    {
        "school": "each school for itself",
        "privacy_officer": "a privacy officer",
        "consortium": "the consortium",
    }
)

RECEIVERS: Mapping[str, str] = MappingProxyType({"members": "the members", "public": "the public"})


class EpsilonSentence(Protocol):
    """What an epsilon means in words; `fedtrace.privacy.accounting.epsilon_sentence`."""

    def __call__(self, epsilon: float, delta: float, *, trust_mode: str) -> str:
        """The sentence, with unit, adjacency, delta and trust mode."""
        ...


def explain(
    plan: Plan,
    *,
    epsilon: Accountant,
    sentence: EpsilonSentence,
    previous: Plan | None = None,
) -> str:
    """The page.

    Args:
        plan: what is proposed.
        epsilon: the accountant.
        sentence: puts an epsilon into words.
        previous: the version before, to show what changed.
    """
    parts = [f"PLAN {plan.name}", plan.digest(), ""]
    for heading, text in _sections(plan, epsilon, sentence):
        parts += [heading, *_wrapped(text), ""]
    if previous is not None:
        parts += [f"WHAT CHANGED since {previous.digest()}", *_changes(previous, plan), ""]
    parts += _wrapped("This page helps you to read the plan. It is not legal advice.")
    return "\n".join(parts) + "\n"


def _sections(
    plan: Plan, epsilon: Accountant, sentence: EpsilonSentence
) -> Iterator[tuple[str, str]]:
    yield "WHY", _why(plan)
    yield "WHO AND WHEN", _who_and_when(plan)
    yield "WHAT IS READ, inside each school", _what_is_read(plan)
    yield "WHAT LEAVES THE BUILDING", _what_leaves(plan)
    yield from _promises(plan, epsilon, sentence)
    yield "AFTERWARDS", _afterwards(plan)
    yield "WHO CAN STOP IT, at any time", _who_can_stop(plan)


def _why(plan: Plan) -> str:
    return (
        f"{PURPOSES[plan.purpose]}. Commercial use is excluded. Legal basis: "
        f"{LEGAL_BASES[plan.legal_basis]}."
    )


def _who_and_when(plan: Plan) -> str:
    return (
        f"{len(plan.schools.members)} schools: {_names(plan.schools.members)}. A round counts only "
        f"with at least {plan.schools.minimum_per_round} of them. A school with fewer than "
        f"{plan.data.min_students} students stays out. From {plan.valid_from.date()} to "
        f"{plan.valid_until.date()}, {plan.rounds.count} rounds."
    )


def _what_is_read(plan: Plan) -> str:
    fields = "; ".join(FIELDS[field.name] for field in plan.data.fields)
    return (
        f"{fields}. At most {plan.data.max_sequence} answers of one student at a time, about "
        f"{plan.data.skills} skills of a public list."
    )


def _what_leaves(plan: Plan) -> str:
    privacy = plan.privacy
    inside = (
        "was added inside the school"
        if plan.secure_sum is None
        else "was shared out among the schools: each adds a part and hides its numbers behind "
        "masks that cancel, so that only the sum over all schools can be read"
    )
    return (
        f"In each round {plan.model.parameters} numbers: the changes of a "
        f"{plan.model.architecture} model, added up over the students, after each student's part "
        f"was cut to length {privacy.clipping_norm:g} and random noise "
        f"{privacy.noise_multiplier:g} times as large {inside}. Once, at the "
        f"end, {2 * plan.evaluation.bins} noisy counts that say how good the model is. Besides "
        "these, a signed receipt or a refusal code, without any number about students. No record, "
        "no name and no number of students leaves."
    )


def _promises(
    plan: Plan, epsilon: Accountant, sentence: EpsilonSentence
) -> Iterator[tuple[str, str]]:
    privacy = plan.privacy
    spends = job_epsilon(plan, epsilon)
    yield (
        f"THE PROMISE, for this job (limit: epsilon {privacy.epsilon_job:g})",
        sentence(spends, privacy.delta, trust_mode=privacy.trust_mode),
    )
    yield (
        "THE PROMISE, for all jobs of a school year at most",
        sentence(privacy.epsilon_student_year, privacy.delta, trust_mode=privacy.trust_mode),
    )


def _afterwards(plan: Plan) -> str:
    kept, receivers = plan.retention, RECEIVERS[plan.release.to]
    return (
        f"Kept: single updates {_spoken(kept.updates)}, models between rounds "
        f"{_spoken(kept.checkpoints)}, the released model {_spoken(kept.model)}, the audit log "
        f"{_spoken(kept.log)}. The model goes to {receivers} after at least "
        f"{plan.release.minimum_rounds} rounds. Everybody who gets it promises not to try to "
        "recognise anyone and not to pass it on."
    )


def _who_can_stop(plan: Plan) -> str:
    return (
        f"{', '.join(OVERSEERS[who] for who in plan.oversight.may_stop)}. What has been learnt "
        "until then stays in the model, within the promise above."
    )


def _wrapped(text: str) -> list[str]:
    first_upper = text[:1].upper() + text[1:]
    return textwrap.wrap(first_upper, PAGE_COLUMNS, initial_indent="  ", subsequent_indent="  ")


def _names(names: tuple[str, ...], limit: int = 12) -> str:
    shown = ", ".join(names[:limit])
    return shown if len(names) <= limit else f"{shown} and {len(names) - limit} more"


def _spoken(duration: str) -> str:
    """``P1Y6M`` -> "1 year 6 months"; ``P0D`` -> "not at all"."""
    units = {"Y": "year", "M": "month", "D": "day"}
    parts = [
        f"{int(number)} {units[unit]}{'' if int(number) == 1 else 's'}"
        for number, unit in re.findall(r"([0-9]+)([YMD])", duration)
        if int(number)
    ]
    return " ".join(parts) or "not at all"


def _changes(previous: Plan, plan: Plan) -> list[str]:
    """What asks for more first, as `fedtrace plan diff` says it."""
    found = differences(previous, plan)
    return [line for each in found for line in _wrapped(f"{each.weight}: {each.sentence}")] or [
        "  nothing"
    ]
