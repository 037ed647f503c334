"""The plan's public list of skills: a skill's id is its place in the list.

The catalogue is part of the plan and everybody sees it, so a name enters only if enough students
answered to it: a name that one student has may be that student's own words.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from pathlib import Path
from typing import Annotated

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)

from fedtrace.client.ingest.mapping import Mapping
from fedtrace.client.ingest.report import Rejections
from fedtrace.client.ingest.table import open_table
from fedtrace.governance.canonical import canonical, digest
from fedtrace.governance.document import reason_of

MAX_SKILLS = 100_000
MAX_NAME_LENGTH = 200
MIN_STUDENTS_PER_SKILL = 5

SkillName = Annotated[str, StringConstraints(min_length=1, max_length=MAX_NAME_LENGTH)]


class Catalogue(BaseModel):
    """``{"skills": ["Addition", ...]}``: distinct names, ids from 0 in this order."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    skills: list[SkillName] = Field(min_length=1, max_length=MAX_SKILLS)

    @model_validator(mode="after")
    def _plain_names(self) -> Catalogue:
        if len(set(self.skills)) != len(self.skills):
            raise ValueError("a skill is named twice")
        if any(name != name.strip() for name in self.skills):
            raise ValueError("a skill's name begins or ends with a space")
        return self

    def __len__(self) -> int:
        """The number of skills, which the plan repeats."""
        return len(self.skills)

    def ids(self) -> dict[str, int]:
        """The id of each name."""
        return {name: number for number, name in enumerate(self.skills)}

    def to_json(self) -> bytes:
        """Canonical JSON (RFC 8785): the content of ``catalogue.json``."""
        return canonical(self)

    def digest(self) -> str:
        """``sha256:<hex>`` of `to_json`: what the plan names, and the vault stores with records."""
        return digest(self.to_json())


def build_catalogue(
    paths: Iterable[Path], mapping: Mapping, *, min_students: int = MIN_STUDENTS_PER_SKILL
) -> Catalogue:
    """Collect skill names from files, in sorted order, for the consortium to look through.

    Args:
        paths: exports of one or more schools; students of different files count apart.
        mapping: how to read them; only the student and skill columns matter here.
        min_students: names with fewer students are left out.

    Raises:
        ValueError: a file cannot be read, no name has enough students, or there are so many
            names that the column is hardly one of skills.
    """
    students: dict[str, set[tuple[int, str]]] = {}
    for number, path in enumerate(paths):
        with open_table(path, mapping, Rejections()) as table:
            for student, skill, _, _ in chain.from_iterable(rows for _, rows in table):
                seen = students.setdefault(skill.strip(), set())
                if len(seen) < min_students:
                    seen.add((number, student.strip()))
                if len(students) > MAX_SKILLS:
                    raise ValueError(
                        f"the column {mapping.columns.skill!r} has more than {MAX_SKILLS:,} "
                        "different values: it does not name skills"
                    )
    names = [
        name
        for name, seen in students.items()
        if len(seen) >= min_students and 0 < len(name) <= MAX_NAME_LENGTH
    ]
    if not names:
        raise ValueError(f"no skill has {min_students} students or more")
    return Catalogue(skills=sorted(names))


def load_catalogue(content: bytes) -> Catalogue:
    """Read a plan's ``catalogue.json``.

    Raises:
        ValueError: not JSON of the documented form.
    """
    try:
        return Catalogue.model_validate_json(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or "the whole"
        raise ValueError(f"not a catalogue of skills: {where}: {reason_of(first)}") from error
