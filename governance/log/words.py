"""The words that a log's entries are made of: numbers, buckets, and what all entries share.

There is no free text and no field about a student: names of schools, digests, codes, numbers that
the plan makes public, and counts in buckets. Decimals are strings, because a number that two
programs print differently would have two hashes.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, Field, GetCoreSchemaHandler
from pydantic_core import CoreSchema

from fedtrace.governance.document import Digest, Name, Section
from fedtrace.governance.plan import RoundKind

Decimal = Annotated[str, Field(pattern=r"^(0|[1-9][0-9]{0,17})(\.[0-9]{1,30})?(e-?[0-9]{1,3})?$")]
"""A number that is not an integer, as Python prints it shortest: ``0.1``, ``1e-05``."""

RoundNumber = Annotated[int, Field(ge=1, le=1_000_000)]
VersionNumber = Annotated[int, Field(ge=1, le=1_000_000)]
Count = Annotated[int, Field(ge=0, le=2**53 - 1)]
RequestToken = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
"""128 random bits that name what somebody asked for, so that the log need not name for whom."""

CheckNumber = Annotated[str, Field(pattern=r"^A[0-9]{2}$")]

SizeBucket = Literal[
    "0", "1-9", "10-19", "20-49", "50-99", "100-199", "200-499", "500-999", "1000+"
]
"""How many, told so coarsely that one student more or less does not show."""

_BUCKETS: tuple[tuple[int, SizeBucket], ...] = (
    (1000, "1000+"),
    (500, "500-999"),
    (200, "200-499"),
    (100, "100-199"),
    (50, "50-99"),
    (20, "20-49"),
    (10, "10-19"),
    (1, "1-9"),
)


def size_bucket(count: int) -> SizeBucket:
    """The bucket of a number of students or rows."""
    return next((bucket for least, bucket in _BUCKETS if count >= least), "0")


def decimal(value: float) -> Decimal:
    """A float as entries hold it."""
    return repr(float(value)).removesuffix(".0")


class Sorted(Section):
    """A model whose JSON is RFC 8785 as it is written: keys in order, ASCII, small integers."""

    @classmethod
    def __get_pydantic_core_schema__(
        cls, source: type[BaseModel], handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        """Pydantic's own schema, its fields sorted by name."""
        schema = handler(source)
        if schema["type"] == "model" and schema["schema"]["type"] == "model-fields":
            schema["schema"]["fields"] = dict(sorted(schema["schema"]["fields"].items()))
        return schema


class Entry(Sorted):
    """One thing that happened.

    Attributes:
        type: its name in the log.
    """

    type: ClassVar[str]


class Heartbeat(Entry):
    """Of every log: it is kept, and nothing else happened for a day."""

    type = "log.heartbeat"


class OfRound(Entry):
    """What every entry about a round says."""

    plan_digest: Digest
    run_id: Name
    round: RoundNumber
    kind: RoundKind
