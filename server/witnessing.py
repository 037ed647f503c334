"""Get the log witnessed before anybody is asked anything: a transport around the transport.

::

    add-checkpoint, entries  ->  every connected school   it mirrors the entries and cosigns
    order, model, log        ->  the schools of a round   ``log``: the checkpoint, cosigned

A school answers only under a checkpoint that a quorum has cosigned, itself among it, and that
covers its order. A school that has not cosigned yet gets entries and checkpoint once more with the
order. Where the quorum is not reached nobody is asked, and the wait lasts until the deadline.
"""

from __future__ import annotations

import logging
import math
import re
import time
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta

from fedtrace.governance.errors import Corrupt
from fedtrace.governance.log.checkpoint import open_checkpoint
from fedtrace.governance.log.cosignature import COSIGNATURE_LIMIT, cosigned, require_cosignature
from fedtrace.governance.log.keys import VerifierKey
from fedtrace.governance.log.log import Log
from fedtrace.governance.log.note import (
    NOTE_LIMIT_BYTES,
    NoteError,
    parse_note,
    parse_signature_lines,
    signature_line,
)
from fedtrace.governance.log.storage import COSIGNED
from fedtrace.governance.log.witness import AddCheckpoint
from fedtrace.governance.witnessing import consortium_policy, witness_quorum
from fedtrace.server.consortium import LOG_FOLDER, Consortium
from fedtrace.server.files import write_durably
from fedtrace.server.ports import Clock, Reply, Request, Transport

logger = logging.getLogger(__name__)

MESSAGE_BYTES = 8 * 1024 * 1024
"""Entries in one message; a school that is further behind gets several, each with a checkpoint."""

PATIENCE_SECONDS = 10
PATIENCE_SECONDS_A_SCHOOL = 0.5
"""How long the schools of a round are waited for once there is a quorum, at most; on two cores a
SuperLink hands on about two messages a second."""

AGAIN_SECONDS = 2.0
"""Between two times that everybody is asked while there is no quorum."""

_KEPT_REQUESTS = 4  # of at most 8 MiB each
_SHARE = 0.5
"""And no longer than this part of the time until the deadline."""


class WitnessedTransport:
    """Sends nothing before it stands in a witnessed log.

    Args:
        inner: carries the messages.
        consortium: its charter, its log, and where the cosigned checkpoint is kept.
        clock: for the time that witnesses have.
    """

    def __init__(self, inner: Transport, consortium: Consortium, clock: Clock) -> None:
        self._inner, self._clock = inner, clock
        self._log: Log = consortium.log
        self._kept_in = consortium.home / LOG_FOLDER / COSIGNED
        self._quorum = witness_quorum(consortium.charter)
        self._public_key = consortium.charter.log.public_key
        self._keys: Mapping[str, VerifierKey] = consortium_policy(consortium.charter).witnesses
        self._sizes: dict[str, int] = {}  # what each school cosigned last, as far as is known
        self._size = -1
        self._lines: dict[str, str] = {}  # school -> its cosignature over the newest checkpoint
        # Most schools are as far as the others: what is made for one of them is kept for the rest.
        self._requests: dict[int, tuple[int, Request]] = {}  # old size -> new size, message
        self._notes: dict[int, bytes] = {}  # size -> the checkpoint
        self._texts: dict[int, str] = {}  # size -> its text
        self._shared: tuple[int, bytes] | None = None  # with so many cosignatures, which are all

    def connected(self) -> frozenset[str]:
        """See `fedtrace.server.ports.Transport`."""
        return self._inner.connected()

    def ask(
        self, requests: Mapping[str, Request], *, deadline: datetime
    ) -> Iterator[tuple[str, Reply | None]]:
        """See `fedtrace.server.ports.Transport`; without a quorum of witnesses nobody is asked.

        Raises:
            Corrupt: a school shows a newer checkpoint that this log's key signed: the log was
                restored from an older copy.
        """
        self.gather(frozenset(requests), deadline=deadline)
        if len(self._lines) < self._quorum:
            return
        ready = {
            school: {
                **request,
                **({} if school in self._lines else self._request(school)),
                "log": self._note(frozenset({school})),
            }
            for school, request in requests.items()
        }
        yield from self._inner.ask(ready, deadline=deadline)

    def gather(self, wanted: frozenset[str], *, deadline: datetime) -> int:
        """Have the newest checkpoint cosigned; how many witnesses have, then.

        Waits for all of ``wanted`` for a little while, and for a quorum until the deadline.

        Raises:
            Corrupt: as `ask`.
        """
        if self._size != self._log.size:
            self._size, self._lines = self._log.size, {}
            self._shared = None
            self._requests.clear()
            self._notes.clear()
            self._texts.clear()
        before = len(self._lines)
        start = self._clock.now()
        connected = self._inner.connected() & set(self._keys)
        patience = max(PATIENCE_SECONDS, PATIENCE_SECONDS_A_SCHOOL * len(connected))
        until = start + min((deadline - start) * _SHARE, timedelta(seconds=patience))
        self._question(wanted | connected, wanted, until=until)
        self._wait_for_quorum(deadline)
        if len(self._lines) > before and self._has_quorum():
            write_durably(self._kept_in, self._note(frozenset()))
        return len(self._lines)

    def _wait_for_quorum(self, deadline: datetime) -> None:
        """Whoever comes back in time may make the quorum: ask again and again, until then.

        Flower answers at once for a node that it holds to be away, as all of them are for half a
        minute after a SuperLink was started again.
        """
        left = (deadline - self._clock.now()).total_seconds()
        for _ in range(math.ceil(left / AGAIN_SECONDS)):
            if self._has_quorum() or self._clock.now() >= deadline:
                return
            self._question(frozenset(self._keys), frozenset(), until=deadline)
            if not self._has_quorum() and self._clock.now() < deadline:
                time.sleep(AGAIN_SECONDS)

    def _question(self, asked: frozenset[str], wanted: frozenset[str], *, until: datetime) -> None:
        """Ask these schools until all of ``wanted`` and a quorum have cosigned, or time is over."""
        pending = asked - set(self._lines)
        while pending and self._clock.now() < until and not self._is_enough(wanted):
            requests = {school: self._request(school) for school in sorted(pending)}
            behind: set[str] = set()
            for school, reply in self._inner.ask(requests, deadline=until):
                if school in requests and reply is not None and self._take(school, reply):
                    behind.add(school)
                if self._is_enough(wanted):
                    return
            pending = frozenset(behind)

    def _is_enough(self, wanted: frozenset[str]) -> bool:
        return self._has_quorum() and wanted <= set(self._lines)

    def _has_quorum(self) -> bool:
        return len(self._lines) >= self._quorum

    def _request(self, school: str) -> Request:
        """What a school needs to go on from where it is, as far as fits into one message."""
        return self._step(self._old_size(school))[1]

    def _step(self, old: int) -> tuple[int, Request]:
        """How far the next message brings a school that has so many entries, and the message."""
        if old not in self._requests:
            if len(self._requests) == _KEPT_REQUESTS:
                self._requests.clear()
            new, room, lines = old, MESSAGE_BYTES, []
            while new < self._size and room > 0:
                line = self._log.line(new) + b"\n"
                room -= len(line)
                if room > 0:
                    lines.append(line)
                    new += 1
            proof = tuple(self._log.consistency_proof(old, new)) if old else ()
            asked = AddCheckpoint(old=old, proof=proof, note=self._checkpoint(new))
            message = {"add-checkpoint": asked.to_bytes(), "entries": b"".join(lines)}
            self._requests[old] = new, message
        return self._requests[old]

    def _checkpoint(self, size: int) -> bytes:
        if size not in self._notes:
            self._notes[size] = self._log.signed_checkpoint(size)
        return self._notes[size]

    def _text(self, size: int) -> str:
        """What witnesses sign of a checkpoint."""
        if size not in self._texts:
            self._texts[size] = parse_note(self._checkpoint(size))[0]
        return self._texts[size]

    def _old_size(self, school: str) -> int:
        return min(self._sizes.get(school, 0), self._size)

    def _take(self, school: str, reply: Reply) -> bool:
        """Take what a school answered; whether it is worth while to ask it again.

        Raises:
            Corrupt: see `ask`.
        """
        status, body = reply.get("status", b""), reply.get("body", b"")
        asked = self._old_size(school)
        if status == b"409" and re.fullmatch(rb"(0|[1-9][0-9]{0,15})\n", body):
            size = int(body)
            if size > self._size:
                self._require_no_newer(school, reply.get("latest", b""))
                return False
            self._sizes[school] = size
            return size != asked
        if status != b"200":
            logger.warning("%s does not cosign: status %s", school, status[:3])
            return False
        return self._cosigned(school, body)

    def _cosigned(self, school: str, body: bytes) -> bool:
        """Keep a cosignature; whether the school is still behind."""
        key = self._keys[school]
        new, _ = self._step(self._old_size(school))
        try:
            given = parse_signature_lines(body)
            mine = next(each for each in given if each.key_id == key.key_id)
            line = signature_line(key.name, key.key_id, mine.signature)
            if require_cosignature(self._text(new), mine, key) is None:
                raise NoteError("cosignature", "it states no time")
        except (NoteError, StopIteration):
            logger.warning("the cosignature of %s is not valid", school)
            return False
        self._sizes[school] = new
        if new < self._size:
            return True
        self._lines[school] = line
        return False

    def _require_no_newer(self, school: str, latest: bytes) -> None:
        """A school says that it has more of this log; it must show it.

        Raises:
            Corrupt: it does: this log's own key signed a checkpoint that the log does not reach.
        """
        try:
            newer = open_checkpoint(latest, origin=self._log.origin, public_key=self._public_key)
        except NoteError:
            logger.warning("%s claims a larger log and does not show it", school)
            return
        if newer.size > self._size:
            raise Corrupt(
                f"{school} holds a checkpoint over {newer.size} entries that this log's own key "
                f"signed, and the log has {self._size}: it was restored from an older copy"
            )

    def _note(self, wanted: frozenset[str]) -> bytes:
        """The newest checkpoint with as many cosignatures as fit, those of ``wanted`` first."""
        if self._shared is not None and self._shared[0] == len(self._lines):
            return self._shared[1]
        schools = sorted(self._lines, key=lambda school: (school not in wanted, school))
        note = self._checkpoint(self._size)
        lines: list[str] = []
        size = len(note)
        for school in schools[: COSIGNATURE_LIMIT - 1]:
            size += len(self._lines[school].encode()) + 1
            if size > NOTE_LIMIT_BYTES:
                break
            lines.append(self._lines[school])
        whole = cosigned(note, lines)
        if len(lines) == len(self._lines):  # all of them fit, whoever comes first
            self._shared = len(lines), whole
        return whole
