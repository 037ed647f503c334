"""What the consortium's service shows: its processes, the schools' connections, every job."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Protocol

from prometheus_client.core import GaugeMetricFamily, Metric

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
from fedtrace.governance.charter_history import CHARTER_FILE, read_charters
from fedtrace.governance.log.storage import read_log
from fedtrace.privacy.accounting import epsilon
from fedtrace.server.accounting import remembering
from fedtrace.server.consortium import LOG_FOLDER, PLANS_FOLDER, database_url
from fedtrace.server.lost import was_given_up
from fedtrace.server.plans import PlanShelf
from fedtrace.server.restored import is_unconfirmed
from fedtrace.server.store import ConsortiumStore


class Serving(Protocol):
    """What is asked of `fedtrace.deploy.network.hosting.ConsortiumService`."""

    @property
    def observed(self) -> Observation:
        """How its processes were a moment ago."""
        ...

    @property
    def connections(self) -> Mapping[str, bool]:
        """School -> whether its node was connected a moment ago."""
        ...

    @property
    def contacts(self) -> Mapping[str, datetime]:
        """School -> when its node was last seen."""
        ...


class ConsortiumView:
    """See `fedtrace.deploy.monitoring.endpoint.View`.

    Args:
        home: the consortium's.
        service: the running one.
        clock: the time in UTC.
    """

    def __init__(self, home: Path, service: Serving, clock: Callable[[], datetime]) -> None:
        self._home, self._service, self._clock = home, service, clock
        self._epsilon = remembering(epsilon)  # composing takes most of a second, once a round

    def is_alive(self) -> bool:
        """Whether the service's own loop runs."""
        return is_alive(self._service.observed)

    def problems(self) -> tuple[str, ...]:
        """Processes that do not run, and a restore that waits for the witnesses."""
        restored = is_unconfirmed(self._home)
        waits = ("restored from a backup: the schools' logs are not compared yet",)
        return (*ended(self._service.observed), *(waits if restored else ()))

    def collect(self) -> Iterable[Metric]:
        """Every metric."""
        yield from of_processes(self._service.observed)
        certificate = self._home / "network" / "server.pem"
        yield from of_home(self._home, certificate, now=self._clock())
        connected = {name: float(is_) for name, is_ in self._service.connections.items()}
        yield gauges("school_connected", "1 while the school's node is.", "school", connected)
        seen = {name: at.timestamp() for name, at in self._service.contacts.items()}
        yield gauges(
            "school_last_contact_timestamp_seconds",
            "When the school's node was last seen connected since the service began.",
            "school",
            seen,
        )
        if (self._home / CHARTER_FILE).exists():
            yield from self._jobs()

    def _jobs(self) -> Iterator[Metric]:
        charters, shelf = read_charters(self._home), PlanShelf(self._home / PLANS_FOLDER)
        rounds: list[tuple[tuple[str, ...], float]] = []
        answers: list[tuple[tuple[str, ...], float]] = []
        durations: dict[str, float] = {}
        charged: dict[str, float] = {}
        unfinished: list[str] = []
        with closing(ConsortiumStore.open(database_url(self._home))) as store:
            for digest in store.plan_digests():
                stored = store.head(digest)
                if stored is None:
                    continue
                plan, head = shelf.open_past(digest, charters).plan, stored.head
                if head.state != "closed":
                    unfinished.append(head.run_id)
                finished = [each.outcome for each in store.finished(head.run_id)]
                closed = Counter("closed" if each.closed else "given_up" for each in finished)
                rounds += [((plan.name, result), number) for result, number in closed.items()]
                given = Counter(
                    (receipt.school, receipt.disposition)
                    for each in finished
                    for receipt in each.receipts
                )
                answers += [((plan.name, *of), number) for of, number in sorted(given.items())]
                if finished:
                    durations[plan.name] = finished[-1].end_seconds - finished[-1].start_seconds
                events = store.events(head.run_id)
                charged[plan.name] = self._epsilon(events, plan.privacy.delta) if events else 0.0
        yield gauge(
            "jobs_open", "Jobs that were opened and have not ended.", self._open(unfinished)
        )
        yield counters(
            "rounds", "Rounds that are over, the evaluation too.", ("plan", "result"), rounds
        )
        yield counters(
            "answers", "What became of schools' answers.", ("plan", "school", "outcome"), answers
        )
        last = GaugeMetricFamily(
            "fedtrace_round_seconds", "How long the plan's last round took.", labels=["plan"]
        )
        for name, seconds in durations.items():
            last.add_metric([name], seconds)
        yield last
        yield gauges("epsilon_charged", "Of the job, for one student.", "plan", charged)

    def _open(self, unfinished: Sequence[str]) -> int:
        """How many of the runs that the database holds to be open were not given up."""
        if not unfinished:
            return 0
        origin = read_charters(self._home).current.log.origin
        lines = read_log(self._home / LOG_FOLDER).lines
        return sum(not was_given_up(lines, origin, run_id) for run_id in unfinished)
