"""What a log can say: a closed list of entry types, each with a closed schema.

There is no free text and no field about a student: names of schools, digests, codes, numbers that
the plan makes public, and counts in buckets. An entry is a CloudEvents 1.0 envelope in RFC 8785
canonical JSON; these very bytes are stored, hashed and shown. Decimals are strings, because a
number that two programs print differently would have two hashes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Annotated, ClassVar, Literal, NamedTuple

import rfc8785
from pydantic import BaseModel, Field, GetCoreSchemaHandler, ValidationError
from pydantic_core import CoreSchema, from_json

from fedtrace.governance.document import Digest, Name, Section
from fedtrace.governance.errors import Rejected
from fedtrace.governance.log.shapes import data_pattern
from fedtrace.governance.plan import RoundKind, TrustMode
from fedtrace.governance.refusals import RefusalCode

ENTRY_LIMIT_BYTES = 8 * 1024
"""A line of the log is never longer."""

Decimal = Annotated[str, Field(pattern=r"^(0|[1-9][0-9]{0,17})(\.[0-9]{1,30})?(e-?[0-9]{1,3})?$")]
"""A number that is not an integer, as Python prints it shortest: ``0.1``, ``1e-05``."""

RoundNumber = Annotated[int, Field(ge=1, le=1_000_000)]
Count = Annotated[int, Field(ge=0, le=2**53 - 1)]
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


class _Sorted(Section):
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


class Entry(_Sorted):
    """One thing that happened.

    Attributes:
        type: its name in the log.
    """

    type: ClassVar[str]


class SchoolInitialised(Entry):
    """A school's home was made, under this charter and this policy."""

    type = "school.initialised"
    school: Name
    charter_digest: Digest
    policy_digest: Digest


class PolicyChanged(Entry):
    """The school set other bounds."""

    type = "policy.changed"
    policy_digest: Digest


class ImportCompleted(Entry):
    """Student records were imported; how many, in buckets."""

    type = "import.completed"
    students: SizeBucket
    rows_kept: SizeBucket
    rows_rejected: SizeBucket
    columns_kept: Count
    columns_dropped: Count


class PlanAccepted(Entry):
    """The school takes part in a plan."""

    type = "plan.accepted"
    plan_digest: Digest
    signers: tuple[Name, ...]


class _OfRound(Entry):
    plan_digest: Digest
    run_id: Name
    round: RoundNumber
    kind: RoundKind


class RoundReserved(_OfRound):
    """The privacy cost of a round is written down; the cohort is frozen."""

    type = "round.reserved"
    noise_multiplier: Decimal
    sampling_rate: Decimal
    cohort_size: SizeBucket
    cohort_root: Digest


class UpdateSent(_OfRound):
    """A contribution left the school."""

    type = "update.sent"
    digest: Digest


class SharesRevealed(_OfRound):
    """Under secure sum: the school revealed its shares for the sum of these schools."""

    type = "shares.revealed"
    schools: tuple[Name, ...]


class OrderRefused(Entry):
    """The school said no; plan, run and round where the order could be believed."""

    type = "order.refused"
    code: RefusalCode
    clause: Annotated[str, Field(pattern=r"^[a-z][a-z_.]{0,63}$")]
    plan_digest: Digest | None
    run_id: Name | None
    round: RoundNumber | None


class KillSwitchChanged(Entry):
    """A person at the school stopped all training, or allowed it again."""

    type = "kill_switch.changed"
    on: bool


class CharterAdopted(Entry):
    """The consortium's log starts under this charter."""

    type = "charter.adopted"
    charter_digest: Digest


class PlanActivated(Entry):
    """Enough schools signed; what the plan promises to a student."""

    type = "plan.activated"
    plan_digest: Digest
    signers: tuple[Name, ...]
    trust_mode: TrustMode
    epsilon_job: Decimal
    delta: Decimal


class RunOpened(Entry):
    """A job starts, or starts again after the aggregator died."""

    type = "run.opened"
    plan_digest: Digest
    run_id: Name


class RoundOpened(_OfRound):
    """Schools are asked."""

    type = "round.opened"
    order_digest: Digest
    checkpoint_digest: Digest
    schools: tuple[Name, ...]


class _OfSchool(_OfRound):
    school: Name


class UpdateReceived(_OfSchool):
    """A contribution came and passed every check."""

    type = "update.received"
    digest: Digest


class UpdateUnused(_OfSchool):
    """A masked contribution came and passed every check, and its attempt was never unmasked."""

    type = "update.unused"
    digest: Digest


class UpdateRejected(_OfSchool):
    """A contribution came and failed a check."""

    type = "update.rejected"
    check: CheckNumber


class SchoolRefused(_OfSchool):
    """A school said no, with a signed notice."""

    type = "school.refused"
    code: RefusalCode
    digest: Digest


class SchoolMissing(_OfSchool):
    """A school did not answer before the deadline."""

    type = "school.missing"


class Input(_Sorted):
    """One contribution that went into a round's sum."""

    school: Name
    digest: Digest


class RoundClosed(_OfRound):
    """The round's sum became a new checkpoint; everything that went in and how."""

    type = "round.closed"
    inputs: tuple[Input, ...]
    output_digest: Digest
    rule: Literal["sgd", "momentum", "adam"]
    clipping_norm: Decimal
    noise_multiplier: Decimal
    sampling_rate: Decimal


class RoundFailed(_OfRound):
    """Too few schools answered; nothing was summed."""

    type = "round.failed"
    answered: Count
    minimum: Count


class EvaluationClosed(_OfRound):
    """The released model was judged on noised histograms."""

    type = "evaluation.closed"
    inputs: tuple[Input, ...]
    noise_multiplier: Decimal


class RunClosed(Entry):
    """A job ended, in order."""

    type = "run.closed"
    plan_digest: Digest
    run_id: Name
    reason: Literal["completed", "quorum_not_reached", "budget_exhausted"]
    rounds: Count


class ModelReleased(Entry):
    """A model was written to the registry."""

    type = "model.released"
    plan_digest: Digest
    run_id: Name
    digest: Digest
    averaged: Count


SCHOOL_ENTRIES: tuple[type[Entry], ...] = (
    SchoolInitialised,
    PolicyChanged,
    ImportCompleted,
    PlanAccepted,
    RoundReserved,
    UpdateSent,
    SharesRevealed,
    OrderRefused,
    KillSwitchChanged,
)
"""What a school's log can hold."""

CONSORTIUM_ENTRIES: tuple[type[Entry], ...] = (
    CharterAdopted,
    PlanActivated,
    RunOpened,
    RoundOpened,
    UpdateReceived,
    UpdateUnused,
    UpdateRejected,
    SchoolRefused,
    SchoolMissing,
    RoundClosed,
    RoundFailed,
    EvaluationClosed,
    RunClosed,
    ModelReleased,
)
"""What the consortium's log can hold."""

ENTRY_TYPES: Mapping[str, type[Entry]] = MappingProxyType(
    {kind.type: kind for kind in (*SCHOOL_ENTRIES, *CONSORTIUM_ENTRIES)}
)
"""Type name -> schema; nothing else can be written or read."""

_BY_NAME = {name.encode("ascii"): kind for name, kind in ENTRY_TYPES.items()}

_DATA: Mapping[type[Entry], re.Pattern[bytes]] = MappingProxyType(
    {kind: data_pattern(kind) for kind in ENTRY_TYPES.values()}
)
"""Type -> what its data look like; a match is a proof that they are valid and canonical."""

# The envelope has one encoding, so it is found as text. What stands in the data's place need not
# be JSON for that; its own schema judges exactly these bytes.
_HEAD, _AFTER_DATA = b'{"data":', b',"datacontenttype":"application/json","id":"'
_REST = re.compile(
    rb'(0|[1-9][0-9]{0,15})","source":"([A-Za-z0-9._/-]{1,128})","specversion":"1\.0",'
    rb'"time":"([0-9-]{10}T[0-9:]{8}\.[0-9]{6}Z)","type":"([a-z_.]{1,64})"\}'
)


class LoggedEntry(NamedTuple):
    """An entry as a log holds it; a tuple, because a log has a million of them.

    Attributes:
        index: its place, from 0.
        origin: the log's name.
        time: when it was written, by the clock of the log's owner.
        kind: its type.
        data: its bytes, valid and canonical for that type.
    """

    index: int  # type: ignore[assignment]  # the tuple's own method is not used
    origin: str
    time: datetime
    kind: type[Entry]
    data: bytes

    @property
    def entry(self) -> Entry:
        """What happened; built anew each time, because most entries are only counted."""
        return self.kind.model_validate_json(self.data)


def encode_entry(entry: Entry, *, index: int, origin: str, now: datetime) -> bytes:
    """The bytes that are stored and hashed, without a newline.

    Raises:
        ValueError: ``now`` has no time zone, a type that is not in the list, too many bytes, or
            an origin that no log can have.
    """
    if now.tzinfo is None:
        raise ValueError("an entry's time needs a time zone")
    if ENTRY_TYPES.get(entry.type) is not type(entry):
        raise ValueError(f"{type(entry).__name__} is not an entry type")
    time = now.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    line = (
        f'{{"data":{entry.model_dump_json()},"datacontenttype":"application/json","id":"{index}",'
        f'"source":"{origin}","specversion":"1.0","time":"{time}","type":"{entry.type}"}}'
    ).encode()
    if len(line) > ENTRY_LIMIT_BYTES:
        raise ValueError(f"the entry has {len(line)} bytes, at most {ENTRY_LIMIT_BYTES} are kept")
    if not _REST.fullmatch(line, line.rfind(_AFTER_DATA) + len(_AFTER_DATA)):
        raise ValueError(f"{origin!r} is not a log's origin")
    return line


def decode_entry(line: bytes, *, index: int, origin: str) -> LoggedEntry:
    """Read an entry back; total: a value or `Rejected`.

    Raises:
        Rejected: ``size``; ``json``; ``canonical``: JSON, but not in its one encoding (a key
            twice, another order, spaces, escapes, characters beyond ASCII); ``envelope``;
            ``type``; ``index``; ``origin``; ``schema``.
    """
    if len(line) > ENTRY_LIMIT_BYTES:
        raise Rejected("size", f"entry {index} has {len(line)} bytes, over {ENTRY_LIMIT_BYTES}")
    end = line.rfind(_AFTER_DATA)
    rest = _REST.fullmatch(line, end + len(_AFTER_DATA)) if end > 0 else None
    if rest is None or not line.startswith(_HEAD + b"{"):
        raise _envelope_problem(line, index)
    data = line[len(_HEAD) : end]
    number, source, moment, kind = rest.groups()
    schema = _BY_NAME.get(kind)
    if schema is None:
        raise Rejected("type", f"entry {index} has a type that no log can hold")
    if number != b"%d" % index:
        raise Rejected("index", f"entry {index} says that it is another one")
    if source != origin.encode():
        raise Rejected("origin", f"entry {index} was written for another log")
    if not _DATA[schema].fullmatch(data):
        _require_data(schema, data, index)
    try:
        time = datetime.fromisoformat(moment.decode("ascii"))
    except ValueError as error:
        raise Rejected("envelope", f"the time of entry {index} is not in the calendar") from error
    return LoggedEntry(index, origin, time, schema, data)


def _require_data(schema: type[Entry], data: bytes, index: int) -> None:
    """The data are of their type and canonical, asked of the schema itself.

    Raises:
        Rejected: ``json``, ``schema`` or ``canonical``.
    """
    try:
        entry = schema.model_validate_json(data)
    except ValidationError as error:
        if error.errors(include_url=False)[0]["type"] == "json_invalid":
            raise Rejected("json", f"the data of entry {index} are not JSON") from error
        raise Rejected("schema", f"the data of entry {index} are not of its type") from error
    if entry.model_dump_json().encode() != data:
        raise Rejected("canonical", f"the data of entry {index} are not canonical JSON")


def _envelope_problem(line: bytes, index: int) -> Rejected:
    """Why a line is not an entry's envelope; slow, but then the log is at its end."""
    try:
        plain = from_json(line, allow_inf_nan=False)
        encoded = rfc8785.dumps(plain)
    except (ValueError, RecursionError):
        return Rejected("json", f"entry {index} is not JSON")
    if encoded != line or not line.isascii():
        return Rejected("canonical", f"entry {index} is not canonical JSON")
    kind = plain.get("type") if isinstance(plain, dict) else None
    if not isinstance(kind, str) or kind not in ENTRY_TYPES:
        return Rejected("type", f"entry {index} has a type that no log can hold")
    return Rejected("envelope", f"entry {index} is not a CloudEvents 1.0 envelope")
