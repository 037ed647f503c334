"""Caliper 1.2 events: answers to items and their grades (1EdTech Caliper Analytics 1.2).

An ``AssessmentItemEvent`` says who answered which item and not whether it was right; that is in
the ``GradeEvent`` on the same attempt. The student is the attempt's ``assignee``, or the actor of
the item event; the skill is a learning objective of the item, or the item, that the catalogue
names. The whole score is right, none is wrong, and anything between is neither.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from fedtrace.client.ingest.events import Event, Events
from fedtrace.client.ingest.fields import (
    Dropped,
    Seen,
    identifier,
    identifiers,
    member,
    number,
    short_digest,
    text,
)
from fedtrace.client.ingest.lines import open_bytes
from fedtrace.client.ingest.mapping import Columns
from fedtrace.client.ingest.mapping import Mapping as ColumnMapping
from fedtrace.client.ingest.report import Merged, Reason, Rejections
from fedtrace.client.ingest.source import Row, Source, first_known, in_batches

MAX_ATTEMPTS = 1_000_000
"""Of one file; each is kept in mind until the end, because its other half may come last."""

MAX_REMEMBERED = 128 * 1024 * 1024
"""Characters of the attempts in mind; a student or a skill counts once, however often it comes."""

_RULES = ColumnMapping(
    columns=Columns(
        student="object.assignee",
        skill="object.assignable",
        correct="generated.scoreGiven",
        order="eventTime",
    ),
    order_is="time",
    same_order="many-answers",
)
_KEPT = {
    "event": "id",
    "kind": "type",
    "action": "action",
    "attempt": "object.id",
    "whole score": "generated.maxScore",
    "attempt of the item": "generated.attempt",
    "student of the item": "actor.id",
    "skill of the item": "object.learningObjectives",
}


@dataclass(frozen=True, slots=True)
class Caliper:
    """How to read them."""

    @property
    def rules(self) -> ColumnMapping:
        """Several grades may come at one time."""
        return _RULES

    @contextmanager
    def open(
        self, path: Path, rejections: Rejections, skills: Mapping[str, int]
    ) -> Iterator[Source]:
        """Open a file of events or envelopes, plain or compressed.

        Raises:
            ValueError: it is not JSON, or has too many or too long attempts, or too many events.
            OSError: it cannot be read.
        """
        with open_bytes(path) as stream:
            yield _Grades(Events(stream, rejections), rejections, skills)


@dataclass(frozen=True, slots=True)
class _Half:
    """What one event knows of an attempt; "" for what it does not."""

    student: str
    skill: str
    time: str
    verdict: str = ""
    line: int = 0

    def __repr__(self) -> str:
        return f"_Half(line {self.line})"


class _Grades:
    """Grades, joined with the item events of the same attempts."""

    def __init__(self, events: Events, rejections: Rejections, skills: Mapping[str, int]) -> None:
        self._events = events
        self._rejections = rejections
        self._skills = skills
        self._seen = Seen()
        self._items: dict[bytes, _Half] = {}
        self._waiting: dict[bytes, _Half] = {}
        self._verdicts: dict[bytes, str] = {}
        self._names: dict[str, str] = {}
        self._remembered = 0
        self.kept = _RULES.columns.by_name() | _KEPT
        self._dropped = Dropped(frozenset(self.kept.values()))

    @property
    def dropped(self) -> tuple[str, ...]:
        """Names of members that are not read."""
        return self._dropped.names()

    @property
    def lines_as_cp1252(self) -> int:
        """Lines that were not UTF-8."""
        return self._events.lines_as_cp1252

    def __iter__(self) -> Iterator[tuple[Sequence[int], list[Row]]]:
        return in_batches(self._rows())

    def _rows(self) -> Iterator[tuple[int, Row]]:
        for line, event in self._events:
            self._dropped.see(event)
            kind = text(event, "type")
            if kind not in ("AssessmentItemEvent", "GradeEvent"):
                self._rejections.passed[Merged.NO_ANSWER] += 1
            elif self._seen.again(text(event, "id").lower()):
                self._rejections.passed[Merged.DUPLICATE] += 1
            elif kind == "AssessmentItemEvent":
                self._rejections.passed[Merged.NO_ANSWER] += 1
                self._see_item(event)
            elif text(event, "action") != "Graded":
                self._rejections.passed[Merged.NO_ANSWER] += 1
            else:
                yield from self._see_grade(line, event)
            if max(len(self._items), len(self._verdicts)) > MAX_ATTEMPTS:
                raise ValueError(
                    f"the file has more than {MAX_ATTEMPTS:,} attempts: export a shorter time"
                )
        for attempt, grade in self._waiting.items():
            yield from self._joined(grade, self._items.get(attempt))

    def _see_item(self, event: Event) -> None:
        """Remember who answered what; two items of one attempt leave neither."""
        response = member(event, "generated")
        attempt = identifier(member(response, "attempt"))
        if not attempt:
            return
        item = member(event, "object")
        names = identifiers(member(item, "learningObjectives")) + identifiers(item)
        half = _Half(
            identifier(member(response, "attempt", "assignee"))
            or identifier(member(event, "actor")),
            first_known(names, self._skills),
            text(event, "eventTime"),
        )
        before = self._items.get(short_digest(attempt))
        if before is None:
            self._items[short_digest(attempt)] = self._to_remember(half)
        elif (before.student, before.skill) != (half.student, half.skill):
            self._items[short_digest(attempt)] = _Half("", "", "")

    def _see_grade(self, line: int, event: Event) -> Iterator[tuple[int, Row]]:
        attempt = member(event, "object")
        name = identifier(attempt)
        verdict = _verdict(event)
        if name:
            before = self._verdicts.setdefault(short_digest(name), verdict)
            if (
                short_digest(name) in self._waiting
                or before != verdict
                or self._seen.again(f"grade of {name}")
            ):
                if before == verdict:
                    self._rejections.passed[Merged.DUPLICATE] += 1
                else:
                    self._rejections.add(Reason.CONTRADICTION, line)
                return
        item = member(attempt, "assignable")
        names = identifiers(member(item, "learningObjectives")) + identifiers(item)
        grade = _Half(
            identifier(member(attempt, "assignee")),
            first_known(names, self._skills),
            text(event, "eventTime"),
            verdict,
            line,
        )
        if name and not (grade.student and grade.skill in self._skills):
            self._waiting[short_digest(name)] = self._to_remember(grade)
        else:
            yield from self._joined(grade, None)

    def _to_remember(self, half: _Half) -> _Half:
        """The same, with one copy of each name for all attempts.

        Raises:
            ValueError: with it there are more than `MAX_REMEMBERED` characters.
        """
        for name in {half.student, half.skill} - self._names.keys():
            self._names[name] = name
            self._remembered += len(name)
        self._remembered += len(half.time)
        if self._remembered > MAX_REMEMBERED:
            raise ValueError(
                f"the names and times of its attempts have more than {MAX_REMEMBERED:,} "
                "characters: export a shorter time"
            )
        return replace(half, student=self._names[half.student], skill=self._names[half.skill])

    def _joined(self, grade: _Half, item: _Half | None) -> Iterator[tuple[int, Row]]:
        """The answer of which a grade is one half."""
        student = grade.student or (item.student if item else "")
        skill = grade.skill
        if item and skill not in self._skills:
            skill = item.skill
        if not student or not skill:
            self._rejections.add(Reason.GRADE_WITHOUT_ITEM, grade.line)
            return
        time = (item.time if item else "") or grade.time
        yield grade.line, (student, skill, grade.verdict, time)


def _verdict(event: Event) -> str:
    """1 for the whole score, 0 for none, and else "", which is neither."""
    score = number(event, "generated", "scoreGiven")
    most = number(event, "generated", "maxScore")
    if score is None or most is None or most <= 0:
        return ""
    return {0.0: "0", most: "1"}.get(score, "")
