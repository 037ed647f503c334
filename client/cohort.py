"""Who may be in a round, frozen before it: the students, and what the school's log says of them.

The log gets the size in a bucket and a digest that commits to the students without telling who
they are (``fedtrace.governance.cohort``).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from fedtrace.client.vault import Fold, Vault
from fedtrace.governance.cohort import commit, pseudonym, salt_of
from fedtrace.governance.consent import Terms
from fedtrace.governance.log.entries import SizeBucket, size_bucket
from fedtrace.governance.plan import Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class Cohort:
    """The students who may take part in one round; who does is drawn later, by secret coins.

    Attributes:
        tokens: in sorted order.
        secret: of this round; salt and fillers of the commitment come from it.
        root: what the log holds, ``sha256:<hex>``.
    """

    tokens: tuple[str, ...]
    secret: bytes
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


def freeze_cohort(vault: Vault, *, plan: Plan, fold: Fold, secret: bytes, now: datetime) -> Cohort:
    """Settle who may be in a round of a plan, from consent, holds and retention as they are now.

    Args:
        vault: the school's.
        plan: which round's.
        fold: train or test.
        secret: 32 random bytes, new for every round.
        now: with a time zone.

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
    salt = salt_of(secret)
    commitment = commit((pseudonym(salt, token) for token in tokens), secret)
    return Cohort(tokens=tokens, secret=secret, root=commitment.digest)
