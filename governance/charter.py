"""The charter: the consortium's root of trust. Who the members are and whose keys count.

A member has a key for its machine, which signs answers to orders, one for its log, and as many as
it likes for people. Where it names people, they alone agree to plans for it, and
``people_per_member`` of them together (`fedtrace.governance.agreement`). A charter is changed by a
next version that the one before it agrees to (`fedtrace.governance.charter_history`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from fedtrace.governance.document import Digest, Document, Name, Section
from fedtrace.governance.signing import SIGNATURE_LIMIT, PublicKey

CHARTER_TYPE = "application/vnd.fedtrace.charter+json"
"""What a charter's envelope says it holds."""

VERSIONS_LIMIT = 1_000
"""A charter has no more versions: whoever reads the last one reads all of them."""

Origin = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]{0,127}$")]
"""A log's origin (C2SP tlog-checkpoint): a URL without its scheme."""


Role = Literal["privacy_officer", "it", "leadership", "legal", "teaching"]
"""What somebody who signs for a school is there; closed, so that no name gets into a log."""


class Aggregator(Section):
    """Who may order rounds."""

    name: Name
    public_key: PublicKey


class LogKey(Section):
    """The consortium's log."""

    origin: Origin
    public_key: PublicKey


class Person(Section):
    """Somebody who signs for a school: a role and a key, never a name."""

    role: Role
    public_key: PublicKey


class Member(Section):
    """One school.

    Attributes:
        name: its name.
        public_key: what its machine signs with: answers, refusals, secure sums; plans too, where
            no people are named.
        log_public_key: what its log's checkpoints are signed with.
        people: who agrees to plans and charters for it.
    """

    name: Name
    public_key: PublicKey
    log_public_key: PublicKey
    people: Annotated[tuple[Person, ...], Field(max_length=20)] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Signatory:
    """Whose key it is.

    Attributes:
        member: the school.
        role: of the person; None for the school's machine.
    """

    member: str
    role: Role | None

    def __str__(self) -> str:
        return self.member if self.role is None else f"{self.member} ({self.role})"


class Charter(Document):
    """Members, aggregator and log of one consortium.

    Attributes:
        version: 1 for the founding charter, one more for each change.
        previous: digest of the version before; None for the founding charter.
        consortium: its name.
        threshold: how many members must agree to a plan, a revocation or the next charter.
        people_per_member: how many people of a member must sign for it to agree. Above 1, every
            member names at least so many.
        witness_quorum: how many members must have cosigned a checkpoint of the log; None: the
            smallest number that a third of them, less one, cannot deceive
            (``fedtrace.governance.witnessing``).
    """

    payload_type: ClassVar[str] = CHARTER_TYPE
    limit_bytes: ClassVar[int] = 1024 * 1024

    format: Literal["fedtrace-charter/1"] = "fedtrace-charter/1"
    version: Annotated[int, Field(ge=1, le=VERSIONS_LIMIT)] = 1
    previous: Digest | None = None
    consortium: Name
    threshold: Annotated[int, Field(ge=1, le=1000)]
    people_per_member: Annotated[int, Field(ge=1, le=10)] = 1
    witness_quorum: Annotated[int, Field(ge=1, le=1000)] | None = None
    aggregator: Aggregator
    log: LogKey
    members: Annotated[tuple[Member, ...], Field(min_length=1, max_length=1000)]

    @model_validator(mode="after")
    def _one_key_one_role(self) -> Self:
        """A key in two roles could say by one what it signed as the other."""
        names = [member.name for member in self.members]
        keys = [key for m in self.members for key in (m.public_key, m.log_public_key)]
        keys += [person.public_key for member in self.members for person in member.people]
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

    @model_validator(mode="after")
    def _enough_people(self) -> Self:
        """A member that could never agree would make every threshold harder than it says."""
        for member in self.members:
            if len(member.people) < self.people_per_member and (
                member.people or self.people_per_member > 1
            ):
                raise ValueError(
                    f"{member.name} has keys of {len(member.people)} people, "
                    f"{self.people_per_member} must sign for it"
                )
        needed = self.threshold * self.people_per_member
        if needed > SIGNATURE_LIMIT:
            raise ValueError(
                f"{self.threshold} members with {self.people_per_member} people each must sign, "
                f"{needed} signatures, and an envelope holds {SIGNATURE_LIMIT}"
            )
        return self

    @model_validator(mode="after")
    def _first_or_next(self) -> Self:
        if (self.version == 1) != (self.previous is None):
            raise ValueError("every version but the first names the digest of the one before it")
        return self

    def signatory(self, public_key: PublicKey) -> Signatory:
        """Who agrees to plans with this key.

        Raises:
            ValueError: nobody.
        """
        for member in self.members:
            for person in member.people:
                if person.public_key == public_key:
                    return Signatory(member=member.name, role=person.role)
            if member.public_key == public_key:
                if member.people:
                    raise ValueError(
                        f"it is the key of the machine of {member.name}; people sign for it: "
                        f"{', '.join(person.role for person in member.people)}"
                    )
                return Signatory(member=member.name, role=None)
        raise ValueError(
            f"it is the key of nobody who signs for a member of {self.consortium}: the charter "
            "names the keys of people, or the school's keys/school.pem"
        )

    def places(self) -> Iterator[tuple[PublicKey, str]]:
        """Every key of a member with whose it is, in words."""
        for member in self.members:
            yield member.public_key, f"the machine of {member.name}"
            yield member.log_public_key, f"the log of {member.name}"
            for person in member.people:
                yield person.public_key, f"a person of {member.name}"

    def member_keys(self) -> Mapping[str, PublicKey]:
        """Member name -> the key of its machine."""
        return {member.name: member.public_key for member in self.members}
