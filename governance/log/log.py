"""An append-only log: what is acknowledged is durable, signed and provable.

Opening recomputes everything. A log that is shorter than its checkpoint says, or has another
root, is `Corrupt` and stays closed: nothing repairs it by a guess. After a failed write the log
refuses to go on, because nobody can know what the disk holds (Rebello et al. 2020, "Can
Applications Recover from fsync Failures?"); opening it again finds out.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from fedtrace.governance.errors import Corrupt, Rejected
from fedtrace.governance.log.checkpoint import LogCheckpoint, open_checkpoint, sign_checkpoint
from fedtrace.governance.log.entries import Entry, LoggedEntry, decode_entry, encode_entry
from fedtrace.governance.log.merkle import MerkleTree, leaf_hash
from fedtrace.governance.log.note import NoteError
from fedtrace.governance.log.storage import DirectoryFiles, LogFiles


class Log:
    """One log, held open for appending by one process.

    Args:
        files: where its bytes are.
        origin: its name, which every entry and checkpoint repeats.
        key: signs its checkpoints.

    Raises:
        Corrupt: what is stored contradicts what was signed.
        OSError: the files cannot be read or written.
    """

    def __init__(self, files: LogFiles, *, origin: str, key: Ed25519PrivateKey) -> None:
        self.origin = origin
        self._files, self._key = files, key
        self._broken = False
        lines, note = files.read()
        signed = self._signed_size(lines, note)
        if len(lines) >= signed:
            files.keep(signed)
        self._lines = lines[:signed]
        self._tree = MerkleTree(leaf_hash(line) for line in self._lines)
        if note is None:
            self._publish()

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
        """The number of entries; all of them are signed."""
        return len(self._lines)

    @property
    def size(self) -> int:
        """The number of entries, as checkpoints call it."""
        return len(self._lines)

    @property
    def healthy(self) -> bool:
        """False after a failed write: the log must be opened again before it goes on."""
        return not self._broken

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
        first = len(self._lines)
        self.append_lines(
            [
                encode_entry(entry, index=first + i, origin=self.origin, now=now)
                for i, entry in enumerate(entries)
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
        if self._broken:
            raise Corrupt("an earlier write to the log failed; open it again before going on")
        first = len(self._lines)
        for i, line in enumerate(lines):
            decode_entry(line, index=first + i, origin=self.origin)
        if not lines:
            return
        try:
            self._files.append(lines)
            for line in lines:
                self._lines.append(line)
                self._tree.append(leaf_hash(line))
            self._publish()
        except BaseException:
            self._broken = True
            raise

    def line(self, index: int) -> bytes:
        """The exact bytes of an entry.

        Raises:
            IndexError: there is no such entry.
        """
        return self._lines[index]

    def entries(self) -> list[LoggedEntry]:
        """Every entry, decoded."""
        return [
            decode_entry(line, index=index, origin=self.origin)
            for index, line in enumerate(self._lines)
        ]

    def checkpoint(self) -> LogCheckpoint:
        """What the log commits to now."""
        return LogCheckpoint(origin=self.origin, size=len(self), root=self._tree.root())

    def inclusion_proof(self, index: int) -> list[bytes]:
        """That an entry is under the current checkpoint.

        Raises:
            ValueError: there is no such entry.
        """
        return self._tree.inclusion_proof(index, len(self))

    def consistency_proof(self, old: int) -> list[bytes]:
        """That the current checkpoint continues one of ``old`` entries.

        Raises:
            ValueError: the log never had that size.
        """
        return self._tree.consistency_proof(old, len(self))

    def close(self) -> None:
        """Let the files go."""
        self._files.close()

    def _publish(self) -> None:
        self._files.publish(sign_checkpoint(self.checkpoint(), self._key))

    def _signed_size(self, lines: Sequence[bytes], note: bytes | None) -> int:
        """How many entries are signed; the stored ones must begin with exactly these."""
        if note is None:
            if lines:
                raise Corrupt(f"the log has {len(lines)} entries and no checkpoint")
            return 0
        raw = self._key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        public_key = base64.b64encode(raw).decode()
        try:
            checkpoint = open_checkpoint(note, origin=self.origin, public_key=public_key)
        except NoteError as error:
            raise Corrupt(f"the log's checkpoint is not its own: {error}") from error
        if len(lines) < checkpoint.size:
            raise Corrupt(
                f"the log has {len(lines)} entries, its checkpoint is over {checkpoint.size}"
            )
        tree = MerkleTree(leaf_hash(line) for line in lines[: checkpoint.size])
        if tree.root() != checkpoint.root:
            raise Corrupt("the log's entries are not the ones that its checkpoint was signed over")
        try:
            for index, line in enumerate(lines[: checkpoint.size]):
                decode_entry(line, index=index, origin=self.origin)
        except Rejected as error:
            raise Corrupt(f"the log holds what is no entry: {error.sentence}") from error
        return checkpoint.size
