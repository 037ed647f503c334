"""What the school has on file about consent, read from ``consent.csv``.

The file is small, kept by the school's office, and read anew whenever a cohort is frozen, so that
a withdrawal counts from the next round on. A line that cannot be understood stops the round: to
skip it could mean to overlook a "no". The format is in docs/formats/consent-csv.md.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from fedtrace.governance.consent import Authority, ConsentRecord, ConsentState

COLUMNS = ("student", "state", "authority", "valid_until", "authority_until", "items")
"""The header. ``student`` is the school's own number, or a token."""

ITEMS = ("local_training", "share_protected_update")
"""What ``items`` may list, separated by spaces; what is not listed was not agreed to."""

MAX_FILE_BYTES = 64 * 1024 * 1024

_Word = TypeVar("_Word", ConsentState, Authority)
_TOKEN = re.compile(r"[0-9a-f]{32}")
_FOR_EVER = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsentRegister:
    """Consent on file, by token."""

    records: Mapping[str, ConsentRecord]

    def __repr__(self) -> str:
        return f"ConsentRegister({len(self.records)} students)"

    def record_of(self, token: str) -> ConsentRecord | None:
        """What is on file about a student, or None."""
        return self.records.get(token)


NOTHING_ON_FILE = ConsentRegister(records={})
"""A school without the file: nobody has agreed, and nobody has opted out."""


def read_consent(path: Path, token_of: Callable[[str], str | None]) -> ConsentRegister:
    """Read the school's consent file.

    A student who is named but not in the vault is passed over: nothing of theirs can be used.
    One who is named twice is an error, because the two lines may differ.

    Args:
        path: the CSV file, in UTF-8.
        token_of: finds a student's token by the school's own number.

    Raises:
        ValueError: other columns, a file too large, bytes that are not UTF-8, a word or date that
            is not understood, or a student named twice; with the line, never with the student.
        OSError: the file cannot be read.
    """
    if path.stat().st_size > MAX_FILE_BYTES:
        raise ValueError(f"the consent file has more than {MAX_FILE_BYTES:,} bytes")
    records: dict[str, ConsentRecord] = {}
    with path.open(encoding="utf-8-sig", newline="") as text:
        reader = csv.DictReader(text, strict=True)
        try:
            if set(reader.fieldnames or ()) != set(COLUMNS):
                raise ValueError(f"the columns must be {', '.join(COLUMNS)}")
            for row in reader:
                student = (row["student"] or "").strip()
                token = student if _TOKEN.fullmatch(student) else token_of(student)
                if token in records:
                    raise ValueError("this student is named twice")
                record = _record(token or "", row)
                if token is not None:
                    records[token] = record
        except (ValueError, csv.Error) as error:
            # The cause is cut off: a decoding error would carry the file's bytes along.
            reason = "not UTF-8" if isinstance(error, UnicodeDecodeError) else str(error)
            raise ValueError(f"consent file, line {reader.line_num}: {reason}") from None
    return ConsentRegister(records=records)


def _record(token: str, row: Mapping[str, str | None]) -> ConsentRecord:
    if None in row or None in row.values():
        raise ValueError(f"there must be {len(COLUMNS)} fields")
    state = _word(ConsentState, "state", row)
    items = (row["items"] or "").split()
    if not set(items) <= set(ITEMS):
        raise ValueError(f"items may be {' and '.join(ITEMS)}")
    valid_until = _moment("valid_until", row)
    if valid_until is None and state is ConsentState.GIVEN:
        raise ValueError("a consent that was given needs valid_until")
    return ConsentRecord(
        token=token,
        state=state,
        authority=_word(Authority, "authority", row),
        valid_until=valid_until or _FOR_EVER,
        authority_until=_moment("authority_until", row),
        local_training="local_training" in items,
        share_protected_update="share_protected_update" in items,
    )


def _word(kind: type[_Word], column: str, row: Mapping[str, str | None]) -> _Word:
    try:
        return kind((row[column] or "").strip().lower())
    except ValueError:
        raise ValueError(f"{column} must be one of {', '.join(kind)}") from None


def _moment(column: str, row: Mapping[str, str | None]) -> datetime | None:
    """A date (from its first minute on, UTC) or a time with a zone; empty is None."""
    text = (row[column] or "").strip()
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{column} must be a date such as 2027-07-31") from None
    if moment.tzinfo is None and len(text) > len("2027-07-31"):
        raise ValueError(f"{column} has a time but no time zone")
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
