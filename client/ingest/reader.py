"""Reading answers from a CSV file into minimised interactions, one record a student.

The file streams; what stays in memory is seventeen bytes an answer plus the student numbers.
"""

from __future__ import annotations

from array import array
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fedtrace.client.ingest.catalogue import MAX_NAME_LENGTH, Catalogue
from fedtrace.client.ingest.mapping import Mapping
from fedtrace.client.ingest.merging import every_row, one_answer_a_place
from fedtrace.client.ingest.report import ImportReport, Merged, Reason, Rejections
from fedtrace.client.ingest.source import Layout, Row, Source
from fedtrace.client.ingest.table import open_table
from fedtrace.client.sealing import AnswerArray, SkillArray, StudentRecord

MAX_ORDER = 2.0**53
"""Beyond it a 64-bit float no longer tells neighbouring whole numbers apart."""

MAX_UNKNOWN_NAMES = 1_000
UNKNOWN_NAMES_SHOWN = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """What a file said about a school's students, with the account of how it was read.

    Attributes:
        report: counts and reasons.
        external_ids: the school's student numbers, in order of first appearance.
        skills: int32 [interactions], student by student, in time order.
        correct: int8 [interactions].
        offsets: int64 [students + 1]; student i owns ``offsets[i]:offsets[i + 1]``.
    """

    report: ImportReport
    external_ids: Sequence[str]
    skills: SkillArray
    correct: AnswerArray
    offsets: npt.NDArray[np.int64]

    def __repr__(self) -> str:
        return f"Imported({len(self.external_ids)} students, {len(self.skills)} interactions)"

    def records(self) -> Iterator[StudentRecord]:
        """One record a student, as the vault takes them."""
        for external_id, start, end in zip(
            self.external_ids, self.offsets[:-1], self.offsets[1:], strict=True
        ):
            yield StudentRecord(
                external_id=external_id,
                skills=self.skills[start:end],
                correct=self.correct[start:end],
            )


def read_csv(path: Path, mapping: Mapping, catalogue: Catalogue) -> Imported:
    """Read a school's export: plain CSV, or compressed as ``.gz`` or ``.xz``.

    Rows may come in any order. Each one is kept, merged into another, or rejected with a reason.

    Raises:
        ValueError: the file as a whole cannot be read: empty, no such column, another delimiter,
            UTF-16, damaged compression. The sentence has no field of a row in it.
        OSError: the file cannot be read.
    """
    rejections = Rejections()
    answers = _Answers(mapping, catalogue, rejections)
    with open_table(path, mapping, rejections) as table:
        answers.read(table)
        return answers.grouped(table)


def read_export(path: Path, layout: Mapping | Layout, catalogue: Catalogue) -> Imported:
    """Read a file in any format that is known here; a `Mapping` is a CSV's.

    Raises:
        ValueError: as `read_csv`, and as each format's own page in docs/formats/importing.md says.
        OSError: the file cannot be read.
    """
    if isinstance(layout, Mapping):
        return read_csv(path, layout, catalogue)
    rejections = Rejections()
    answers = _Answers(layout.rules, catalogue, rejections)
    with layout.open(path, rejections, catalogue.ids()) as source:
        answers.read(source)
        return answers.grouped(source)


class _Answers:
    """Accepted rows as flat columns of numbers, until the file has been read."""

    def __init__(self, mapping: Mapping, catalogue: Catalogue, rejections: Rejections) -> None:
        self._mapping = mapping
        self._words = mapping.words()
        self._order_of = _order_parser(mapping)
        self._skill_ids = catalogue.ids()
        self._rejections = rejections
        self._unknown: Counter[str] = Counter()
        self._numbers: defaultdict[str, int] = defaultdict()
        self._numbers.default_factory = self._numbers.__len__  # a new student gets the next number
        self._student = array("i")
        self._skill = array("i")
        self._correct = array("b")
        self._order = array("d")

    def read(self, table: Source) -> None:
        """Take the good rows: whole blocks where nothing is wrong, else row by row."""
        for lines, rows in table:
            if not self._take_all(rows):
                for line, row in zip(lines, rows, strict=True):
                    self._take_one(line, row)

    def _take_all(self, rows: Sequence[Row]) -> bool:
        """Take a block column by column; False, and nothing taken, where any row needs a look."""
        student, skill, answer, order = zip(*rows, strict=True)
        try:
            skills = array("i", map(self._skill_ids.__getitem__, skill))
            answers = array("b", map(self._words.__getitem__, answer))
            places = array("d", map(self._order_of, order))
        except (KeyError, ValueError):
            return False
        names = list(map(str.strip, student))
        if "" in names or not (np.abs(places) < MAX_ORDER).all():
            return False
        self._student.extend(map(self._numbers.__getitem__, names))
        self._skill.extend(skills)
        self._correct.extend(answers)
        self._order.extend(places)
        return True

    def _take_one(self, line: int, row: Row) -> None:
        student, skill, answer, order = map(str.strip, row)
        if not student:
            self._rejections.add(Reason.STUDENT_MISSING, line)
            return
        skill_id = self._skill_ids.get(skill)
        if skill_id is None:
            self._reject_skill(skill, line)
            return
        correct = self._words.get(answer.lower())
        if correct is None:
            self._rejections.add(Reason.ANSWER_NOT_BINARY, line)
            return
        try:
            place = self._order_of(order)
        except ValueError:
            place = MAX_ORDER
        if not abs(place) < MAX_ORDER:
            self._rejections.add(Reason.ORDER_UNREADABLE, line)
            return
        self._student.append(self._numbers[student])
        self._skill.append(skill_id)
        self._correct.append(correct)
        self._order.append(place)

    def grouped(self, table: Source) -> Imported:
        """Sort by student and order, and settle what several rows at one place mean."""
        student = np.frombuffer(self._student, dtype=np.int32)
        skill = np.frombuffer(self._skill, dtype=np.int32)
        correct = np.frombuffer(self._correct, dtype=np.int8)
        order = np.frombuffer(self._order, dtype=np.float64)
        if self._mapping.same_order == "one-answer":
            settled = one_answer_a_place(student=student, skill=skill, correct=correct, order=order)
        else:
            settled = every_row(student=student, order=order)
        passed = self._rejections.passed
        rows_read = len(student) + self._rejections.counts.total() + passed.total()
        merged = passed + Counter(
            {
                Merged.DUPLICATE: settled.duplicates,
                Merged.MULTI_SKILL: settled.further_skills,
            }
        )
        rejected = self._rejections.counts + Counter({Reason.CONTRADICTION: settled.contradictions})
        kept = settled.kept
        answered = np.bincount(student[kept], minlength=len(self._numbers))
        students = [name for name, rows in zip(self._numbers, answered, strict=True) if rows]
        report = ImportReport(
            columns_kept=dict(table.kept),
            columns_dropped=table.dropped,
            rows_read=rows_read,
            rows_kept=len(kept),
            rows_merged=dict(merged),
            rows_rejected=dict(rejected),
            first_rejected_line=self._rejections.first_lines,
            unknown_skills=dict(self._unknown.most_common(UNKNOWN_NAMES_SHOWN)),
            unknown_skill_names=len(self._unknown),
            students=len(students),
            skills=len(np.unique(skill[kept])),
            lines_read_as_cp1252=table.lines_as_cp1252,
        )
        return Imported(
            report=report,
            external_ids=students,
            skills=skill[kept],
            correct=correct[kept],
            offsets=np.append(0, np.cumsum(answered[answered > 0])).astype(np.int64),
        )

    def _reject_skill(self, name: str, line: int) -> None:
        if not name:
            self._rejections.add(Reason.SKILL_MISSING, line)
            return
        self._rejections.add(Reason.SKILL_UNKNOWN, line)
        short = name[:MAX_NAME_LENGTH]
        if short in self._unknown or len(self._unknown) < MAX_UNKNOWN_NAMES:
            self._unknown[short] += 1


def _order_parser(mapping: Mapping) -> Callable[[str], float]:
    """What turns the order's text into a number; it raises ValueError where it cannot."""
    if mapping.columns.order is None:
        position = count()
        return lambda _: float(next(position))
    return float if mapping.order_is == "number" else _seconds


def _seconds(text: str) -> float:
    """An ISO 8601 time in seconds; without a zone it is taken as UTC, which only shifts it."""
    moment = datetime.fromisoformat(text.strip())
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
