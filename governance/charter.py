"""The charter: the consortium's root of trust. Who the members are and whose keys count.

In this release every member has one key for plans, orders' answers and refusals, and one for its
log. A changed charter is a new document that the schools install by hand.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from fedtrace.governance.document import Document, Name, Section
from fedtrace.governance.signing import PublicKey

CHARTER_TYPE = "application/vnd.fedtrace.charter+json"
"""What a charter's envelope says it holds."""

Origin = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]{0,127}$")]
"""A log's origin (C2SP tlog-checkpoint): a URL without its scheme."""


class Aggregator(Section):
    """Who may order rounds."""

    name: Name
    public_key: PublicKey


class LogKey(Section):
    """The consortium's log."""

    origin: Origin
    public_key: PublicKey


class Member(Section):
    """One school: the key it signs with, and the key of its own log."""

    name: Name
    public_key: PublicKey
    log_public_key: PublicKey


class Charter(Document):
    """Members, aggregator and log of one consortium.

    Attributes:
        consortium: its name.
        threshold: how many members must sign a plan.
        witness_quorum: how many members must have cosigned a checkpoint of the log; None: the
            smallest number that a third of them, less one, cannot deceive
            (``fedtrace.governance.witnessing``).
    """

    payload_type: ClassVar[str] = CHARTER_TYPE
    limit_bytes: ClassVar[int] = 1024 * 1024

    format: Literal["fedtrace-charter/1"] = "fedtrace-charter/1"
    consortium: Name
    threshold: Annotated[int, Field(ge=1, le=1000)]
    witness_quorum: Annotated[int, Field(ge=1, le=1000)] | None = None
    aggregator: Aggregator
    log: LogKey
    members: Annotated[tuple[Member, ...], Field(min_length=1, max_length=1000)]

    @model_validator(mode="after")
    def _one_key_one_role(self) -> Self:
        """A key in two roles could say by one what it signed as the other."""
        names = [member.name for member in self.members]
        keys = [key for m in self.members for key in (m.public_key, m.log_public_key)]
        keys += [self.aggregator.public_key, self.log.public_key]
        if len(set(names)) < len(names):
            raise ValueError("two members have the same name")
        if len(set(keys)) < len(keys):
            raise ValueError("one key stands in two places")
        if self.threshold > len(names):
            raise ValueError(f"the threshold is {self.threshold}, there are {len(names)} members")
        if (self.witness_quorum or 1) > len(names):
            raise ValueError(
                f"the witness quorum is {self.witness_quorum}, there are {len(names)} members"
            )
        return self

    def member_of(self, public_key: PublicKey) -> str:
        """Whose key it is.

        Raises:
            ValueError: no member's.
        """
        for member in self.members:
            if member.public_key == public_key:
                return member.name
        raise ValueError(
            f"it is the key of no member of {self.consortium}: schools sign with keys/school.pem."
        )

    def member_keys(self) -> Mapping[str, PublicKey]:
        """Member name -> the key that it signs with."""
        return {member.name: member.public_key for member in self.members}
