"""The cohorts of past rounds, kept so that the school can prove who was in one and who was not.

A round is kept as pseudonyms of that round only: once a student's token is erased, nothing leads
from it to them, and the proofs of all others still hold.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Row, func, select, update
from sqlalchemy.dialects.sqlite import insert

from fedtrace.client.journal import stage
from fedtrace.client.sqlite import reading, to_utc, writing
from fedtrace.client.vault_tables import VaultFiles, cohorts
from fedtrace.governance.cohort import Commitment, commit, pseudonym, salt_of
from fedtrace.governance.errors import Corrupt
from fedtrace.governance.log.entries import CohortRemoved
from fedtrace.governance.orders import RoundOrder

_PSEUDONYM_BYTES = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptCohort:
    """A round whose students are on file, as pseudonyms."""

    root: str
    plan_digest: str
    frozen_at: datetime


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
            ValueError: its students were removed when their time was over.
            Corrupt: the log tells of this root and it is not kept here.
        """
        row = self._row(root)
        if not row.secret:
            raise ValueError(
                "who was in that round was destroyed when its time was over, as the school's log "
                "says: nothing can be proven about it any more"
            )
        return commit(_split(row.pseudonyms), row.secret)

    def is_kept(self, root: str) -> bool:
        """Whether the students of a round are still on file.

        Raises:
            Corrupt: no such round was ever kept here.
        """
        return bool(self._row(root).secret)

    def _row(self, root: str) -> Row[Any, Any]:
        """Secret and pseudonyms of a round.

        Raises:
            Corrupt: no such round was ever kept here.
        """
        query = select(cohorts.c.secret, cohorts.c.pseudonyms).where(cohorts.c.root == root)
        with reading(self._engine) as connection:
            row = connection.execute(query).first()
        if row is None:
            raise Corrupt("the students of a round that the log tells of are not in the vault")
        return row

    def kept(self) -> tuple[KeptCohort, ...]:
        """Every round whose students are still on file, oldest first."""
        query = select(cohorts.c.root, cohorts.c.plan_digest, cohorts.c.frozen_at)
        query = query.where(func.length(cohorts.c.secret) > 0).order_by(cohorts.c.frozen_at)
        with reading(self._engine) as connection:
            rows = connection.execute(query).all()
        return tuple(
            KeptCohort(
                root=row.root,
                plan_digest=row.plan_digest,
                frozen_at=row.frozen_at.replace(tzinfo=UTC),
            )
            for row in rows
        )

    def remove(self, entries: Mapping[str, CohortRemoved]) -> tuple[bytes, ...]:
        """Destroy who was in some rounds; that there was a round stays.

        Args:
            entries: what the log will say, by root.

        Returns:
            What must be in no file any more, once the deleted pages are dropped.

        Raises:
            OSError: it cannot be written.
        """
        gone: list[bytes] = []
        with writing(self._engine) as connection:
            for root, entry in entries.items():
                this = cohorts.c.root == root
                row = connection.execute(
                    select(cohorts.c.secret, cohorts.c.pseudonyms).where(this)
                ).one()
                gone += [row.secret, *_split(row.pseudonyms)]
                nothing = {"secret": b"", "pseudonyms": b""}
                connection.execute(update(cohorts).where(this).values(nothing))
                stage(connection, entry)
        return tuple(gone)


def _split(pseudonyms: bytes) -> frozenset[bytes]:
    return frozenset(
        pseudonyms[start : start + _PSEUDONYM_BYTES]
        for start in range(0, len(pseudonyms), _PSEUDONYM_BYTES)
    )
