"""What a school's service shows: its processes, its connection, what it has charged."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Protocol

from prometheus_client.core import Metric

from fedtrace.client.home import own_policy
from fedtrace.client.plans import PlanFiles
from fedtrace.client.store import SchoolStore
from fedtrace.deploy.monitoring.metrics import (
    counters,
    ended,
    gauge,
    gauges,
    is_alive,
    of_home,
    of_processes,
)
from fedtrace.deploy.network.keeping import Observation
from fedtrace.deploy.network.node import CA_FILE
from fedtrace.governance.charter_history import read_charters
from fedtrace.governance.ledger import spent, spent_by_plan, student_year
from fedtrace.privacy.accounting import epsilon
from fedtrace.server.accounting import remembering


class Running(Protocol):
    """What is asked of `fedtrace.deploy.network.node.SchoolService`."""

    @property
    def observed(self) -> Observation:
        """How its processes were a moment ago."""
        ...

    def is_connected(self) -> bool:
        """Whether the consortium has accepted the node since it was started."""
        ...


class SchoolView:
    """See `fedtrace.deploy.monitoring.endpoint.View`.

    Args:
        home: the school's.
        service: the running one.
        clock: the time in UTC.
    """

    def __init__(self, home: Path, service: Running, clock: Callable[[], datetime]) -> None:
        self._home, self._service, self._clock = home, service, clock
        self._epsilon = remembering(epsilon)

    def is_alive(self) -> bool:
        """Whether the service's own loop runs."""
        return is_alive(self._service.observed)

    def problems(self) -> tuple[str, ...]:
        """Processes that do not run, and a consortium that was never reached."""
        waits = () if self._service.is_connected() else ("not connected to the consortium yet",)
        return (*ended(self._service.observed), *waits)

    def collect(self) -> Iterable[Metric]:
        """Every metric."""
        yield from of_processes(self._service.observed)
        yield from of_home(self._home, self._home / "network" / CA_FILE, now=self._clock())
        connected = float(self._service.is_connected())
        said = "1 once the consortium has accepted the node since it was started."
        yield gauge("connected", said, connected)
        with closing(SchoolStore(self._home / "school.db")) as store:
            yield from self._ledger(store)

    def _ledger(self, store: SchoolStore) -> Iterator[Metric]:
        policy = own_policy(self._home)
        files = PlanFiles(self._home / "plans", read_charters(self._home))
        ledger, newest = store.ledger(), store.newest_entry_at()
        yield gauge("training_stopped", "1 while a person has stopped it.", store.kill_switch)
        if newest is not None:
            said = "When the school last paid for a round."
            yield gauge("last_round_timestamp_seconds", said, newest.timestamp())
        paid: list[tuple[tuple[str, ...], float]] = []
        charged: dict[str, float] = {}
        for accepted in store.plans():
            plan = files.read_past(accepted.digest).plan
            events = spent_by_plan(ledger, accepted.digest)
            paid.append(((plan.name,), len(events)))
            charged[plan.name] = self._epsilon(events, plan.privacy.delta) if events else 0.0
        yield counters("rounds_paid", "Rounds that the school has paid for.", ("plan",), paid)
        yield gauges("epsilon_charged", "Of the job, for one student.", "plan", charged)
        year = spent(ledger, student_year(self._clock(), policy.student_year_first_month))
        whole = self._epsilon(year, policy.privacy.max_delta) if year else 0.0
        yield gauge("epsilon_student_year", "Of this student-year, for one student.", whole)
        limit = policy.privacy.max_epsilon_student_year
        yield gauge("epsilon_student_year_limit", "What the school's policy allows.", limit)
