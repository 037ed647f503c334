"""What an import kept, dropped and rejected: counts and reasons, never a student."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from enum import StrEnum

from pydantic import BaseModel, ConfigDict


class Reason(StrEnum):
    """Why a row was rejected."""

    LINE_TOO_LONG = "line too long"
    NUL_BYTE = "NUL byte"
    UNDECODABLE = "neither UTF-8 nor CP1252"
    QUOTE_NEVER_CLOSED = "quote never closed"
    NOT_CSV = "not readable as CSV"
    FIELD_COUNT = "wrong number of fields"
    STUDENT_MISSING = "student missing"
    SKILL_MISSING = "skill missing"
    SKILL_UNKNOWN = "skill not in the catalogue"
    ANSWER_NOT_BINARY = "answer neither right nor wrong"
    ORDER_UNREADABLE = "order unreadable"
    CONTRADICTION = "one answer both right and wrong"
    NOT_JSON = "not readable as JSON"
    GRADE_WITHOUT_ITEM = "grade whose student or item is not in the file"


class Merged(StrEnum):
    """Why a good row is not an interaction of its own."""

    DUPLICATE = "the same answer again"
    MULTI_SKILL = "further skill of the same answer"
    LATER_ATTEMPT = "later attempt at the same step"
    NO_ANSWER = "not a marked answer"


class Rejections:
    """Counts rejected rows by reason while a file is read, and where each reason came first.

    Attributes:
        passed: good rows that are no interactions of their own, where only the format can tell.
    """

    def __init__(self) -> None:
        self.counts: Counter[Reason] = Counter()
        self.passed: Counter[Merged] = Counter()
        self.first_lines: dict[Reason, int] = {}

    def add(self, reason: Reason, line: int, rows: int = 1) -> None:
        """Count one or more rows that end at a line of the file, the header being line 1."""
        self.counts[reason] += rows
        self.first_lines.setdefault(reason, line)


class ImportReport(BaseModel):
    """The account of one import. ``rows_read`` is the sum of kept, merged and rejected rows.

    Attributes:
        columns_kept: what is read, by role (student, skill, ...) and name in the file.
        columns_dropped: every other column of the file, in its order.
        rows_read: rows after the header, blank lines not counted.
        rows_kept: rows that became interactions.
        rows_merged: good rows that say nothing new, by reason.
        rows_rejected: rows that cannot be used, by reason.
        first_rejected_line: a line of the file to look at, for each reason that one line can have.
        unknown_skills: the most frequent names outside the catalogue, with their rows.
        unknown_skill_names: how many different names are outside the catalogue; counting stops
            at a limit that ``fedtrace.client.ingest.reader`` names.
        students: students with at least one interaction.
        skills: skills of the catalogue that occur.
        lines_read_as_cp1252: lines that were not UTF-8.
        students_erased: of these students, how many were erased here before and left out.
        dry_run: True when nothing was stored.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    columns_kept: Mapping[str, str]
    columns_dropped: tuple[str, ...]
    rows_read: int
    rows_kept: int
    rows_merged: Mapping[Merged, int]
    rows_rejected: Mapping[Reason, int]
    first_rejected_line: Mapping[Reason, int]
    unknown_skills: Mapping[str, int]
    unknown_skill_names: int
    students: int
    skills: int
    lines_read_as_cp1252: int
    students_erased: int = 0
    dry_run: bool = False

    def lines(self) -> list[str]:
        """The report in plain words, one finding a line."""
        kept = ", ".join(f"{role} = {name}" for role, name in self.columns_kept.items())
        dropped = ", ".join(self.columns_dropped) or "none"
        lines = [
            f"columns read: {kept}",
            f"columns dropped unread ({len(self.columns_dropped)}): {dropped}",
            f"rows: {self.rows_read:,} read, {self.rows_kept:,} kept",
        ]
        lines += [f"  merged {rows:,}: {why}" for why, rows in self.rows_merged.items()]
        for why, rows in self.rows_rejected.items():
            line = self.first_rejected_line.get(why)
            place = f" (first at line {line:,})" if line else ""
            lines.append(f"  rejected {rows:,}: {why}{place}")
        if self.unknown_skills:
            names = ", ".join(f"{name} ({rows:,})" for name, rows in self.unknown_skills.items())
            lines.append(f"  skills not in the catalogue ({self.unknown_skill_names:,}): {names}")
        if self.lines_read_as_cp1252:
            lines.append(f"lines read as CP1252, not UTF-8: {self.lines_read_as_cp1252:,}")
        lines.append(f"students: {self.students:,}; skills: {self.skills:,}")
        if self.students_erased:
            lines.append(f"  left out, because they were erased here: {self.students_erased:,}")
        if self.dry_run:
            lines.append("dry run: nothing was stored")
        return lines
