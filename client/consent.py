"""Reading the file in which a school's office keeps what was said about consent.

It is taken in whole or not at all: a line that cannot be understood stops it, because to skip one
could mean to overlook a "no". Lines about students of whom no record is here are counted and named
by line. The format is in docs/formats/consent-csv.md.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from fedtrace.governance.consent import (
    PURPOSES,
    Authority,
    ConsentRecord,
    ConsentState,
    Item,
)
from fedtrace.governance.document import Digest
from fedtrace.governance.plan import Purpose

COLUMNS = (
    "student",
    "purpose",
    "item",
    "state",
    "authority",
    "valid_until",
    "authority_until",
    "evidence",
)
"""The header. ``student`` is the school's own number."""

MAX_FILE_BYTES = 64 * 1024 * 1024
_LINES_SHOWN = 20

_Word = TypeVar("_Word", ConsentState, Authority, Item)
_digest: TypeAdapter[str] = TypeAdapter(Digest)
_NO = (ConsentState.REFUSED, ConsentState.WITHDRAWN)


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """What people were told before they were asked.

    Attributes:
        digest: of the document.
        language: the document's.
    """

    digest: str
    language: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsentFile:
    """What the file says.

    Attributes:
        changes: records by token, in the order of the file.
        unknown_lines: lines about students who are not in the vault.
    """

    changes: Mapping[str, list[ConsentRecord]]
    unknown_lines: tuple[int, ...]

    def __repr__(self) -> str:
        return f"ConsentFile({len(self.changes)} students)"

    @property
    def unknown(self) -> str:
        """The lines about unknown students, in words."""
        shown = ", ".join(map(str, self.unknown_lines[:_LINES_SHOWN]))
        return shown + (", ..." if len(self.unknown_lines) > _LINES_SHOWN else "")


def read_consent(
    path: Path,
    token_of: Callable[[str], str | None],
    *,
    request: str,
    notice: Notice | None,
    now: datetime,
) -> ConsentFile:
    """Read a file of consents.

    Args:
        path: the CSV file, in UTF-8.
        token_of: finds a student's token by the school's own number.
        request: names this import in the log.
        notice: what the people had been given; needed where a line says ``given``.
        now: when this was written down.

    Raises:
        ValueError: other columns, a file too large, bytes that are not UTF-8, a word or date that
            is not understood, or one item of a student twice; with the line, never the student.
        OSError: the file cannot be read.
    """
    if path.stat().st_size > MAX_FILE_BYTES:
        raise ValueError(f"the consent file has more than {MAX_FILE_BYTES:,} bytes")
    changes: dict[str, list[ConsentRecord]] = {}
    said: set[tuple[str, Purpose, Item]] = set()
    unknown: list[int] = []
    with path.open(encoding="utf-8-sig", newline="") as text:
        reader = csv.DictReader(text, strict=True)
        try:
            if set(reader.fieldnames or ()) != set(COLUMNS):
                raise ValueError(f"the columns must be {', '.join(COLUMNS)}")
            for row in reader:
                records = _records(row, request=request, notice=notice, now=now)
                token = token_of((row["student"] or "").strip())
                if token is None:
                    unknown.append(reader.line_num)
                    continue
                of_token = {(token, record.purpose, record.item) for record in records}
                if of_token & said:
                    raise ValueError("this student and item are named twice")
                said |= of_token
                changes.setdefault(token, []).extend(records)
        except (ValueError, csv.Error) as error:
            # The cause is cut off: a decoding error would carry the file's bytes along.
            reason = "not UTF-8" if isinstance(error, UnicodeDecodeError) else str(error)
            raise ValueError(f"consent file, line {reader.line_num}: {reason}") from None
    return ConsentFile(changes=changes, unknown_lines=tuple(unknown))


def make_records(
    *,
    request: str,
    purposes: tuple[Purpose, ...],
    items: tuple[Item, ...],
    state: ConsentState,
    authority: Authority,
    notice: Notice | None,
    now: datetime,
    valid_until: datetime | None = None,
    authority_until: datetime | None = None,
    evidence: str | None = None,
) -> list[ConsentRecord]:
    """One record for each purpose and item.

    Raises:
        ValueError: a consent that was given lacks its date or its notice.
    """
    if state is ConsentState.GIVEN and (valid_until is None or notice is None):
        raise ValueError(
            "a consent that was given needs valid_until, and the notice that was given before: "
            "name its file with --notice"
        )
    return [
        ConsentRecord(
            request=request,
            purpose=purpose,
            item=item,
            state=state,
            authority=authority,
            authority_until=authority_until,
            valid_until=valid_until,
            notice_digest=notice.digest if notice else None,
            notice_language=notice.language if notice else None,
            evidence_digest=evidence,
            recorded_at=now,
        )
        for purpose in purposes
        for item in items
    ]


def read_moment(text: str, name: str) -> datetime | None:
    """A date (from its first minute on, UTC) or a time with a zone; empty is None.

    Raises:
        ValueError: neither.
    """
    text = text.strip()
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{name} must be a date such as 2027-07-31") from None
    if moment.tzinfo is None and len(text) > len("2027-07-31"):
        raise ValueError(f"{name} has a time but no time zone")
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _records(
    row: Mapping[str, str | None], *, request: str, notice: Notice | None, now: datetime
) -> list[ConsentRecord]:
    """The records of one line; a "no" may leave purpose and item empty and means every one."""
    if None in row or None in row.values():
        raise ValueError(f"there must be {len(COLUMNS)} fields")
    state = _word(ConsentState, "state", row)
    evidence = (row["evidence"] or "").strip() or None
    try:
        if evidence is not None:
            _digest.validate_python(evidence)
    except ValidationError:
        raise ValueError("evidence must be sha256: and 64 hexadecimal digits") from None
    purpose, item = (row["purpose"] or "").strip(), (row["item"] or "").strip()
    if purpose and purpose not in PURPOSES:
        raise ValueError(f"purpose must be one of {', '.join(PURPOSES)}")
    if not (purpose and item) and state not in _NO:
        raise ValueError("purpose and item must be named: a consent is to one thing")
    return make_records(
        request=request,
        purposes=tuple(each for each in PURPOSES if purpose in ("", each)),
        items=(_word(Item, "item", row),) if item else tuple(Item),
        state=state,
        authority=_word(Authority, "authority", row),
        notice=notice if state is ConsentState.GIVEN else None,
        now=now,
        valid_until=read_moment(row["valid_until"] or "", "valid_until"),
        authority_until=read_moment(row["authority_until"] or "", "authority_until"),
        evidence=evidence,
    )


def _word(kind: type[_Word], column: str, row: Mapping[str, str | None]) -> _Word:
    try:
        return kind((row[column] or "").strip().lower())
    except ValueError:
        raise ValueError(f"{column} must be one of {', '.join(kind)}") from None
