"""Consents for tests: one that was given to what training needs, with what a test changes."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fedtrace.client.consent import COLUMNS
from fedtrace.governance.canonical import digest
from fedtrace.governance.consent import Authority, ConsentRecord, ConsentState, Item

FOR_EVER = datetime(2090, 1, 1, tzinfo=UTC)


def consent_record(**changes: Any) -> ConsentRecord:
    """A guardian's yes to local training for adaptive practice."""
    values: dict[str, Any] = {
        "request": "0" * 32,
        "purpose": "adaptive_practice",
        "item": Item.LOCAL_TRAINING,
        "state": ConsentState.GIVEN,
        "authority": Authority.GUARDIAN,
        "valid_until": FOR_EVER,
        "notice_digest": digest(b"notice"),
        "notice_language": "en",
        "recorded_at": datetime(2026, 9, 1, tzinfo=UTC),
    }
    values |= changes
    return ConsentRecord(**{**values, "state": ConsentState(values["state"])})


def consent_csv(path: Path, *lines: str) -> Path:
    """An office's list."""
    path.write_text("\n".join([",".join(COLUMNS), *lines, ""]), encoding="utf-8")
    return path
