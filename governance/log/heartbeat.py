"""A sign of life: a log that says something every day has no day that could have been left out.

Who holds a log's key could write nothing for a week and say later that nothing had happened. So a
log gets an entry when a day has passed without one, and verification asks about a longer silence.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from fedtrace.governance.errors import Corrupt, PolicyError
from fedtrace.governance.log.log import Log
from fedtrace.governance.log.words import Heartbeat

logger = logging.getLogger(__name__)

BEAT_AFTER = timedelta(hours=24)
LONGEST_SILENCE = timedelta(hours=25)
"""What is not asked about: a day, and an hour for a process that was busy or started again."""

_LOOK_SECONDS = 60.0


def beat(log: Log, *, now: datetime) -> bool:
    """Append a sign of life if a day has passed without an entry; whether it was needed.

    An absence is not made up for: the entry is of now, and the silence before it stays to be seen.
    A log that has not begun needs none.

    Raises:
        Corrupt: an earlier write failed.
        OSError: this write failed; nothing is acknowledged.
    """
    if not log.size or now - log.entry(log.size - 1).time < BEAT_AFTER:
        return False
    log.append(Heartbeat(), now=now)
    return True


class Pulse:
    """Sees to it once a minute that a log beats, from a loop that has other things to do.

    Args:
        beat: appends a sign of life if one is needed.
        clock: the time, with its zone.
        seconds: a clock that nobody sets.
    """

    def __init__(
        self,
        beat: Callable[[datetime], object],
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        self._beat, self._clock, self._seconds = beat, clock, seconds
        self._looked_at: float | None = None
        self._problem = ""

    def look(self) -> None:
        """Look after the log if a minute has passed; what is in the way is said once."""
        now = self._seconds()
        if self._looked_at is not None and now - self._looked_at < _LOOK_SECONDS:
            return
        self._looked_at = now
        problem = ""
        try:
            self._beat(self._clock())
        except (Corrupt, PolicyError, OSError) as error:
            problem = str(error)
            if problem != self._problem:
                logger.warning("the log cannot get a sign of life: %s", problem)
        self._problem = problem
