"""xAPI statements (IEEE 9274.1.1) with the verb ``answered``.

The student is ``actor.account.name``; a name or an address of the actor is never read. Right or
wrong is ``result.success`` alone. The skill is the activity, or the first activity of the
statement's context, that the catalogue names. Voided statements are not looked for: a learning
record store leaves them out of what it returns (section 4.2.3).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fedtrace.client.ingest.events import Event, Events
from fedtrace.client.ingest.fields import Dropped, Seen, identifiers, member, short_digest, text
from fedtrace.client.ingest.lines import open_bytes
from fedtrace.client.ingest.mapping import Columns
from fedtrace.client.ingest.mapping import Mapping as ColumnMapping
from fedtrace.client.ingest.report import Merged, Rejections
from fedtrace.client.ingest.source import Row, Source, first_known, in_batches

ANSWERED = "http://adlnet.gov/expapi/verbs/answered"

_CONTEXTS = ("category", "parent", "grouping")
_VERDICTS = {True: "1", False: "0"}
_RULES = ColumnMapping(
    columns=Columns(
        student="actor.account.name",
        skill="object.id",
        correct="result.success",
        order="timestamp",
    ),
    order_is="time",
    same_order="many-answers",
)
_KEPT = {
    "statement": "id",
    "system": "actor.account.homePage",
    "verb": "verb.id",
    "skill of the context": "context.contextActivities",
}


@dataclass(frozen=True, slots=True)
class Xapi:
    """How to read them."""

    @property
    def rules(self) -> ColumnMapping:
        """Several answers may come at one time, as from a quiz that is sent in whole."""
        return _RULES

    @contextmanager
    def open(
        self, path: Path, rejections: Rejections, skills: Mapping[str, int]
    ) -> Iterator[Source]:
        """Open a file of statements, plain or compressed.

        Raises:
            ValueError: it is not JSON, has too many events, or accounts of more than one system.
            OSError: it cannot be read.
        """
        with open_bytes(path) as stream:
            yield _Statements(Events(stream, rejections), rejections, skills)


class _Statements:
    """The answers among the statements of a file."""

    def __init__(self, events: Events, rejections: Rejections, skills: Mapping[str, int]) -> None:
        self._events = events
        self._rejections = rejections
        self._skills = skills
        self._system: bytes | None = None
        self._seen = Seen()
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
        for line, statement in self._events:
            self._dropped.see(statement)
            if text(statement, "verb", "id") != ANSWERED:
                self._rejections.passed[Merged.NO_ANSWER] += 1
            elif self._seen.again(text(statement, "id").lower()):
                self._rejections.passed[Merged.DUPLICATE] += 1
            else:
                yield line, self._row(statement)

    def _row(self, statement: Event) -> Row:
        account = member(statement, "actor", "account")
        student = text(account, "name")
        if student:
            self._require_one_system(text(account, "homePage"))
        success = member(statement, "result", "success")
        verdict = _VERDICTS[success] if isinstance(success, bool) else ""
        names = identifiers(member(statement, "object"))
        for context in _CONTEXTS:
            names += identifiers(member(statement, "context", "contextActivities", context))
        return student, first_known(names, self._skills), verdict, text(statement, "timestamp")

    def _require_one_system(self, home_page: str) -> None:
        """One account name in two systems may be two students.

        Raises:
            ValueError: the accounts are of more than one system.
        """
        digest = short_digest(home_page)
        if self._system is None:
            self._system = digest
        if digest != self._system:
            raise ValueError(
                "the accounts are of more than one system (actor.account.homePage), so that one "
                "name may be two students: export one system at a time"
            )
