"""The cohorts of past rounds, kept so that the school can prove who was in one and who was not.

A round is kept as pseudonyms of that round only: once a student's token is erased, nothing leads
from it to them, and the proofs of all others still hold.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.dialects.sqlite import insert

from fedtrace.client.sqlite import reading, to_utc, writing
from fedtrace.client.vault_tables import VaultFiles, cohorts
from fedtrace.governance.cohort import Commitment, commit, pseudonym, salt_of
from fedtrace.governance.errors import Corrupt
from fedtrace.governance.orders import RoundOrder

_PSEUDONYM_BYTES = 32


class CohortBook:
    """The cohorts of a vault."""

    def __init__(self, files: VaultFiles) -> None:
        self._engine = files.engine

    def keep(
        self, tokens: Sequence[str], secret: bytes, *, root: str, order: RoundOrder, now: datetime
    ) -> None:
        """Remember a round's students before its root goes into the log.

        Raises:
            OSError: it cannot be written.
        """
        salt = salt_of(secret)
        row = {
            "root": root,
            "plan_digest": order.plan_digest,
            "run_id": order.run_id,
            "round": order.round,
            "kind": order.kind,
            "secret": secret,
            "pseudonyms": b"".join(pseudonym(salt, token) for token in tokens),
            "frozen_at": to_utc(now),
        }
        with writing(self._engine) as connection:
            connection.execute(insert(cohorts).on_conflict_do_nothing(), row)

    def commitment(self, root: str) -> Commitment:
        """What was committed to.

        Raises:
            Corrupt: the log tells of this root and it is not kept here.
        """
        query = select(cohorts.c.secret, cohorts.c.pseudonyms).where(cohorts.c.root == root)
        with reading(self._engine) as connection:
            row = connection.execute(query).first()
        if row is None:
            raise Corrupt("the students of a round that the log tells of are not in the vault")
        return commit(_split(row.pseudonyms), row.secret)


def _split(pseudonyms: bytes) -> frozenset[bytes]:
    return frozenset(
        pseudonyms[start : start + _PSEUDONYM_BYTES]
        for start in range(0, len(pseudonyms), _PSEUDONYM_BYTES)
    )
