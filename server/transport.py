"""Flower's Grid as the round loop's transport: school names, deadlines, bytes.

The round loop knows schools by name; Flower knows node ids. Who a reply is from is decided by the
node that Flower has authenticated, never by its content.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

from flwr.app import ConfigRecord, Message, RecordDict
from flwr.serverapp import Grid
from flwr.supercore.inflatable.inflatable_utils import pull_objects

from fedtrace.server.ports import Reply, Request

logger = logging.getLogger(__name__)

RECORD = "fedtrace"
"""The one record of every message, a mapping of names to bytes."""

_POLL_SECONDS = 0.25  # how often a school's reply is asked for; one costs the SuperLink some 8 ms
_POLLS_PER_SECOND = 10  # of all schools together, so that many schools do not flood the SuperLink
_HANGS_SECONDS = 1.0  # a pull that takes longer is left to its thread
_SMALLEST_TTL_SECONDS = 1.0

# A reply is announced a moment before its content has arrived in full. Flower then waits 1 s
# before it looks again, twice as long each further time.
pull_objects.__kwdefaults__["initial_backoff"] = 0.05


class GridTransport:
    """The round loop's transport over Flower's Grid.

    Args:
        grid: Flower's connection, the real one or an in-process one.
        schools: node id -> school name, as registered by the consortium.
    """

    def __init__(self, grid: Grid, schools: Mapping[int, str]) -> None:
        self._grid = grid
        self._schools = dict(schools)
        self._nodes = {school: node for node, school in schools.items()}

    def connected(self) -> frozenset[str]:
        """The schools whose SuperNode has been heard of lately."""
        online = set(self._grid.get_node_ids())
        return frozenset(name for node, name in self._schools.items() if node in online)

    def ask(
        self, requests: Mapping[str, Request], *, deadline: datetime
    ) -> Iterator[tuple[str, Reply | None]]:
        """See `fedtrace.server.ports.Transport.ask`.

        Replies are fetched by one thread, and by one more for every pull that hangs: Flower waits
        for minutes inside one pull where a school died in the middle of its upload, and that must
        not hold up the others or the deadline.
        """
        sent = self._push(requests, deadline)
        waiting = set(sent)
        fetching = _Fetching(self._grid, sent)
        try:
            while waiting and (left := _seconds_until(deadline)) > 0:
                fetching.go_on()
                try:
                    school, reply = fetching.replies.get(timeout=min(left, _HANGS_SECONDS))
                except queue.Empty:
                    continue
                waiting.discard(school)
                yield school, reply
        finally:
            fetching.ended.set()

    def _push(self, requests: Mapping[str, Request], deadline: datetime) -> dict[str, str]:
        """Hand the requests to Flower; the id of every message that it took, by school."""
        known = [school for school in requests if school in self._nodes]
        ttl_seconds = max(_SMALLEST_TTL_SECONDS, _seconds_until(deadline))
        records: dict[tuple[tuple[str, bytes], ...], RecordDict] = {}  # most are asked the same
        messages = []
        for school in known:
            content = tuple(requests[school].items())
            if content not in records:
                records[content] = RecordDict({RECORD: ConfigRecord(dict(content))})
            message = Message(
                records[content],
                dst_node_id=self._nodes[school],
                message_type="train",
                ttl=ttl_seconds,  # an order that nobody fetched is worth nothing afterwards
            )
            messages.append(message)
        ids = self._grid.push_messages(messages)
        return {school: each for school, each in zip(known, ids, strict=True) if each}


class _Fetching:
    """Fetches one reply a school, school by school, on as few threads as the hanging pulls allow.

    Args:
        grid: where replies are.
        sent: the id of every school's message.

    Attributes:
        replies: what came, in the order in which it came.
        ended: set it, and no further pull begins.
    """

    def __init__(self, grid: Grid, sent: Mapping[str, str]) -> None:
        self.replies: queue.SimpleQueue[tuple[str, Reply | None]] = queue.SimpleQueue()
        self.ended = threading.Event()
        self._grid = grid
        self._pause = max(_POLL_SECONDS, len(sent) / _POLLS_PER_SECOND)
        self._due: queue.SimpleQueue[tuple[float, str, str]] = queue.SimpleQueue()
        for school, message_id in sent.items():
            self._due.put((0.0, school, message_id))
        self._hangs_from = 0.0

    def go_on(self) -> None:
        """Start a thread where there is none yet, or where none has moved for a while."""
        now = time.monotonic()
        if now >= self._hangs_from and not self._due.empty():
            self._hangs_from = now + _HANGS_SECONDS
            threading.Thread(target=self._fetch, daemon=True).start()

    def _fetch(self) -> None:
        while True:
            try:
                due, school, message_id = self._due.get_nowait()
            except queue.Empty:  # every school that is left hangs in another thread's pull
                return
            self._hangs_from = max(due, time.monotonic()) + _HANGS_SECONDS
            if self.ended.wait(max(0.0, due - time.monotonic())):
                return
            if not self._pulled(school, message_id):
                self._due.put((time.monotonic() + self._pause, school, message_id))

    def _pulled(self, school: str, message_id: str) -> bool:
        """Ask once for a school's reply; whether there is nothing more to wait for."""
        try:
            found = list(self._grid.pull_messages([message_id]))
        except Exception:  # whatever fails here fails for one school only
            logger.exception("the reply of %s could not be fetched", school)
            self.replies.put((school, None))
            return True
        for message in found:
            self.replies.put((school, _content(message, school)))
        return bool(found)


def _content(message: Message, school: str) -> Reply | None:
    """What a school sent, or None where Flower reports that it sent nothing usable."""
    if message.has_error():
        logger.warning("Flower reports error %d for %s", message.error.code, school)
        return None
    record = message.content.get(RECORD)
    if not isinstance(record, ConfigRecord):
        return {}
    return {name: value for name, value in record.items() if isinstance(value, bytes)}


def _seconds_until(deadline: datetime) -> float:
    return (deadline - datetime.now(UTC)).total_seconds()
