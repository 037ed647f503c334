"""Who may be in a round, frozen before it: the students, and what the school's log says of them.

The log gets a Merkle root over the tokens and the size in a bucket. So the school can later prove
to a guardian that a child was in the round (an inclusion proof) or was not (two neighbours in the
sorted list), and nobody else learns more than roughly how many there were.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from fedtrace.client.vault import Fold, Vault
from fedtrace.governance.consent import Terms
from fedtrace.governance.log.entries import SizeBucket, size_bucket
from fedtrace.governance.log.merkle import MerkleTree, leaf_hash
from fedtrace.governance.plan import Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class Cohort:
    """The students who may take part in one round; who does is drawn later, by secret coins.

    Attributes:
        tokens: in sorted order.
        root: RFC 6962 root over the tokens as ASCII, ``sha256:<hex>``.
    """

    tokens: tuple[str, ...]
    root: str

    def __len__(self) -> int:
        """The number of students: the school's own business, never sent."""
        return len(self.tokens)

    def __repr__(self) -> str:
        return f"Cohort({self.size_bucket} students)"

    @property
    def size_bucket(self) -> SizeBucket:
        """The size as far as a log may know it."""
        return size_bucket(len(self.tokens))


def freeze_cohort(vault: Vault, *, plan: Plan, fold: Fold, now: datetime) -> Cohort:
    """Settle who may be in a round of a plan, from consent, holds and retention as they are now.

    Raises:
        ValueError: ``now`` has no time zone.
        Corrupt: what is on file about consent does not open.
    """
    tokens = vault.cohort(
        now=now,
        terms=Terms.of(plan),
        catalogue_digest=plan.data.skill_catalogue_digest,
        fold=fold,
    )
    tree = MerkleTree(leaf_hash(token.encode("ascii")) for token in tokens)
    return Cohort(tokens=tokens, root=f"sha256:{tree.root().hex()}")
