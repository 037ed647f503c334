"""A witness: cosigns a checkpoint when it continues the one that it cosigned before, else not.

The rules are those of ``add-checkpoint`` in https://c2sp.org/tlog-witness. A request::

    old 2
    PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=

    county/log
    3
    Q5CJkne/P1VwumJ4wvgHl1d0KuMZBocRsj0o161tUd8=

    — county/log ukR8pun1qxtpK0K/vIWnUSFI7P9ZHAB86/6KDctPwQFS0Ad6IT6fCv9uzM/OlAk5A1oWWx7EC8x...

=====  =============================================================================
200    cosigned; the answer is the signature lines
400    not a request, or its old size is above its checkpoint's
403    the log's key did not sign the checkpoint
404    not a log that this witness knows
409    the old size is not the last one cosigned here, which the answer names; or the
       same size with another root: the log has two histories
422    the proof does not show that the checkpoint continues the last one
=====  =============================================================================

The transport is somebody else's. What is stored is durable before a cosignature exists, and one
request is answered after the other, so a witness never vouches for two histories.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from fedtrace.governance.log.checkpoint import LogCheckpoint, parse_checkpoint
from fedtrace.governance.log.cosignature import Cosigner
from fedtrace.governance.log.merkle import ProofError, require_consistency
from fedtrace.governance.log.note import (
    NOTE_LIMIT_BYTES,
    NoteError,
    encode_base64,
    parse_note,
    require_signature,
)
from fedtrace.governance.log.proof import PROOF_LIMIT_BYTES, decode_hashes
from fedtrace.governance.signing import PublicKey

SIZE_TYPE = "text/x.tlog.size"
"""Content type of the answer that names the size last cosigned."""

TEXT_TYPE = "text/plain; charset=utf-8"

_OLD = re.compile(r"old (0|[1-9][0-9]{0,18})")


@dataclass(frozen=True, slots=True, kw_only=True)
class AddCheckpoint:
    """A request.

    Attributes:
        old: the size from which the proof leads.
        proof: the consistency proof (RFC 6962, section 2.1.2).
        note: the new checkpoint, signed by its log.
    """

    old: int
    proof: tuple[bytes, ...]
    note: bytes

    def to_bytes(self) -> bytes:
        """The request's body."""
        lines = [f"old {self.old}", *(encode_base64(each) for each in self.proof)]
        return "".join(f"{line}\n" for line in lines).encode("ascii") + b"\n" + self.note


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """An answer.

    Attributes:
        status: the HTTP status.
        body: signature lines, a size, or a sentence.
        content_type: of the body.
    """

    status: int
    body: bytes
    content_type: str = TEXT_TYPE


class WitnessStore(Protocol):
    """What a witness remembers."""

    def latest(self, origin: str) -> LogCheckpoint | None:
        """The last checkpoint that was cosigned; None before the first."""
        ...

    def record(self, checkpoint: LogCheckpoint, note: bytes) -> None:
        """Remember this one instead; it is on disk when this returns.

        Raises:
            ProofError: the store keeps the entries too, and they do not lead to this root.
        """
        ...

    def observe(self, checkpoint: LogCheckpoint, note: bytes) -> None:
        """Look at every checkpoint that the log signed, whatever the answer will be.

        One that contradicts what was cosigned is to be kept: it proves that the log lies.
        """
        ...


class Witness:
    """Answers ``add-checkpoint`` for the logs that it knows.

    Args:
        store: what it remembers.
        logs: origin -> the log's key.
        cosigners: its own keys; each gives one line.
    """

    def __init__(
        self,
        store: WitnessStore,
        *,
        logs: Mapping[str, PublicKey],
        cosigners: Sequence[Cosigner],
    ) -> None:
        self._store, self._logs, self._cosigners = store, logs, cosigners
        self._lock = threading.Lock()

    def add_checkpoint(self, body: bytes, *, now: datetime) -> Response:
        """Answer one request; whatever it says, the answer is a status.

        Args:
            body: as it came.
            now: the time that a cosignature states.

        Raises:
            OSError: the store failed; nothing was cosigned.
        """
        try:
            request = parse_add_checkpoint(body)
            text, signatures = parse_note(request.note)
            checkpoint = parse_checkpoint(text)
        except (ProofError, NoteError) as error:
            return _sentence(400, str(error))
        key = self._logs.get(checkpoint.origin)
        if key is None:
            return _sentence(404, "this witness does not know that log")
        try:
            require_signature(text, signatures, name=checkpoint.origin, public_key=key)
        except NoteError as error:
            return _sentence(403, str(error))
        if request.old > checkpoint.size:
            return _sentence(400, f"the old size {request.old} is above {checkpoint.size}")
        with self._lock:
            return self._add(request, checkpoint, text, now)

    def _add(
        self, request: AddCheckpoint, checkpoint: LogCheckpoint, text: str, now: datetime
    ) -> Response:
        self._store.observe(checkpoint, request.note)
        latest = self._store.latest(checkpoint.origin)
        size = latest.size if latest else 0
        if request.old != size:
            return Response(status=409, body=b"%d\n" % size, content_type=SIZE_TYPE)
        if latest and checkpoint.size == size and checkpoint.root != latest.root:
            return _sentence(409, f"this witness cosigned another root of size {size}")
        try:
            if latest and size:
                require_consistency(
                    size, latest.root, checkpoint.size, checkpoint.root, request.proof
                )
            elif request.proof:
                raise ProofError("a proof from size 0 is empty")
            self._store.record(checkpoint, request.note)
        except ProofError as error:
            return _sentence(422, str(error))
        lines = [each.cosign(text, now=now) for each in self._cosigners]
        return Response(status=200, body="".join(f"{line}\n" for line in lines).encode())


def parse_add_checkpoint(body: bytes) -> AddCheckpoint:
    """Read a request.

    Raises:
        ProofError: it is not one.
        NoteError: a line of it is not base64.
    """
    if len(body) > PROOF_LIMIT_BYTES:
        raise ProofError(f"a request of {len(body)} bytes, at most {PROOF_LIMIT_BYTES} are read")
    head, separator, note = body.partition(b"\n\n")
    try:
        first, *lines = head.decode("ascii").split("\n")
    except UnicodeDecodeError as error:
        raise ProofError("it is not ASCII above its checkpoint") from error
    old = _OLD.fullmatch(first)
    if old is None or not separator or len(note) > NOTE_LIMIT_BYTES:
        raise ProofError("it does not say `old`, a size, a proof and a checkpoint")
    return AddCheckpoint(old=int(old[1]), proof=decode_hashes(lines), note=note)


def _sentence(status: int, sentence: str) -> Response:
    return Response(status=status, body=f"{sentence}\n".encode())
