"""DataShop exports, as MATHia's: tab-delimited, by student step or by transaction.

Column names and meanings: DataShop help, "Export: Getting Data Out". Of each student's work on a
step the first attempt counts, and a request for a hint is a wrong answer. Where a step has several
knowledge components, joined by ``~~`` or in several columns of one name, the one that comes first
in the catalogue stays. Bytes may be CP1252, fields are not quoted, and ``.`` stands for nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fedtrace.client.ingest.lines import Lines, open_bytes
from fedtrace.client.ingest.mapping import Answers, Columns
from fedtrace.client.ingest.mapping import Mapping as ColumnMapping
from fedtrace.client.ingest.report import Merged, Rejections
from fedtrace.client.ingest.sheet import Sheet
from fedtrace.client.ingest.source import Row, Source, first_known, in_batches

STUDENT = "Anon Student Id"
DELIMITER = "\t"

_STEP_ANSWERS = ("First Attempt", "Correct First Attempt")
_STEP_ORDERS = ("First Transaction Time", "Step Start Time")
_OUTCOME, _ATTEMPT, _TIME = "Outcome", "Attempt At Step", "Time"
_SAMPLE = "Sample"
_JOINT = "~~"
_NOTHING = "."
_KC = re.compile(r"KC(?: Model)? ?\((?P<model>.+)\)")
_MODELS_SHOWN = 10

_RULES = ColumnMapping(
    columns=Columns(student=STUDENT, skill="KC", correct=_OUTCOME, order=_TIME),
    answers=Answers(
        right=["correct", "ok", "1"],
        wrong=[
            *("incorrect", "error", "bug", "jit", "0"),
            *("hint", "hint_request", "initial_hint", "hint_level_change"),
        ],
    ),
    order_is="time",
    same_order="many-answers",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DataShop:
    """How to read one.

    Attributes:
        kc_model: which model of knowledge components names the skills; needed where the file has
            several.
    """

    kc_model: str | None = None

    @property
    def rules(self) -> ColumnMapping:
        """Words of both kinds of export; times sort and are then forgotten."""
        return _RULES

    @contextmanager
    def open(
        self, path: Path, rejections: Rejections, skills: Mapping[str, int]
    ) -> Iterator[Source]:
        """Open an export, plain or compressed.

        Raises:
            ValueError: columns are missing, or the model is, whose sentence lists the models; or
                there is more than one sample.
            OSError: the file cannot be read.
        """
        with open_bytes(path) as stream:
            lines = Lines(stream, rejections, quotes_join_lines=False)
            sheet = Sheet(lines, rejections, delimiter=DELIMITER, quoted=False)
            yield _Steps(sheet, self.kc_model, rejections, skills)


class _Steps:
    """The first attempts of an export of either kind."""

    def __init__(
        self,
        sheet: Sheet,
        kc_model: str | None,
        rejections: Rejections,
        skills: Mapping[str, int],
    ) -> None:
        self._sheet = sheet
        self._rejections = rejections
        self._skills = skills
        answer, order, attempt = _kind(sheet.header)
        skill = _kc_column(sheet.header, kc_model)
        self.kept = {"student": STUDENT, "skill": skill, "correct": answer, "order": order}
        self._places = [sheet.place(name) for name in (STUDENT, answer, order)]
        if attempt is not None:
            self.kept["attempt"] = attempt
        self._has_attempt = attempt is not None
        # Without a number of the attempt the order stands in its place, unread.
        self._places.append(sheet.place(attempt or order))
        # A step that is in two samples comes twice; without that column the order stands there too.
        self._places.append(sheet.place(_SAMPLE if _SAMPLE in sheet.header else order))
        self._sample: str | None = None
        if _SAMPLE in sheet.header:
            self.kept["sample"] = _SAMPLE
        self._places += [place for place, name in enumerate(sheet.header) if name == skill]
        read = set(self.kept.values())
        self.dropped = tuple(name for name in sheet.header if name not in read)

    @property
    def lines_as_cp1252(self) -> int:
        """Lines that were not UTF-8."""
        return self._sheet.lines_as_cp1252

    def __iter__(self) -> Iterator[tuple[Sequence[int], list[Row]]]:
        return in_batches(self._rows())

    def _rows(self) -> Iterator[tuple[int, Row]]:
        for line, fields in self._sheet.rows(self._places):
            student, answer, order, attempt, sample, *components = map(_text, fields)
            if "sample" in self.kept:
                self._require_one_sample(sample)
            if self._has_attempt and attempt != "1":
                why = Merged.LATER_ATTEMPT if attempt else Merged.NO_ANSWER
                self._rejections.passed[why] += 1
                continue
            names = [part.strip() for text in components for part in text.split(_JOINT)]
            skill = first_known(names, self._skills)
            yield line, (student, skill, answer, order)

    def _require_one_sample(self, sample: str) -> None:
        if self._sample is None:
            self._sample = sample
        if sample != self._sample:
            raise ValueError(
                "the file has rows of more than one DataShop sample, so that one answer may stand "
                "in it twice: export one sample"
            )


def _text(field: str) -> str:
    """A field without the quotes that a spreadsheet may have put around it; "" for nothing."""
    text = field.strip()
    if len(text) > 1 and text.startswith('"') and text.endswith('"'):
        text = text[1:-1].replace('""', '"').strip()
    return "" if text == _NOTHING else text


def _kind(header: Sequence[str]) -> tuple[str, str, str | None]:
    """The columns of answer, order and, by transaction, number of the attempt."""
    for answer in _STEP_ANSWERS:
        for order in _STEP_ORDERS:
            if answer in header and order in header:
                return answer, order, None
    if _OUTCOME in header and _ATTEMPT in header and _TIME in header:
        return _OUTCOME, _TIME, _ATTEMPT
    raise ValueError(
        f"this is no DataShop export by student step ({_STEP_ANSWERS[0]!r} and "
        f"{_STEP_ORDERS[0]!r}) or by transaction ({_OUTCOME!r}, {_ATTEMPT!r} and {_TIME!r}): "
        "a column is missing; export it from DataShop again, with all columns"
    )


def _kc_column(header: Sequence[str], kc_model: str | None) -> str:
    """The name of the column, or columns, of the knowledge components."""
    columns = {found["model"].strip(): name for name in header if (found := _KC.fullmatch(name))}
    listed = ", ".join(list(columns)[:_MODELS_SHOWN])
    if not columns:
        raise ValueError(
            "the file has no knowledge components: no column is called 'KC (...)'; choose a KC "
            "model in DataShop's export"
        )
    if kc_model is None:
        if len(columns) > 1:
            raise ValueError(
                f"the file has {len(columns)} models of knowledge components; choose one with "
                f"--kc-model: {listed}"
            )
        (kc_model,) = columns
    if kc_model not in columns:
        raise ValueError(f"the file has no KC model {kc_model!r}; it has {listed}")
    return columns[kc_model]
