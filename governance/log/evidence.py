"""Evidence that a log has two histories: two checkpoints that its key signed and that contradict.

Whoever holds the log's public key checks it alone. ``ours`` is the checkpoint that was cosigned,
``theirs`` the one that came; ``proof`` shows which root the cosigned history had at the size of
``theirs``, and that it is another one.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from fedtrace.governance.document import Document, UtcDatetime
from fedtrace.governance.log.checkpoint import LogCheckpoint, open_checkpoint
from fedtrace.governance.log.merkle import MerkleTree, ProofError, require_consistency
from fedtrace.governance.log.note import NOTE_LIMIT_BYTES, encode_base64
from fedtrace.governance.log.proof import PROOF_LIMIT_HASHES, decode_hashes
from fedtrace.governance.signing import PublicKey

Note = Annotated[str, Field(max_length=NOTE_LIMIT_BYTES)]
Hash = Annotated[str, Field(min_length=44, max_length=44)]


class ForkEvidence(Document):
    """Two checkpoints of one log that cannot both be true.

    Attributes:
        ours: the checkpoint that was verified and cosigned here, of the larger or equal size.
        theirs: the one that contradicts it.
        root: base64, what the history of ``ours`` had at the size of ``theirs``.
        proof: base64, that ``ours`` continues a tree of that size with that root.
        seen_at: when ``theirs`` came.
    """

    payload_type: ClassVar[str] = "application/vnd.fedtrace.fork-evidence+json"
    limit_bytes: ClassVar[int] = 3 * NOTE_LIMIT_BYTES

    format: Literal["fedtrace-fork-evidence/1"] = "fedtrace-fork-evidence/1"
    ours: Note
    theirs: Note
    root: Hash
    proof: Annotated[tuple[Hash, ...], Field(max_length=PROOF_LIMIT_HASHES)]
    seen_at: UtcDatetime


def collect_evidence(
    tree: MerkleTree, ours: bytes, theirs: bytes, *, size: int, now: UtcDatetime
) -> ForkEvidence:
    """Put the evidence together.

    Args:
        tree: of the cosigned history.
        ours: its checkpoint.
        theirs: the checkpoint that contradicts it.
        size: of ``theirs``, above 0 and not above the tree's.
        now: when it came.
    """
    return ForkEvidence(
        ours=ours.decode(),
        theirs=theirs.decode(),
        root=encode_base64(tree.root(size)),
        proof=tuple(encode_base64(each) for each in tree.consistency_proof(size, len(tree))),
        seen_at=now,
    )


def require_fork(
    evidence: ForkEvidence, *, origin: str, public_key: PublicKey
) -> tuple[LogCheckpoint, LogCheckpoint]:
    """Check that it proves what it claims: the log's key signed two histories.

    Returns:
        The two checkpoints, ours and theirs.

    Raises:
        NoteError: a checkpoint is not one that the log's key signed.
        ProofError: the two do not contradict each other.
    """
    ours = open_checkpoint(evidence.ours.encode(), origin=origin, public_key=public_key)
    theirs = open_checkpoint(evidence.theirs.encode(), origin=origin, public_key=public_key)
    (root,) = decode_hashes([evidence.root])
    require_consistency(theirs.size, root, ours.size, ours.root, decode_hashes(evidence.proof))
    if root == theirs.root:
        raise ProofError("the two checkpoints do not contradict each other")
    return ours, theirs
