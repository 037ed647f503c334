"""What a plan asks for beyond another: the clauses that differ, and which of them ask for more.

Every clause of the plan has a direction here, so that a reader finds what weakens the promise at
the top of the page and not between two learning rates. A clause without one says something else
rather than more or less, and a person has to read it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

from fedtrace.governance.durations import days
from fedtrace.governance.plan import Plan

Weight = Literal["asks more", "asks less", "differs"]

WEIGHTS: tuple[Weight, ...] = ("asks more", "asks less", "differs")
"""In the order in which a person should read them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One clause that two plans say differently.

    Attributes:
        clause: its path, as in the plan's file.
        before: what the one says; None where it has no such clause.
        after: what the other says.
        weight: whether that asks more of students and schools.
        meaning: what the clause is, in plain words.
    """

    clause: str
    before: Any
    after: Any
    weight: Weight
    meaning: str

    @property
    def sentence(self) -> str:
        """One line for a person."""
        return f"{self.clause}: {_shown(self.before)} -> {_shown(self.after)} ({self.meaning})"


def differences(before: Plan, after: Plan) -> tuple[Difference, ...]:
    """Every clause that differs, what asks for more first."""
    old, new = _flat(before), _flat(after)
    found = [
        _difference(clause, old.get(clause), new.get(clause))
        for clause in sorted(old | new)
        if old.get(clause) != new.get(clause)
    ]
    return tuple(sorted(found, key=lambda each: (WEIGHTS.index(each.weight), each.clause)))


def _number(value: Any) -> float:
    return float(value)


def _days(value: Any) -> float:
    return float(days(str(value)))


def _place(*order: str) -> Callable[[Any], float]:
    """How far a word stands in a list that goes from little to much."""
    return lambda value: float(order.index(value))


_Clause = tuple[str, Callable[[Any], float] | None]

_MORE: Mapping[str, _Clause] = MappingProxyType(
    {
        "privacy.epsilon_job": ("privacy loss of a student in this job, at most", _number),
        "privacy.epsilon_student_year": ("privacy loss of a student in a year, at most", _number),
        "privacy.delta": ("probability that the promise does not hold", _number),
        "privacy.sampling_rate": ("how often a student takes part", _number),
        "privacy.trust_mode": ("whom a student must trust", _place("local", "distributed")),
        "data.max_sequence": ("answers of one student at a time, at most", _number),
        "data.fields": ("what is read of a student's record", None),
        "legal_basis": (
            "what allows a school to use the records",
            _place("consent", "school_official"),
        ),
        "release.to": ("who gets the model", _place("members", "public")),
        "retention.updates": ("how long single updates are kept", _days),
        "retention.checkpoints": ("how long models between rounds are kept", _days),
        "retention.model": ("how long the model is kept", _days),
        "rounds.count": ("how often a student's record is used, at most", _number),
        "valid_until": ("until when rounds are asked", None),
    }
)
"""Clauses of which a larger value asks for more."""

_LESS: Mapping[str, _Clause] = MappingProxyType(
    {
        "privacy.noise_multiplier": ("noise in each round", _number),
        "evaluation.noise_multiplier": ("noise in the evaluation", _number),
        "schools.minimum_per_round": ("schools that a round needs", _number),
        "data.min_students": ("students that a school needs", _number),
        "secure_sum.colluding": ("schools that may tell on the others", _number),
        "retention.log": ("how long the audit log is kept", _days),
        "release.minimum_rounds": ("rounds before a model is released", _number),
        "oversight.may_stop": ("who may stop the job", None),
    }
)
"""Clauses of which a smaller value asks for more."""

_OTHER: Mapping[str, str] = MappingProxyType(
    {
        "purpose": "what the model is for",
        "schools.members": "who takes part",
        "app.fab_digest": "which code runs in the schools",
        "valid_from": "from when rounds are asked",
        "privacy.clipping_norm": "to what length a student's part is cut; the noise goes with it",
        "privacy.planned_students": "how many students are planned with",
    }
)


def _difference(clause: str, before: Any, after: Any) -> Difference:
    if clause in _MORE:
        meaning, measure = _MORE[clause]
        rises = _rises(before, after, measure)
    elif clause in _LESS:
        meaning, measure = _LESS[clause]
        rises = _rises(after, before, measure)
    else:
        meaning, rises = _OTHER.get(clause, f"of the {clause.partition('.')[0]} section"), None
    weight: Weight = "differs" if rises is None else "asks more" if rises else "asks less"
    return Difference(clause=clause, before=before, after=after, weight=weight, meaning=meaning)


def _rises(before: Any, after: Any, measure: Callable[[Any], float] | None) -> bool | None:
    """Whether the one is less than the other; None where neither is, or one of them is missing."""
    if before is None or after is None:
        return None
    if isinstance(before, list):  # of names: more is what has something that was not there
        added, gone = set(after) - set(before), set(before) - set(after)
        return True if added else False if gone else None
    return bool(before < after) if measure is None else measure(before) < measure(after)


def _flat(plan: Plan) -> dict[str, Any]:
    """``{"privacy": {"delta": 1}}`` -> ``{"privacy.delta": 1}``; fields by their names."""
    flat: dict[str, Any] = {}
    for key, value in plan.model_dump(mode="json").items():
        if isinstance(value, Mapping):
            flat |= {f"{key}.{inner}": each for inner, each in value.items()}
        else:
            flat[key] = value
    flat["data.fields"] = sorted(field.name for field in plan.data.fields)
    return flat


def _shown(value: Any) -> str:
    if value is None:
        return "nothing"
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return text if len(text) <= 72 else f"{text[:71]}..."
