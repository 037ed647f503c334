"""Legal holds: records that may be neither used nor erased until the hold is lifted."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Connection, delete, insert, or_, select

from fedtrace.client.journal import stage
from fedtrace.client.sqlite import reading, to_utc, writing
from fedtrace.client.vault_tables import VaultFiles, holds, new_request
from fedtrace.governance.log.entries import HoldLifted, HoldMatter, HoldPlaced, HoldScope


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """One hold.

    Attributes:
        request: its name, here and in the log.
        token: whose records; None where it is all of the school's.
        matter: why, from a closed list.
        placed_at: when.
    """

    request: str
    token: str | None
    matter: HoldMatter
    placed_at: datetime

    def __repr__(self) -> str:
        return f"Hold({self.scope}, {self.matter})"

    @property
    def scope(self) -> HoldScope:
        """Whether it is about one student or all."""
        return "school" if self.token is None else "student"


class HoldBook:
    """The holds of a vault."""

    def __init__(self, files: VaultFiles) -> None:
        self._engine = files.engine

    def place(self, token: str | None, *, matter: HoldMatter, now: datetime) -> Hold:
        """Hold the records of a student, or of all where the token is None, from now on.

        Raises:
            OSError: it cannot be written.
        """
        hold = Hold(request=new_request(), token=token, matter=matter, placed_at=now)
        entry = HoldPlaced(request=hold.request, scope=hold.scope, matter=matter)
        with writing(self._engine) as connection:
            row = {
                "request": hold.request,
                "token": token,
                "matter": matter,
                "placed_at": to_utc(now),
            }
            connection.execute(insert(holds), row)
            stage(connection, entry, [token] if token else ())
        return hold

    def lift(self, request: str) -> None:
        """End a hold.

        Raises:
            ValueError: there is no such hold.
            OSError: it cannot be written.
        """
        with writing(self._engine) as connection:
            lifted = connection.execute(delete(holds).where(holds.c.request == request))
            if lifted.rowcount != 1:
                raise ValueError(
                    "there is no hold of this name: `fedtrace school hold list` names each"
                )
            stage(connection, HoldLifted(request=request))

    def all(self) -> tuple[Hold, ...]:
        """Every hold in force, oldest first."""
        with reading(self._engine) as connection:
            rows = connection.execute(select(holds).order_by(holds.c.placed_at)).all()
        return tuple(
            Hold(
                request=row.request,
                token=row.token,
                matter=row.matter,
                placed_at=row.placed_at.replace(tzinfo=UTC),
            )
            for row in rows
        )

    def held(self, connection: Connection) -> frozenset[str | None]:
        """The students under a hold; None is among them where it is everybody."""
        return frozenset(connection.execute(select(holds.c.token)).scalars())

    def is_held(self, token: str) -> bool:
        """Whether a hold forbids to use and to erase this student's records."""
        query = select(holds.c.request).where(or_(holds.c.token == token, holds.c.token.is_(None)))
        with reading(self._engine) as connection:
            return connection.execute(query.limit(1)).first() is not None
