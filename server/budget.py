"""Is the job's privacy budget enough for what comes next? Asked before any school is.

Composing privacy losses takes a good part of a second. Epsilon never falls when an event is
added, so once the whole rest of a job is known to fit, each of its rounds fits too.

Every order is one event, also the second order of a round: a school that was late for the first
has spent its students' budget on an answer that nobody used. The consortium's ledger is therefore
an upper bound for each school; the exact one lies at the school.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from fedtrace.governance.ledger import (
    PrivacyEvent,
    round_event,
    student_year,
    would_exceed,
)
from fedtrace.governance.plan import RoundKind
from fedtrace.server.accounting import Kinds, kinds
from fedtrace.server.consortium import Consortium
from fedtrace.server.journal import Journal


class JobBudget:
    """The limit that a plan sets to its job, asked about the job's own events.

    Args:
        journal: what was spent so far.
        consortium: the accountant, and when its student-year starts.
    """

    def __init__(self, journal: Journal, consortium: Consortium) -> None:
        self._journal = journal
        self._consortium = consortium
        self._plan = journal.signed.plan
        self._known_to_fit: list[Kinds] = []

    def event(self, kind: RoundKind, number: int, now: datetime, run_id: str) -> PrivacyEvent:
        """What one order costs a student who is there."""
        return round_event(
            self._plan,
            plan_digest=self._journal.signed.digest,
            run_id=run_id,
            round_number=number,
            kind=kind,
            year=student_year(now, self._consortium.settings.student_year_first_month),
        )

    def affords(self, kind: RoundKind, number: int, now: datetime, run_id: str) -> bool:
        """True if this order stays within the job's epsilon.

        A training round must leave enough for the evaluation of the model that it makes.
        """
        order = self.event(kind, number, now, run_id)
        if kind == "evaluate":
            return self._fits((order,), ())
        evaluation = self.event("evaluate", number + 1, now, run_id)
        left = self._plan.rounds.count - number
        later = (replace(order, round=number + 1, count=left),) if left > 0 else ()
        return self._fits((order, evaluation), later)

    def _fits(self, needed: Sequence[PrivacyEvent], later: Sequence[PrivacyEvent]) -> bool:
        """Looks at the whole rest of the job first: if that fits, later questions are answered."""
        spent = (*self._journal.events, *needed)
        if any(kinds(spent) <= known for known in self._known_to_fit):
            return True
        for events in ((*spent, *later), spent) if later else (spent,):
            if self._holds(events):
                self._known_to_fit.append(kinds(events))
                return True
        return False

    def _holds(self, events: Sequence[PrivacyEvent]) -> bool:
        return not would_exceed(
            events,
            (),
            budget_epsilon=self._plan.privacy.epsilon_job,
            delta=self._plan.privacy.delta,
            epsilon=self._consortium.accountant,
        )
