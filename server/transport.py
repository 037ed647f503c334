"""Flower's Grid as the round loop's transport: school names, deadlines, bytes.

The round loop knows schools by name; Flower knows node ids. Who a reply is from is decided by the
node that Flower has authenticated, never by its content.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

from flwr.app import ConfigRecord, Message, RecordDict
from flwr.serverapp import Grid

from fedtrace.server.ports import Reply, Request

logger = logging.getLogger(__name__)

RECORD = "fedtrace"
"""The one record of every message, a mapping of names to bytes."""

_POLL_SECONDS = 0.5  # how often a school's reply is asked for; one costs the SuperLink some 8 ms
_POLLS_PER_SECOND = 10  # of all schools together, so that many schools do not flood the SuperLink
_SMALLEST_TTL_SECONDS = 1.0


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

        Every school has its own thread: Flower waits for minutes inside one pull where a school
        died in the middle of its upload, and that must not hold up the others or the deadline.
        """
        sent = self._push(requests, deadline)
        poll_seconds = max(_POLL_SECONDS, len(sent) / _POLLS_PER_SECOND)
        replies: queue.SimpleQueue[tuple[str, Reply | None]] = queue.SimpleQueue()
        ended = threading.Event()

        def collect(school: str, message_id: str) -> None:
            while not ended.is_set():
                try:
                    found = list(self._grid.pull_messages([message_id]))
                except Exception:  # whatever fails here fails for one school only
                    logger.exception("the reply of %s could not be fetched", school)
                    replies.put((school, None))
                    return
                for message in found:
                    replies.put((school, _content(message, school)))
                if found:
                    return
                ended.wait(poll_seconds)

        for school, message_id in sent.items():
            threading.Thread(target=collect, args=(school, message_id), daemon=True).start()
        waiting = set(sent)
        try:
            while waiting and (left := _seconds_until(deadline)) > 0:
                try:
                    school, reply = replies.get(timeout=left)
                except queue.Empty:
                    return
                waiting.discard(school)
                yield school, reply
        finally:
            ended.set()

    def _push(self, requests: Mapping[str, Request], deadline: datetime) -> dict[str, str]:
        """Hand the requests to Flower; the id of every message that it took, by school."""
        known = [school for school in requests if school in self._nodes]
        ttl_seconds = max(_SMALLEST_TTL_SECONDS, _seconds_until(deadline))
        messages = [
            Message(
                RecordDict({RECORD: ConfigRecord(dict(requests[school]))}),
                dst_node_id=self._nodes[school],
                message_type="train",
                ttl=ttl_seconds,  # an order that nobody fetched is worth nothing afterwards
            )
            for school in known
        ]
        ids = self._grid.push_messages(messages)
        return {school: each for school, each in zip(known, ids, strict=True) if each}


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
