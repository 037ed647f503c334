"""How a school's CSV maps to interactions: a small TOML file, the allow-list of the import.

What the mapping does not name is never read. It cannot name a place for free text either: a skill
must be a name in the plan's public catalogue, an answer one of the listed words, an order a
number or a time, and the student number is hashed. Format: docs/formats/csv-mapping.md.
"""

from __future__ import annotations

import tomllib
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from fedtrace.governance.document import reason_of

Role = Literal["student", "skill", "correct", "order"]

_STRICT = ConfigDict(extra="forbid", frozen=True, strict=True)


class Columns(BaseModel):
    """The columns to read, by their names in the header.

    Attributes:
        student: the school's own number or name for the student.
        skill: the name of the skill, as in the catalogue.
        correct: the answer, in one of the words of ``Answers``.
        order: sorts a student's answers; without it they are taken in the order of the file.
    """

    model_config = _STRICT

    student: str = Field(min_length=1)
    skill: str = Field(min_length=1)
    correct: str = Field(min_length=1)
    order: str | None = Field(default=None, min_length=1)

    def by_role(self) -> dict[Role, str]:
        """The columns that are there, in a fixed order."""
        roles: dict[Role, str] = {
            "student": self.student,
            "skill": self.skill,
            "correct": self.correct,
        }
        if self.order is not None:
            roles["order"] = self.order
        return roles

    def by_name(self) -> dict[str, str]:
        """The same for a report, which may name more than the four roles."""
        return {str(role): name for role, name in self.by_role().items()}


class Answers(BaseModel):
    """The words for a right and a wrong answer; upper and lower case are the same.

    Partial credit is neither: such rows are rejected, never rounded.
    """

    model_config = _STRICT

    right: list[str] = ["1", "1.0", "true", "yes", "right", "correct"]
    wrong: list[str] = ["0", "0.0", "false", "no", "wrong", "incorrect"]

    @model_validator(mode="after")
    def _disjoint(self) -> Answers:
        both = {word.lower() for word in self.right} & {word.lower() for word in self.wrong}
        if both:
            raise ValueError(f"words for both right and wrong: {', '.join(sorted(both))}")
        return self


class Mapping(BaseModel):
    """A saved mapping from one kind of CSV.

    Attributes:
        columns: what is read.
        answers: how answers are written.
        delimiter: what separates fields.
        order_is: ``number``, or ``time`` in ISO 8601; times only sort, and are then forgotten.
        same_order: what several rows of one student at one place in the order are. ``one-answer``:
            the same answer again, so that repeats count once, rows for further skills are merged
            and contradictions rejected. ``many-answers``: the order is coarse, such as a date,
            and every row counts.
    """

    model_config = _STRICT

    columns: Columns
    answers: Answers = Answers()
    delimiter: Literal[",", ";", "\t", "|"] = ","
    order_is: Literal["number", "time"] = "number"
    same_order: Literal["one-answer", "many-answers"] = "one-answer"

    @model_validator(mode="after")
    def _distinct_columns(self) -> Mapping:
        names = list(self.columns.by_role().values())
        if len(set(names)) != len(names):
            raise ValueError("one column cannot have two roles")
        return self

    def words(self) -> dict[str, int]:
        """0 or 1 for every accepted word, as it is usually written and in lower case."""
        return {
            spelling: value
            for value, words in enumerate((self.answers.wrong, self.answers.right))
            for word in words
            for spelling in (word, word.lower(), word.upper(), word.title())
        }


def load_mapping(text: str) -> Mapping:
    """Read a mapping from TOML.

    Raises:
        ValueError: not TOML, an unknown key, a value of the wrong kind; with the path to it.
    """
    try:
        return Mapping.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"the mapping is not TOML: {error}") from error
    except ValidationError as error:
        found = "; ".join(
            f"{'.'.join(map(str, item['loc'])) or 'mapping'}: {reason_of(item)}"
            for item in error.errors()
        )
        raise ValueError(f"the mapping does not hold: {found}") from error
