"""Simulated schools: answers of students who do not exist, by a mechanism that is written down.

For demonstrations, tests and public pre-training; no real student's data went into any default.
Every student follows a course that visits the skills in the order of their prerequisites and now
and then comes back to an old one. What a student has of a skill is its mastery m in [0, 1], and

    P(right) = guess + (1 - guess - slip) * sigmoid(ability + PRACTICE_GAIN * m - difficulty)

Practice moves mastery towards 1, time away moves it back:

    m <- m + learning_rate * readiness * (1 - m)   after an answer on the skill
    m <- m * (1 - forgetting)                      for every answer on another skill

where readiness rises from READINESS_FLOOR to 1 with the mean mastery of the prerequisites.

Sources. Guess and slip: Corbett and Anderson 1995, "Knowledge tracing: Modeling the acquisition of
procedural knowledge". Students who differ in what they bring and how fast they learn: Yudelson,
Koedinger and Gordon 2013, "Individualized Bayesian Knowledge Tracing Models". Ability minus
difficulty under a logistic, floored and capped: Rasch 1960; Barton and Lord 1981, "An upper
asymptote for the three-parameter logistic item-response model". Geometric forgetting: Qiu, Qi, Lu,
Pardos and Heffernan 2011, "Does Time Matter? Modeling the Effect of Time with Bayesian Knowledge
Tracing". Prerequisites as an acyclic graph: Käser, Klingler, Schwing and Gross 2014, "Beyond
Knowledge Tracing: Modeling Skill Topologies with Bayesian Networks". A fifth of the variance of
ability lying between schools: Hedges and Hedberg 2007, "Intraclass Correlation Values for Planning
Group-Randomized Trials in Education". Log-normal school sizes and course lengths are an assumption.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from fedtrace.models.interactions import Interactions

FloatArray = npt.NDArray[np.float64]

BETWEEN_SCHOOLS: Final = 0.2
"""Share of the variance of ability that lies between schools; the total is 1 logit squared."""
SIZE_SPREAD: Final = 0.6
"""Standard deviation of the logarithm of a school's number of students."""
LENGTH_SPREAD: Final = 0.7
"""Standard deviation of the logarithm of a student's number of answers."""
LONGEST_FACTOR: Final = 6
"""No student answers more than this many times the median."""
PRACTICE_GAIN: Final = 2.5
"""Logits between no mastery and full mastery."""
READINESS_FLOOR: Final = 0.3
"""Learning rate left to a student who knows none of a skill's prerequisites."""
MOST_PREREQUISITES: Final = 2
MOVE_ON_RATE: Final = 0.12
"""Chance that the course goes to the next skill after an answer."""
REVIEW_RATE: Final = 0.15
"""Chance that a question is about any skill met so far instead of the current one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedSchool:
    """One school's answers.

    Attributes:
        name: "school-1", "school-2", ...
        level: mean ability of the school's students, in logits.
        students: identifiers, unique over all schools.
        interactions: one row a student, in the order of ``students``.
    """

    name: str
    level: float
    students: tuple[str, ...]
    interactions: Interactions

    def __repr__(self) -> str:
        return f"SimulatedSchool({self.name!r}, {len(self.students)} students)"

    def rows(self) -> Iterator[tuple[str, int, int, int]]:
        """Student, order from 0, skill and answer (0 or 1): what a table of answers holds."""
        ragged = self.interactions
        for student, first, end in zip(
            self.students, ragged.offsets[:-1], ragged.offsets[1:], strict=True
        ):
            answers = zip(ragged.skills[first:end], ragged.correct[first:end], strict=True)
            for order, (skill, correct) in enumerate(answers):
                yield student, order, int(skill), int(correct)


def simulate_schools(
    *,
    schools: int,
    students_per_school: int,
    skills: int,
    seed: int,
    answers_per_student: int = 60,
    least_students: int = 10,
) -> list[SimulatedSchool]:
    """Simulate a consortium; equal arguments give equal answers.

    A school's answers depend on the seed and its place, so one more school changes no other.

    Args:
        schools: how many.
        students_per_school: median of the log-normal sizes.
        skills: size of the catalogue; a skill's prerequisites have smaller ids.
        seed: not negative.
        answers_per_student: median of the log-normal lengths; every student has at least 2.
        least_students: no school is smaller.

    Raises:
        ValueError: a count below 1 (answers: below 2), or a negative seed.
    """
    bounds = {
        "schools": (schools, 1),
        "students_per_school": (students_per_school, 1),
        "skills": (skills, 1),
        "seed": (seed, 0),
        "answers_per_student": (answers_per_student, 2),
        "least_students": (least_students, 1),
    }
    for name, (value, least) in bounds.items():
        if value < least:
            raise ValueError(f"{name} is at least {least}, not {value}")
    course_seed, *school_seeds = np.random.SeedSequence(seed).spawn(schools + 1)
    course = _draw_course(skills, np.random.default_rng(course_seed))
    result = []
    for number, school_seed in enumerate(school_seeds, 1):
        rng = np.random.default_rng(school_seed)
        size = max(least_students, round(students_per_school * rng.lognormal(sigma=SIZE_SPREAD)))
        level = float(rng.normal(scale=np.sqrt(BETWEEN_SCHOOLS)))
        result.append(
            SimulatedSchool(
                name=f"school-{number}",
                level=level,
                students=tuple(f"s{number}-{student:04d}" for student in range(1, size + 1)),
                interactions=_attend(
                    course, _draw_students(size, level, rng), answers_per_student, rng
                ),
            )
        )
    return result


@dataclass(frozen=True, slots=True, kw_only=True)
class _Course:
    """Difficulty in logits, [skills]; share of each prerequisite, [skills, skills]."""

    difficulty: FloatArray
    prerequisites: FloatArray


@dataclass(frozen=True, slots=True, kw_only=True)
class _Students:
    """What students bring; each float64 [students]."""

    ability: FloatArray
    learning_rate: FloatArray
    guess: FloatArray
    slip: FloatArray
    forgetting: FloatArray


def _draw_course(skills: int, rng: np.random.Generator) -> _Course:
    prerequisites = np.zeros((skills, skills))
    for skill in range(1, skills):
        count = int(rng.integers(0, min(MOST_PREREQUISITES, skill) + 1))
        chosen = rng.choice(skill, size=count, replace=False)
        prerequisites[skill, chosen] = 1 / max(count, 1)
    return _Course(difficulty=rng.normal(0.5, 1.0, size=skills), prerequisites=prerequisites)


def _draw_students(size: int, level: float, rng: np.random.Generator) -> _Students:
    return _Students(
        ability=rng.normal(level, np.sqrt(1 - BETWEEN_SCHOOLS), size=size),
        learning_rate=rng.beta(2, 10, size=size),
        guess=rng.beta(4, 20, size=size),
        slip=rng.beta(2, 20, size=size),
        forgetting=rng.beta(1, 80, size=size),
    )


def _attend(
    course: _Course, students: _Students, answers_per_student: int, rng: np.random.Generator
) -> Interactions:
    """Let all students of a school answer in step; each stops after their own length."""
    size, skills = len(students.ability), len(course.difficulty)
    drawn = answers_per_student * rng.lognormal(sigma=LENGTH_SPREAD, size=size)
    lengths = np.clip(drawn.astype(np.int64), 2, LONGEST_FACTOR * answers_per_student)
    longest = int(lengths.max())
    asked = np.zeros((size, longest), dtype=np.int32)
    answers = np.zeros((size, longest), dtype=np.int8)
    everyone = np.arange(size)
    mastery = np.zeros((size, skills))
    current = rng.integers(0, skills // 2 + 1, size=size)
    for time in range(longest):
        review = rng.random(size) < REVIEW_RATE
        skill = np.where(review, rng.integers(0, current + 1), current)
        known = mastery[everyone, skill]
        logit = students.ability + PRACTICE_GAIN * known - course.difficulty[skill]
        can = 1 / (1 + np.exp(-logit))
        right = students.guess + (1 - students.guess - students.slip) * can
        asked[:, time] = skill
        answers[:, time] = rng.random(size) < right

        needed = course.prerequisites[skill]  # [students, skills]
        unready = (needed * (1 - mastery)).sum(axis=1)
        readiness = 1 - (1 - READINESS_FLOOR) * unready
        mastery *= 1 - students.forgetting[:, None]
        mastery[everyone, skill] = known + students.learning_rate * readiness * (1 - known)
        current = np.minimum(current + (rng.random(size) < MOVE_ON_RATE), skills - 1)
    present = np.arange(longest) < lengths[:, None]
    offsets = np.append(0, np.cumsum(lengths)).astype(np.int64)
    return Interactions(skills=asked[present], correct=answers[present], offsets=offsets)
