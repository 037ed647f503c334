"""OneRoster 1.2 gradebooks: a zip of CSV files (1EdTech, CSV Binding 1.2.1).

``results.csv`` holds scores and ``lineItems.csv`` what they are out of; skills stand in
``resultLearningObjectiveIds.csv`` or, for a whole line item, ``lineItemLearningObjectiveIds.csv``
as CASE identifiers. A full score is right, the least score wrong, and anything between is neither.
"""

from __future__ import annotations

import math
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from fedtrace.client.ingest.lines import Lines
from fedtrace.client.ingest.mapping import Columns
from fedtrace.client.ingest.mapping import Mapping as ColumnMapping
from fedtrace.client.ingest.report import Merged, Rejections
from fedtrace.client.ingest.sheet import Sheet
from fedtrace.client.ingest.source import Row, Source, first_known, in_batches
from fedtrace.client.ingest.zipped import open_zip

RESULTS = "results.csv"
_LINE_ITEMS = "lineItems.csv"
_RESULT_OBJECTIVES = "resultLearningObjectiveIds.csv"
_ITEM_OBJECTIVES = "lineItemLearningObjectiveIds.csv"
_OBJECTIVE = "learningObjectiveId"

_GRADED = "fully graded"
_DELETED = "tobedeleted"

_RULES = ColumnMapping(
    columns=Columns(
        student="studentSourcedId", skill=_OBJECTIVE, correct="score", order="scoreDate"
    ),
    order_is="time",
    same_order="many-answers",
)
_READ = (
    *("studentSourcedId", "score", "scoreDate"),
    *("sourcedId", "lineItemSourcedId", "scoreStatus", "status"),
)


@dataclass(frozen=True, slots=True)
class OneRoster:
    """How to read one."""

    @property
    def rules(self) -> ColumnMapping:
        """Dates are coarse, so every result is an answer of its own."""
        return _RULES

    @contextmanager
    def open(
        self, path: Path, rejections: Rejections, skills: Mapping[str, int]
    ) -> Iterator[Source]:
        """Open a gradebook.

        Raises:
            ValueError: the zip is damaged or refused, or a file or column that is needed is
                missing.
            OSError: it cannot be read.
        """
        with open_zip(path) as archive:
            names = set(archive.namelist())
            for needed in (RESULTS, _LINE_ITEMS):
                if needed not in names:
                    raise ValueError(f"the zip has no {needed}: export the gradebook with it")
            if not names & {_RESULT_OBJECTIVES, _ITEM_OBJECTIVES}:
                raise ValueError(
                    f"the zip has neither {_RESULT_OBJECTIVES} nor {_ITEM_OBJECTIVES}: without "
                    "learning objectives no result has a skill; export the gradebook with them"
                )
            bounds = _bounds(archive)
            of_result = _objectives(archive, _RESULT_OBJECTIVES, "resultSourcedId", skills)
            of_item = _objectives(archive, _ITEM_OBJECTIVES, "lineItemSourcedId", skills)
            with _sheet(archive, RESULTS, rejections) as sheet:
                yield _Results(sheet, rejections, bounds, of_result, of_item)


class _Results:
    """The marked results of a gradebook."""

    def __init__(
        self,
        sheet: Sheet,
        rejections: Rejections,
        bounds: Mapping[str, tuple[float, float]],
        of_result: Mapping[str, str],
        of_item: Mapping[str, str],
    ) -> None:
        self._sheet = sheet
        self._rejections = rejections
        self._bounds = bounds
        self._of_result = of_result
        self._of_item = of_item
        self._places = [sheet.place(name) for name in _READ]
        self.kept = _RULES.columns.by_name() | {
            "result": "sourcedId",
            "line item": "lineItemSourcedId",
            "marked": "scoreStatus",
            "valid": "status",
        }
        self.dropped = tuple(name for name in sheet.header if name not in _READ)

    @property
    def lines_as_cp1252(self) -> int:
        """Lines of the results that were not UTF-8."""
        return self._sheet.lines_as_cp1252

    def __iter__(self) -> Iterator[tuple[Sequence[int], list[Row]]]:
        return in_batches(self._rows())

    def _rows(self) -> Iterator[tuple[int, Row]]:
        for line, fields in self._sheet.rows(self._places):
            student, score, date, result, item, marked, status = map(str.strip, fields)
            if marked.lower() != _GRADED or status.lower() == _DELETED:
                self._rejections.passed[Merged.NO_ANSWER] += 1
                continue
            skill = self._of_result.get(result) or self._of_item.get(item, "")
            yield line, (student, skill, _verdict(score, self._bounds.get(item)), date)


def _verdict(score: str, bounds: tuple[float, float] | None) -> str:
    """1 for all that could be had, 0 for the least, and else "", which is neither."""
    value = _number(score)
    if bounds is None or not bounds[0] < bounds[1]:
        return ""
    return {bounds[0]: "0", bounds[1]: "1"}.get(value, "")


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        return math.nan
    return value if math.isfinite(value) else math.nan


def _bounds(archive: zipfile.ZipFile) -> dict[str, tuple[float, float]]:
    """The least and greatest score of each line item; the least is 0 where it is not said."""
    rejections = Rejections()
    with _sheet(archive, _LINE_ITEMS, rejections) as sheet:
        places = [sheet.place(name) for name in ("sourcedId", "resultValueMin", "resultValueMax")]
        bounds = {
            item.strip(): (_number(low.strip() or "0"), _number(high))
            for _, (item, low, high) in sheet.rows(places)
        }
    _require_whole(rejections, _LINE_ITEMS)
    return bounds


def _objectives(
    archive: zipfile.ZipFile, name: str, key: str, skills: Mapping[str, int]
) -> dict[str, str]:
    """The one learning objective that stands for each result or line item."""
    found: dict[str, str] = {}
    if name not in archive.namelist():
        return found
    rejections = Rejections()
    with _sheet(archive, name, rejections) as sheet:
        places = [sheet.place(column) for column in (key, _OBJECTIVE, "status")]
        for _, fields in sheet.rows(places):
            owner, objective, status = map(str.strip, fields)
            if status.lower() != _DELETED:
                found[owner] = first_known([found.get(owner, ""), objective], skills)
    _require_whole(rejections, name)
    return found


def _require_whole(rejections: Rejections, name: str) -> None:
    """A file that others refer to is read whole or not at all."""
    for reason, line in rejections.first_lines.items():
        raise ValueError(f"line {line:,} of {name} in the zip cannot be read: {reason}")


@contextmanager
def _sheet(archive: zipfile.ZipFile, name: str, rejections: Rejections) -> Iterator[Sheet]:
    with archive.open(name) as stream:
        lines = Lines(cast("BinaryIO", stream), rejections)
        yield Sheet(lines, rejections, delimiter=",", quoted=True)
