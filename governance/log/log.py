"""An append-only log: what is acknowledged is durable, signed and provable.

Opening recomputes everything. A log that is shorter than its checkpoint says, or has another
root, is `Corrupt` and stays closed: nothing repairs it by a guess. After a failed write the log
refuses to go on, because nobody can know what the disk holds (Rebello et al. 2020, "Can
Applications Recover from fsync Failures?"); opening it again finds out.
"""

from __future__ import annotations

import base64
import errno
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from threading import RLock
from typing import Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from fedtrace.governance.errors import Corrupt, Rejected
from fedtrace.governance.log.checkpoint import LogCheckpoint, open_checkpoint, sign_checkpoint
from fedtrace.governance.log.entries import Entry, LoggedEntry, decode_entry, encode_entry
from fedtrace.governance.log.merkle import MerkleTree, leaf_hash
from fedtrace.governance.log.note import NoteError
from fedtrace.governance.log.storage import DirectoryFiles, LogFiles, StoredLog


class Log:
    """One log, held open for appending by one process; its threads may share it.

    Args:
        files: where its bytes are.
        origin: its name, which every entry and checkpoint repeats.
        key: signs its checkpoints.

    Attributes:
        origin: its name.
        dropped_bytes: what a crash had left behind the last signed entry and opening removed;
            nobody had been told that it was written.

    Raises:
        Corrupt: what is stored contradicts what was signed.
        OSError: the files cannot be read or written.
    """

    def __init__(self, files: LogFiles, *, origin: str, key: Ed25519PrivateKey) -> None:
        self.origin = origin
        self._files, self._key = files, key
        self._lock = RLock()
        self._stopped: str | None = None
        stored = files.read()
        self._lines, self._tree = self._signed(stored)
        signed_bytes = sum(len(line) + 1 for line in self._lines)
        self.dropped_bytes = stored.entry_bytes - signed_bytes
        if self.dropped_bytes:
            files.truncate(signed_bytes)
        if stored.checkpoint is None:
            files.publish(sign_checkpoint(self.checkpoint(), key))

    @classmethod
    def open(cls, directory: Path, *, origin: str, key: Ed25519PrivateKey) -> Self:
        """Open the log in a folder; a new one starts empty.

        Raises:
            Corrupt: what is stored contradicts what was signed.
            OSError: another process has it open, or it cannot be read or written.
        """
        files = DirectoryFiles(directory)
        try:
            return cls(files, origin=origin, key=key)
        except BaseException:
            files.close()
            raise

    def __len__(self) -> int:
        """The number of entries; all of them are durable and signed."""
        return len(self._lines)

    @property
    def size(self) -> int:
        """The number of entries, as checkpoints call it."""
        return len(self._lines)

    @property
    def healthy(self) -> bool:
        """False after a failed write: the log must be opened again before it goes on."""
        return self._stopped is None

    def append(self, entry: Entry, *, now: datetime) -> int:
        """Append one entry; it is durable and signed when this returns.

        Returns:
            Its index.

        Raises:
            ValueError: not an entry, or ``now`` has no time zone.
            Corrupt: an earlier write failed.
            OSError: this write failed; nothing is acknowledged.
        """
        return self.append_many([entry], now=now)

    def append_many(self, entries: Sequence[Entry], *, now: datetime) -> int:
        """Append entries with one signature and one wait for the disk.

        Returns:
            The index of the first.

        Raises:
            ValueError: one is not an entry, or ``now`` has no time zone; none is appended.
            Corrupt: an earlier write failed.
            OSError: this write failed; none is acknowledged.
        """
        with self._lock:
            first = len(self._lines)
            self._commit(
                [
                    encode_entry(entry, index=index, origin=self.origin, now=now)
                    for index, entry in enumerate(entries, start=first)
                ]
            )
            return first

    def append_lines(self, lines: Sequence[bytes]) -> None:
        """Append entries that are encoded already: a caller that staged them elsewhere first.

        Raises:
            Rejected: a line is not the entry that belongs at its place; none is appended.
            Corrupt: an earlier write failed.
            OSError: this write failed; none is acknowledged.
        """
        with self._lock:
            for index, line in enumerate(lines, start=len(self._lines)):
                decode_entry(line, index=index, origin=self.origin)
            self._commit(lines)

    def line(self, index: int) -> bytes:
        """The exact bytes of an entry.

        Raises:
            IndexError: there is no such entry.
        """
        return self._lines[index]

    def entry(self, index: int) -> LoggedEntry:
        """An entry, decoded.

        Raises:
            IndexError: there is no such entry.
        """
        return decode_entry(self._lines[index], index=index, origin=self.origin)

    def entries(self) -> list[LoggedEntry]:
        """Every entry, decoded."""
        return [self.entry(index) for index in range(len(self._lines))]

    def checkpoint(self) -> LogCheckpoint:
        """What the log commits to now."""
        size = len(self._lines)
        return LogCheckpoint(origin=self.origin, size=size, root=self._tree.root(size))

    def inclusion_proof(self, index: int) -> list[bytes]:
        """That an entry is under the current checkpoint.

        Raises:
            ValueError: there is no such entry.
        """
        return self._tree.inclusion_proof(index, len(self._lines))

    def consistency_proof(self, old: int, new: int | None = None) -> list[bytes]:
        """That the checkpoint of ``new`` entries, all where none is given, continues ``old``.

        Raises:
            ValueError: the log never had that size.
        """
        return self._tree.consistency_proof(old, len(self._lines) if new is None else new)

    def signed_checkpoint(self, size: int) -> bytes:
        """The signed note over the first entries; of all, it is the one that is on disk.

        Raises:
            ValueError: the log never had that size.
        """
        if size > len(self._lines):
            raise ValueError(f"the log has {len(self._lines)} entries, not {size}")
        checkpoint = LogCheckpoint(origin=self.origin, size=size, root=self._tree.root(size))
        return sign_checkpoint(checkpoint, self._key)

    def close(self) -> None:
        """Let the files go; a second call does nothing."""
        with self._lock:
            if self._stopped != _CLOSED:
                self._stopped = _CLOSED
                self._files.close()

    def _commit(self, lines: Sequence[bytes]) -> None:
        """Append, force to disk, extend the tree, sign, publish; only then does it count."""
        if self._stopped:
            raise Corrupt(f"the log {self._stopped}; open it again before going on")
        if not lines:
            return
        try:
            self._files.append(lines)
            for line in lines:
                self._tree.append(leaf_hash(line))
            size = len(self._tree)
            grown = LogCheckpoint(origin=self.origin, size=size, root=self._tree.root())
            self._files.publish(sign_checkpoint(grown, self._key))
        except OSError as error:
            self._stopped = _FAILED
            raise OSError(error.errno, _write_problem(error, len(lines))) from error
        except BaseException:
            self._stopped = _FAILED
            raise
        self._lines.extend(lines)

    def _signed(self, stored: StoredLog) -> tuple[list[bytes], MerkleTree]:
        """The lines that are signed, and their tree; the stored ones must begin with these.

        Raises:
            Corrupt: they do not.
        """
        if stored.checkpoint is None:
            if stored.entry_bytes:
                raise Corrupt(f"the log has {len(stored.lines)} entries and no checkpoint")
            return [], MerkleTree()
        raw = self._key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        try:
            checkpoint = open_checkpoint(
                stored.checkpoint, origin=self.origin, public_key=base64.b64encode(raw).decode()
            )
        except NoteError as error:
            raise Corrupt(f"the log's checkpoint is not its own: {error}") from error
        found, signed = len(stored.lines), checkpoint.size
        if found < signed:
            raise Corrupt(f"the log has {found} entries, its checkpoint is over {signed}")
        lines = stored.lines[:signed]
        tree = MerkleTree(leaf_hash(line) for line in lines)
        if tree.root() != checkpoint.root:
            raise Corrupt("the log's entries are not the ones that its checkpoint was signed over")
        try:
            for index, line in enumerate(lines):
                decode_entry(line, index=index, origin=self.origin)
        except Rejected as error:
            raise Corrupt(f"the log holds what is no entry: {error.sentence}") from error
        return lines, tree


_CLOSED, _FAILED = "was closed", "stopped after a write that failed"


def _write_problem(error: OSError, entries: int) -> str:
    """What a person reads when the disk does not take a log's entries."""
    lost = f"{entries} entries were not written to the log and do not count"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"the disk is full: {lost}; free some space and start again"
    return f"the disk failed ({error.strerror}): {lost}; have it checked before going on"
