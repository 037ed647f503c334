"""Was this child in round 7? What the school's log commits to, and the proof that answers.

For every round the log holds one digest over who might be drawn. Below it lies a Merkle tree whose
leaves are the students' pseudonyms of this one round, ``HMAC(salt, token)``, sorted. A student's
pseudonym with its path shows that the student was among them; two neighbours between which it
would lie show that the student was not.

What this tells nobody else: tokens are 128 random bits, so neither the log nor a neighbour's
pseudonym can be tried out; the salt is new in every round, so pseudonyms of two rounds do not meet;
fillers that look the same bring the number of leaves to a power of two, at least 64. The digest
binds salt and size too, so a school cannot choose another salt for the answer it would like.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from fedtrace.governance.document import Digest, Document, Name, Section
from fedtrace.governance.errors import Rejected
from fedtrace.governance.log.checkpoint import open_checkpoint
from fedtrace.governance.log.entries import LoggedEntry, RoundReserved, decode_entry
from fedtrace.governance.log.merkle import MerkleTree, ProofError, leaf_hash, require_inclusion
from fedtrace.governance.log.note import NoteError
from fedtrace.governance.log.words import Count, RoundNumber
from fedtrace.governance.plan import RoundKind
from fedtrace.governance.signing import PublicKey

SECRET_BYTES = 32
_LEAST_LEAVES = 64
_FIRST, _LAST = bytes(32), b"\xff" * 32
_LABEL = b"fedtrace cohort 1\n"

Hash = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Path = Annotated[tuple[Hash, ...], Field(max_length=64)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Commitment:
    """What one round's cohort comes to.

    Attributes:
        salt: of this round; a proof shows it.
        leaves: pseudonyms and fillers, sorted, between the lowest and the highest value.
        tree: over them.
        digest: what the log holds.
    """

    salt: bytes
    leaves: tuple[bytes, ...]
    tree: MerkleTree
    digest: str

    def __repr__(self) -> str:
        return f"Commitment({self.digest})"


def salt_of(secret: bytes) -> bytes:
    """The salt of a round; it follows from the round's secret, which a proof does not show."""
    return hmac.digest(secret, b"salt", "sha256")


def pseudonym(salt: bytes, token: str) -> bytes:
    """A student's name in one round."""
    return hmac.digest(salt, token.encode("ascii"), "sha256")


def commit(pseudonyms: Iterable[bytes], secret: bytes) -> Commitment:
    """Commit to a round's students.

    Args:
        pseudonyms: of this round, in any order.
        secret: 32 random bytes of this round.
    """
    leaves = {_FIRST, _LAST, *pseudonyms}
    size = max(_LEAST_LEAVES, 1 << (len(leaves) - 1).bit_length())
    number = 0
    while len(leaves) < size:
        leaves.add(hmac.digest(secret, b"filler %d" % number, "sha256"))
        number += 1
    ordered = tuple(sorted(leaves))
    tree = MerkleTree(map(leaf_hash, ordered))
    salt = salt_of(secret)
    return Commitment(salt=salt, leaves=ordered, tree=tree, digest=_digest(salt, size, tree.root()))


def _digest(salt: bytes, size: int, root: bytes) -> str:
    committed = _LABEL + salt + size.to_bytes(8, "big") + root
    return f"sha256:{hashlib.sha256(committed).hexdigest()}"


class ProvenLeaf(Section):
    """One leaf of a round's tree, with its path."""

    index: Count
    leaf: Hash
    path: Path


class RoundProof(Section):
    """About one round that the school reserved.

    Attributes:
        salt: of the round.
        leaves: how many the tree has.
        root: the tree's.
        shown: the student's leaf, or the two between which it would lie.
        entry_index: where the entry that commits to this stands in the log.
        entry: its line.
        path: its path to the log's checkpoint.
    """

    salt: Hash
    leaves: Annotated[int, Field(ge=_LEAST_LEAVES, le=2**40)]
    root: Hash
    shown: Annotated[tuple[ProvenLeaf, ...], Field(min_length=1, max_length=2)]
    entry_index: Count
    entry: Annotated[str, Field(max_length=8192)]
    path: Path


class CohortProof(Document):
    """The file that answers for one student and one round; it can be checked offline, for ever.

    Attributes:
        school: whose log.
        student: the student's random token; the same in everything that the school gives out.
        round: which round was asked about.
        rounds: one proof for each time that the school settled a round of this number.
        checkpoint: the log's signed checkpoint.
    """

    payload_type: ClassVar[str] = "application/vnd.fedtrace.cohort-proof+json"
    limit_bytes: ClassVar[int] = 8 * 1024 * 1024

    format: Literal["fedtrace-cohort-proof/1"] = "fedtrace-cohort-proof/1"
    school: Name
    student: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
    round: RoundNumber
    rounds: tuple[RoundProof, ...]
    checkpoint: Annotated[str, Field(max_length=131_072)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a proof shows about one round.

    Attributes:
        plan_digest, run_id, round, kind: which.
        member: whether the student was among those who could be drawn.
        time: when the school's log says that this was settled.
    """

    plan_digest: Digest
    run_id: str
    round: int
    kind: RoundKind
    member: bool
    time: str

    @property
    def sentence(self) -> str:
        """The answer in words."""
        was = "was" if self.member else "was NOT"
        return (
            f"the student {was} among those who could be drawn for round {self.round} "
            f"({self.kind}) of {self.run_id}, settled {self.time}, plan {self.plan_digest}"
        )


def prove(commitment: Commitment, token: str) -> tuple[ProvenLeaf, ...]:
    """The leaves that answer for a student."""
    wanted = pseudonym(commitment.salt, token)
    leaves = commitment.leaves
    after = next(index for index, leaf in enumerate(leaves) if leaf >= wanted)
    shown = (after,) if leaves[after] == wanted else (after - 1, after)
    return tuple(
        ProvenLeaf(
            index=index,
            leaf=leaves[index].hex(),
            path=tuple(each.hex() for each in commitment.tree.inclusion_proof(index, len(leaves))),
        )
        for index in shown
    )


def verify_cohort_proof(
    proof: CohortProof, *, origin: str, public_key: PublicKey
) -> tuple[Answer, ...]:
    """Check a proof with the log's public key alone; pure.

    1. the checkpoint is signed by the school's log; 2. each entry is under it; 3. it commits to
    this salt, size and root; 4. each leaf is under that root; 5. the leaves answer for the student.

    Args:
        proof: the file.
        origin: the name of the school's log.
        public_key: the log's, from the charter.

    Raises:
        ProofError: one of these does not hold; the sentence says which.
    """
    try:
        checkpoint = open_checkpoint(
            proof.checkpoint.encode(), origin=origin, public_key=public_key
        )
    except NoteError as error:
        raise ProofError(f"the checkpoint is not the log's: {error}") from error
    answers = []
    for each in proof.rounds:
        path = [bytes.fromhex(step) for step in each.path]
        line = each.entry.encode()
        require_inclusion(leaf_hash(line), each.entry_index, checkpoint.size, path, checkpoint.root)
        try:
            logged = decode_entry(line, index=each.entry_index, origin=origin)
        except Rejected as error:
            raise ProofError(f"the entry is none of this log: {error.sentence}") from error
        answers.append(_answer(each, logged, proof))
    return tuple(answers)


def _answer(proof: RoundProof, logged: LoggedEntry, whole: CohortProof) -> Answer:
    entry = logged.entry
    if not isinstance(entry, RoundReserved) or entry.round != whole.round:
        raise ProofError(f"the entry does not settle round {whole.round}")
    salt, root = bytes.fromhex(proof.salt), bytes.fromhex(proof.root)
    if _digest(salt, proof.leaves, root) != entry.cohort_root:
        raise ProofError("salt, size and root are not the ones that the log commits to")
    for leaf in proof.shown:
        hashed = leaf_hash(bytes.fromhex(leaf.leaf))
        path = [bytes.fromhex(each) for each in leaf.path]
        require_inclusion(hashed, leaf.index, proof.leaves, path, root)
    return Answer(
        plan_digest=entry.plan_digest,
        run_id=entry.run_id,
        round=entry.round,
        kind=entry.kind,
        member=_is_member(proof, pseudonym(salt, whole.student)),
        time=logged.time.isoformat(timespec="seconds"),
    )


def _is_member(proof: RoundProof, wanted: bytes) -> bool:
    """What the shown leaves say.

    Raises:
        ProofError: they say nothing about this student.
    """
    first, *others = proof.shown
    if not others:
        if bytes.fromhex(first.leaf) == wanted:
            return True
        raise ProofError("the leaf is another student's")
    (second,) = others
    adjacent = second.index == first.index + 1
    if adjacent and bytes.fromhex(first.leaf) < wanted < bytes.fromhex(second.leaf):
        return False
    raise ProofError("the student would not lie between the two leaves")
