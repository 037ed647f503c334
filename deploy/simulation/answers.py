"""A whole table of students' answers in memory, for measurements on real or simulated schools.

This is the short way for research. What a school imports for training goes through
``fedtrace.client.ingest`` instead.
"""

from __future__ import annotations

import csv
import gzip
import lzma
import math
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from io import TextIOWrapper
from itertools import count
from pathlib import Path

import numpy as np

from fedtrace.models.interactions import Interactions

_COLUMNS_SHOWN = 40
_HEADER_SHOWN = 400

_ANSWERS: Mapping[str, int] = {"0": 0, "1": 1, "0.0": 0, "1.0": 1}


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """Which columns of the table to read; the others are never stored.

    ``item`` takes the place of ``skill`` in a table that has no skills.
    """

    school: str = "school"
    student: str = "student"
    skill: str = "skill"
    item: str | None = None
    order: str = "seq"
    correct: str = "correct"


@dataclass(frozen=True, slots=True, kw_only=True)
class SchoolTable:
    """One school's students, in order of first appearance, with one row of interactions each."""

    students: tuple[str, ...]
    interactions: Interactions

    def __repr__(self) -> str:
        return f"SchoolTable({len(self.students)} students)"

    def cut(self, length: int) -> SchoolTable:
        """The first ``length`` answers of every student."""
        return replace(self, interactions=self.interactions.cut(length))


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """A whole table.

    Attributes:
        skills: the catalogue; a skill's id is its place in this sorted tuple.
        schools: by name, in sorted order.
        without_school: students whose school is not known, or None.
    """

    skills: tuple[str, ...]
    schools: Mapping[str, SchoolTable]
    without_school: SchoolTable | None


def read_answers(path: Path, columns: Columns) -> Answers:
    """Read a table of one answer a row: CSV, plain or compressed as .gz or .xz.

    A student seen in two schools counts as two. Rows may come in any order; each student's are
    sorted by the order column, rows of equal order as in the file.

    Raises:
        ValueError: a column is missing or there twice, a row has too few or too many fields, a
            student or skill is missing, an answer is not 0 or 1, an order is not a number, the
            text is not UTF-8, the compressed data is damaged, or there is no row. The sentence
            names the file and the row, and never its content.
        OSError: the file cannot be read.
    """
    try:
        with _open_text(path) as lines:
            return _answers(_rows(lines, columns), columns)
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not text in UTF-8: save it as CSV in UTF-8.") from error
    except (lzma.LZMAError, gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise ValueError(f"{path} is damaged or cut short: it cannot be decompressed.") from error
    except ValueError as error:
        raise ValueError(f"{path}: {error}.") from error


def _answers(rows: Iterable[tuple[int, Sequence[str]]], columns: Columns) -> Answers:
    """Code names as integers while reading, then sort once."""
    school_codes: dict[str, int] = {}
    student_codes: dict[tuple[int, str], int] = {}
    skill_codes: dict[str, int] = {}
    owner: list[int] = []
    skills: list[int] = []
    correct: list[int] = []
    order: list[float] = []
    for number, (school, student, skill, when, answer) in rows:
        if not student or not skill:
            missing = "skill" if student else "student"
            raise ValueError(f"row {number}: the {missing} is missing")
        if answer not in _ANSWERS:
            raise ValueError(f"row {number}: the column {columns.correct!r} is not 0 or 1")
        order.append(_number(when))
        if not math.isfinite(order[-1]):
            raise ValueError(f"row {number}: the column {columns.order!r} is not a number")
        key = (school_codes.setdefault(school, len(school_codes)), student)
        owner.append(student_codes.setdefault(key, len(student_codes)))
        skills.append(skill_codes.setdefault(skill, len(skill_codes)))
        correct.append(_ANSWERS[answer])
    if not owner:
        raise ValueError("the table has a header and no row")

    by_student = np.lexsort((np.asarray(order), np.asarray(owner)))
    catalogue = sorted(skill_codes)
    sorted_id = np.empty(len(catalogue), dtype=np.int32)
    sorted_id[[skill_codes[skill] for skill in catalogue]] = np.arange(len(catalogue))
    everyone = Interactions(
        skills=sorted_id[np.asarray(skills)[by_student]],
        correct=np.asarray(correct, dtype=np.int8)[by_student],
        offsets=np.append(0, np.cumsum(np.bincount(owner))).astype(np.int64),
    )
    tables = _by_school(everyone, list(student_codes), list(school_codes))
    return Answers(
        skills=tuple(catalogue),
        schools={name: tables[name] for name in sorted(tables) if name},
        without_school=tables.get(""),
    )


def _by_school(
    everyone: Interactions, keys: Sequence[tuple[int, str]], names: Sequence[str]
) -> dict[str, SchoolTable]:
    members: list[list[int]] = [[] for _ in names]
    for student, (school, _) in enumerate(keys):
        members[school].append(student)
    return {
        name: SchoolTable(
            students=tuple(keys[student][1] for student in members[school]),
            interactions=everyone.select(members[school]),
        )
        for school, name in enumerate(names)
    }


def _rows(lines: Iterable[str], columns: Columns) -> Iterator[tuple[int, Sequence[str]]]:
    """Row number from 1, and school, student, skill, order, correct."""
    reader = csv.reader(lines)
    header = _next_row(reader, 0)
    if header is None:
        raise ValueError("the file is empty: there is no header")
    skill = columns.skill
    if skill not in header and columns.item is not None:
        skill = columns.item
    wanted = (columns.school, columns.student, skill, columns.order, columns.correct)
    for name in wanted:
        if name not in header:
            raise ValueError(_no_column(name, header))
        if header.count(name) > 1:
            raise ValueError(f"the column {name!r} is there {header.count(name)} times")
    places = [header.index(name) for name in wanted]
    for number in count(1):
        row = _next_row(reader, number)
        if row is None:
            return
        if len(row) != len(header):
            raise ValueError(f"row {number} has {len(row)} fields, the header {len(header)}")
        yield number, [row[place] for place in places]


def _next_row(reader: Iterator[list[str]], number: int) -> list[str] | None:
    """The next row, or None at the end of the file; row 0 is the header."""
    try:
        return next(reader, None)
    except csv.Error as error:
        raise ValueError(f"row {number} cannot be read as CSV: {error}") from error


def _no_column(name: str, header: Sequence[str]) -> str:
    """What is there instead, without printing a whole file that is no table."""
    for delimiter in (";", "\t", "|"):
        if name in delimiter.join(header).split(delimiter):
            return f"the fields are separated by {delimiter!r}: save the file with commas"
    shown = ", ".join(header[:_COLUMNS_SHOWN])[:_HEADER_SHOWN]
    more = ", ..." if shown != ", ".join(header) else ""
    return f"there is no column {name!r}; the header has: {shown}{more}"


def _number(text: str) -> float:
    """NaN for what is not a number."""
    try:
        return float(text)
    except ValueError:
        return math.nan


def _open_text(path: Path) -> TextIOWrapper:
    """The decompressed text without a byte-order mark."""
    if path.suffix == ".xz":
        return lzma.open(path, "rt", encoding="utf-8-sig", newline="")
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8-sig", newline="")
    return path.open(encoding="utf-8-sig", newline="")
