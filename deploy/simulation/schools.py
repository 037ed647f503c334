"""Tables of answers as a federation's schools: names that a charter can hold, files to import."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from fedtrace.client.ingest.mapping import Columns
from fedtrace.client.ingest.mapping import Mapping as ImportMapping
from fedtrace.deploy.simulation.answers import SchoolTable
from fedtrace.models.simulator import SimulatedSchool

IMPORT_MAPPING = ImportMapping(
    columns=Columns(student="student", skill="skill", correct="correct", order="order")
)
"""Reads the files that `write_school_csv` writes."""

_HEADER = ("student", "skill", "order", "correct", "teacher_comment")
_NOT_IN_A_NAME = re.compile(r"[^A-Za-z0-9._-]+")


def charter_names(schools: Iterable[str]) -> dict[str, str]:
    """Each school's name in the table -> a name that a charter can hold; distinct, sorted.

    Raises:
        ValueError: two names become the same one.
    """
    names: dict[str, str] = {}
    for school in sorted(schools):
        plain = _NOT_IN_A_NAME.sub("-", school).strip("-._")[:48] or "x"
        names[school] = plain if plain.startswith("school") else f"school-{plain}"
    if len(set(names.values())) < len(names):
        raise ValueError("two schools have names that differ only in characters we cannot keep")
    return names


def simulated_tables(schools: Iterable[SimulatedSchool]) -> Mapping[str, SchoolTable]:
    """Simulated schools in the shape of a table that was read."""
    return {
        school.name: SchoolTable(students=school.students, interactions=school.interactions)
        for school in schools
    }


def write_school_csv(table: SchoolTable, skills: tuple[str, ...], path: Path) -> None:
    """Write one school's answers as its learning platform would export them.

    The export has a column that nobody may import, so that the importer has something to drop.

    Raises:
        OSError: the file cannot be written.
    """
    ragged = table.interactions
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(_HEADER)
        spans = zip(table.students, ragged.offsets[:-1], ragged.offsets[1:], strict=True)
        for student, first, end in spans:
            for order, row in enumerate(range(first, end)):
                name = skills[ragged.skills[row]]
                writer.writerow((student, name, order, ragged.correct[row], "not for import"))
