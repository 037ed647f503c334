"""The school's log as it stands, for reading beside the gate, which has it open for writing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fedtrace.governance.errors import Corrupt, Rejected
from fedtrace.governance.log.checkpoint import open_checkpoint
from fedtrace.governance.log.entries import LoggedEntry, decode_entry
from fedtrace.governance.log.merkle import MerkleTree, leaf_hash
from fedtrace.governance.log.note import NoteError
from fedtrace.governance.log.storage import read_log
from fedtrace.governance.signing import PublicKey


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedLog:
    """The signed entries of a log.

    Attributes:
        origin: the log's name.
        lines: the entries, as they are hashed.
        tree: over them.
        checkpoint: the note that signs it.
    """

    origin: str
    lines: tuple[bytes, ...]
    tree: MerkleTree
    checkpoint: bytes

    @classmethod
    def read(cls, directory: Path, *, origin: str, public_key: PublicKey) -> SignedLog:
        """Read a log and check that it is what was signed.

        Raises:
            Corrupt: it is not.
            OSError: it cannot be read.
        """
        stored = read_log(directory)
        try:
            note = stored.checkpoint or b""
            checkpoint = open_checkpoint(note, origin=origin, public_key=public_key)
        except NoteError as error:
            raise Corrupt(f"the log's checkpoint is not its own: {error}") from error
        lines = tuple(stored.lines[: checkpoint.size])
        tree = MerkleTree(map(leaf_hash, lines))
        if len(lines) < checkpoint.size or tree.root() != checkpoint.root:
            raise Corrupt("the log's entries are not the ones that its checkpoint was signed over")
        return cls(origin=origin, lines=lines, tree=tree, checkpoint=note)

    def entries(self) -> Iterator[LoggedEntry]:
        """Every entry, decoded.

        Raises:
            Corrupt: one is none.
        """
        for index, line in enumerate(self.lines):
            try:
                yield decode_entry(line, index=index, origin=self.origin)
            except Rejected as error:
                raise Corrupt(f"the log holds what is no entry: {error.sentence}") from error

    def path(self, index: int) -> tuple[str, ...]:
        """The inclusion proof of an entry under the checkpoint, in hexadecimal."""
        return tuple(each.hex() for each in self.tree.inclusion_proof(index, len(self.lines)))
