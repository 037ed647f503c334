"""Keeping processes alive: what ends is started again, at once and then ever more patiently.

A service runs for months without a person looking. A process that was killed is back after a
second; one that cannot work (a full disk, a damaged file) is tried once a minute and named.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass

from fedtrace.deploy.network.lines import shorten
from fedtrace.deploy.network.processes import Child, Supervisor

logger = logging.getLogger(__name__)

FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 60.0
WELL_AFTER_SECONDS = 120.0
"""A process that ran so long was well: its next end counts as the first."""


@dataclass(slots=True)
class _Ends:
    """How often in a row a process ended, and when it is started next."""

    started_at: float
    in_a_row: int = 0
    due_at: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """How the processes of a service were when it looked last.

    Attributes:
        at: when, in seconds that never go back.
        processes: name -> whether it runs.
        restarts: name -> how often it was started again, since the service began.
    """

    at: float
    processes: Mapping[str, bool]
    restarts: Mapping[str, int]


class Keeper:
    """Starts a supervisor's children again when they end.

    Args:
        supervisor: whose children.
        along: the name of a child that ends -> of one that is then started again with it, because
            it is worth nothing without what the other knew.
        clock: seconds that never go back.

    Attributes:
        observed: how the children were at the last `tick`; replaced as a whole, for other threads.
    """

    def __init__(
        self,
        supervisor: Supervisor,
        *,
        along: Mapping[str, str] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._supervisor = supervisor
        self._along = along or {}
        self._clock = clock
        self._ends: dict[str, _Ends] = {}
        self._restarts: Counter[str] = Counter()
        self.observed = Observation(at=clock(), processes={}, restarts={})

    def tick(self) -> tuple[str, ...]:
        """Look at every child once; returns the names of those that were started again."""
        ended = [
            child.command.name
            for child in self._supervisor.children
            if not child.is_running and self._is_due(child)
        ]
        along = {self._along.get(name) for name in ended}.difference(ended)
        for child in self._supervisor.children:
            if child.command.name in along:
                self._supervisor.restart(child)
                ended.append(child.command.name)
        again = tuple(ended)
        self._restarts.update(again)
        for child in self._supervisor.children:
            with suppress(OSError):  # a full disk has louder witnesses
                shorten(child.log)
        children = self._supervisor.children
        self.observed = Observation(
            at=self._clock(),
            processes={child.command.name: child.is_running for child in children},
            restarts={child.command.name: self._restarts[child.command.name] for child in children},
        )
        return again

    def is_well(self, names: Iterable[str]) -> bool:
        """Whether all these children run now."""
        running = {c.command.name for c in self._supervisor.children if c.is_running}
        return set(names) <= running

    def _is_due(self, child: Child) -> bool:
        now = self._clock()
        ends = self._ends.setdefault(child.command.name, _Ends(started_at=now))
        if ends.due_at is None:
            if now - ends.started_at > WELL_AFTER_SECONDS:
                ends.in_a_row = 0
            pause = min(FIRST_PAUSE_SECONDS * 2**ends.in_a_row, LONGEST_PAUSE_SECONDS)
            ends.in_a_row += 1
            ends.due_at = now + pause
            logger.warning(
                "%s ended with exit status %s and is started again in %g s; its log is %s",
                child.command.name,
                child.process.returncode,
                pause,
                child.log,
            )
        if now < ends.due_at:
            return False
        self._supervisor.restart(child)
        ends.started_at, ends.due_at = now, None
        return True
