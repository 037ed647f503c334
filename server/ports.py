"""What the round loop needs from the world: a way to ask schools, and the time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Protocol

from fedtrace.server.outcome import JobEvent

Request = Mapping[str, bytes]
"""``{"order": DSSE bytes, "checkpoint": safetensors bytes}``."""

Reply = Mapping[str, bytes]
"""``{"manifest": ..., "payload": ...}`` or ``{"refusal": ...}``; not yet trusted in any way."""

Progress = Callable[[JobEvent], None]
"""Is told every step of a job; it must not raise."""


class Transport(Protocol):
    """Carries requests to schools and brings their replies; knows schools by name only."""

    def ask(
        self, requests: Mapping[str, Request], *, deadline: datetime
    ) -> Iterator[tuple[str, Reply | None]]:
        """Send each school its request and yield (school, reply) as replies come.

        Ends when every school answered or the deadline passed; a school that never comes is
        missing, one that comes with ``None`` is known to have failed. The names are those of the
        authenticated nodes, so a reply is never attributed by what it says about itself.
        """
        ...

    def connected(self) -> frozenset[str]:
        """The schools that could be asked now."""
        ...


class Clock(Protocol):
    """The time, as an argument."""

    def now(self) -> datetime:
        """The current time, with its time zone."""
        ...
