"""What a log can say: a closed list of types, each with a closed schema and one encoding.

An entry is a CloudEvents 1.0 envelope in RFC 8785 canonical JSON; these very bytes are stored,
hashed and shown. The schemas are in ``school_entries`` and ``consortium_entries``; whoever writes
or reads a log finds all of them here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import NamedTuple

import rfc8785
from pydantic import ValidationError
from pydantic_core import from_json

from fedtrace.governance.errors import Rejected
from fedtrace.governance.log.consortium_entries import (
    CONSORTIUM_ENTRIES,
    CharterAdopted,
    CharterChanged,
    EvaluationClosed,
    Input,
    ModelReleased,
    PlanActivated,
    PlanRevoked,
    RoundClosed,
    RoundFailed,
    RoundOpened,
    RunClosed,
    RunOpened,
    SchoolMissing,
    SchoolRefused,
    UpdateReceived,
    UpdateRejected,
    UpdateUnused,
)
from fedtrace.governance.log.school_entries import (
    SCHOOL_ENTRIES,
    AccessGiven,
    AccessKind,
    CharterAccepted,
    CohortRemoved,
    ConsentChanged,
    HoldLifted,
    HoldMatter,
    HoldPlaced,
    HoldScope,
    ImportCompleted,
    KillSwitchChanged,
    OrderRefused,
    PlanAccepted,
    PolicyChanged,
    RecordErased,
    RoundReserved,
    SchoolInitialised,
    SharesRevealed,
    UpdateSent,
)
from fedtrace.governance.log.shapes import data_pattern
from fedtrace.governance.log.words import (
    Decimal,
    Entry,
    Heartbeat,
    RequestToken,
    SizeBucket,
    decimal,
    size_bucket,
)

__all__ = [
    "CONSORTIUM_ENTRIES",
    "ENTRY_LIMIT_BYTES",
    "ENTRY_TYPES",
    "SCHOOL_ENTRIES",
    "AccessGiven",
    "AccessKind",
    "CharterAccepted",
    "CharterAdopted",
    "CharterChanged",
    "CohortRemoved",
    "ConsentChanged",
    "Decimal",
    "Entry",
    "EvaluationClosed",
    "Heartbeat",
    "HoldLifted",
    "HoldMatter",
    "HoldPlaced",
    "HoldScope",
    "ImportCompleted",
    "Input",
    "KillSwitchChanged",
    "LoggedEntry",
    "ModelReleased",
    "OrderRefused",
    "PlanAccepted",
    "PlanActivated",
    "PlanRevoked",
    "PolicyChanged",
    "RecordErased",
    "RequestToken",
    "RoundClosed",
    "RoundFailed",
    "RoundOpened",
    "RoundReserved",
    "RunClosed",
    "RunOpened",
    "SchoolInitialised",
    "SchoolMissing",
    "SchoolRefused",
    "SharesRevealed",
    "SizeBucket",
    "UpdateReceived",
    "UpdateRejected",
    "UpdateSent",
    "UpdateUnused",
    "decimal",
    "decode_entry",
    "encode_entry",
    "size_bucket",
]

ENTRY_LIMIT_BYTES = 32 * 1024
"""A line of the log is never longer; 1000 schools whose names have 25 characters fit into one."""

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
_HEAD_BYTES = len(_HEAD)
_BEFORE_TYPE, _END = b'","type":"', b'"}'
_REST_BUT_TYPE = (
    rb'(0|[1-9][0-9]{0,15})","source":"([A-Za-z0-9._/-]{1,128})","specversion":"1\.0",'
    rb'"time":"([0-9-]{10}T[0-9:]{8}\.[0-9]{6}Z)'
)
_REST = re.compile(_REST_BUT_TYPE + _BEFORE_TYPE + rb'([a-z_.]{1,64})"\}')

# A log has a million entries: most are one match of the pattern of their type's whole line.
_LINES = {
    name: (
        kind,
        re.compile(
            re.escape(_HEAD)
            + rb"(?:%b)" % _DATA[kind].pattern
            + re.escape(_AFTER_DATA)
            + _REST_BUT_TYPE
            + re.escape(_BEFORE_TYPE + name + _END)
        ).fullmatch,
    )
    for name, kind in _BY_NAME.items()
}


class LoggedEntry(NamedTuple):
    """An entry as a log holds it; a tuple, because a log has a million of them.

    Attributes:
        index: its place, from 0.
        origin: the log's name.
        time: when it was written, by the clock of the log's owner.
        kind: its type.
        line: its bytes; what they say is valid and canonical for that type.
    """

    index: int  # type: ignore[assignment]  # the tuple's own method is not used
    origin: str
    time: datetime
    kind: type[Entry]
    line: bytes

    @property
    def entry(self) -> Entry:
        """What happened; built anew each time, because most entries are only counted."""
        return self.kind.model_validate_json(self.line[_HEAD_BYTES : self.line.rfind(_AFTER_DATA)])


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
    known = _LINES.get(line[line.rfind(_BEFORE_TYPE) + len(_BEFORE_TYPE) : -len(_END)])
    found = known and known[1](line)
    if not (known and found):
        return _decode_by_parts(line, index=index, origin=origin)
    number, source, moment = found.groups()
    _require_place(index, origin, number, source)
    # Half the time of the class itself, which would name each of them once more.
    return tuple.__new__(LoggedEntry, (index, origin, _time(moment, index), known[0], line))


def _decode_by_parts(line: bytes, *, index: int, origin: str) -> LoggedEntry:
    """An entry that its type's pattern does not match: most often what is wrong with it.

    Raises:
        Rejected: as `decode_entry`, but for ``size``.
    """
    end = line.rfind(_AFTER_DATA)
    rest = _REST.fullmatch(line, end + len(_AFTER_DATA)) if end > 0 else None
    if rest is None or not line.startswith(_HEAD + b"{"):
        raise _envelope_problem(line, index)
    data = line[_HEAD_BYTES:end]
    number, source, moment, kind = rest.groups()
    schema = _BY_NAME.get(kind)
    if schema is None:
        raise Rejected("type", f"entry {index} has a type that no log can hold")
    _require_place(index, origin, number, source)
    if not _DATA[schema].fullmatch(data):
        _require_data(schema, data, index)
    return LoggedEntry(index, origin, _time(moment, index), schema, line)


def _require_place(index: int, origin: str, number: bytes, source: bytes) -> None:
    """The entry says that it is this one of this log.

    Raises:
        Rejected: ``index`` or ``origin``.
    """
    if int(number) != index:
        raise Rejected("index", f"entry {index} says that it is another one")
    if source != origin.encode():
        raise Rejected("origin", f"entry {index} was written for another log")


def _time(moment: bytes, index: int) -> datetime:
    try:
        return datetime.fromisoformat(moment.decode("ascii"))
    except ValueError as error:
        raise Rejected("envelope", f"the time of entry {index} is not in the calendar") from error


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
