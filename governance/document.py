"""What every signed document has in common: strict, frozen, closed, one encoding, small.

A document enters as bytes and becomes a value or an error, nothing in between. Its bytes are the
RFC 8785 canonical JSON of the value: a second encoding of the same value is refused, so that one
digest names one document.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated, ClassVar, Self

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from fedtrace.governance.canonical import canonical, digest
from fedtrace.governance.errors import Rejected


def _to_utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC)


Digest = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]
"""``sha256:`` and 64 lower-case hexadecimal digits."""

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
"""A school, an aggregator, a run: no spaces, no path separators, at most 64 characters."""

Nonce = Annotated[str, Field(pattern=r"^[0-9a-f]{32,64}$")]
"""128 to 256 random bits in hexadecimal."""

UtcDatetime = Annotated[AwareDatetime, AfterValidator(_to_utc)]
"""A moment with a time zone, kept in UTC so that equal moments have equal bytes."""

Rate = Annotated[float, Field(gt=0, le=1)]
"""A probability that is not 0."""


class Section(BaseModel):
    """A part of a document: no unknown keys, no coercion, no change, no infinity."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Document(Section):
    """A whole document that is signed or stored.

    Attributes:
        payload_type: what the DSSE envelope says it holds.
        limit_bytes: more is not parsed.
    """

    payload_type: ClassVar[str]
    limit_bytes: ClassVar[int]

    def to_bytes(self) -> bytes:
        """The one encoding of this document."""
        return canonical(self)

    def digest(self) -> str:
        """``sha256:<hex>`` of `to_bytes`; the document's name everywhere."""
        return digest(self.to_bytes())

    @classmethod
    def from_bytes(cls, payload: bytes) -> Self:
        """Decode; total: a value or `Rejected`.

        Raises:
            Rejected: too many bytes, not this document, or not its canonical encoding.
        """
        if len(payload) > cls.limit_bytes:
            raise Rejected("size", f"{len(payload)} bytes, at most {cls.limit_bytes} are read")
        try:
            document = cls.model_validate_json(payload)
        except (ValidationError, RecursionError) as error:
            raise Rejected("format", _first_problem(cls, error)) from error
        if document.to_bytes() != payload:
            raise Rejected("format", f"the {_spoken(cls)} is not in its canonical encoding")
        return document


def _first_problem(cls: type[Document], error: Exception) -> str:
    """Where the first problem is and what was expected, without repeating what came."""
    if not isinstance(error, ValidationError):
        return f"the {_spoken(cls)} is nested too deeply"
    problems = error.errors(include_url=False)
    if named := next((each for each in problems if each["loc"] == ("format",)), None):
        newer = _newer_version(cls, named["input"])
        if newer is not None:
            return newer
    first = problems[0]
    where = ".".join(str(part) for part in first["loc"])[:100]
    place = f" at {where}" if where else ""
    return f"the {_spoken(cls)} is not well formed{place}: {reason_of(first)[:200]}"


def reason_of(problem: ErrorDetails) -> str:
    """What a validator said, without what pydantic writes before it."""
    return problem["msg"].removeprefix("Value error, ")


def _newer_version(cls: type[Document], named: object) -> str | None:
    """What to do where this is the expected format in a newer version; None where it is not.

    Args:
        cls: the document that was expected.
        named: what stands under ``format``.
    """
    expected = cls.model_fields["format"].default if "format" in cls.model_fields else None
    if not isinstance(expected, str) or not isinstance(named, str):
        return None
    name, _, ours = expected.rpartition("/")
    match = re.fullmatch(rf"{re.escape(name)}/([1-9][0-9]{{0,5}})", named)
    if match is None:
        return None
    if int(match[1]) <= int(ours):
        return None
    return (
        f"the {_spoken(cls)} has the format {named} of a newer fedtrace, and this one reads "
        f"{expected}: upgrade fedtrace here (docs/rolling-upgrade.md)"
    )


def _spoken(cls: type[Document]) -> str:
    """``RoundOrder`` -> "round order"."""
    return re.sub(r"(?<!^)(?=[A-Z])", " ", cls.__name__).lower()
