"""The consortium's log says something every day, also while no job runs."""

from __future__ import annotations

import json
import os
from contextlib import closing
from datetime import datetime
from pathlib import Path

from fedtrace.governance.log.entries import ENTRY_LIMIT_BYTES
from fedtrace.governance.log.heartbeat import BEAT_AFTER, beat
from fedtrace.governance.log.storage import ENTRIES
from fedtrace.server.consortium import LOG_FOLDER, open_consortium
from fedtrace.server.restored import require_confirmed


def beat_for(home: Path, *, now: datetime) -> bool:
    """Give the consortium's log its sign of life if it needs one; whether it did.

    Only the last line is read unless a day has passed. There is no log before there is a charter.

    Args:
        home: the consortium's.
        now: the time.

    Raises:
        PolicyError: the home was restored, and nobody knows yet whether its log is the newest.
        BlockingIOError: a job runs.
        Corrupt: the log is damaged.
        OSError: it cannot be read or written.
    """
    entries = home / LOG_FOLDER / ENTRIES
    newest = _newest(entries) if entries.exists() else now
    if newest is not None and now - newest < BEAT_AFTER:
        return False
    require_confirmed(home)
    with closing(open_consortium(home)) as consortium:
        return beat(consortium.log, now=now)


def _newest(entries: Path) -> datetime | None:
    """The time that the last line states; None where it takes more than a look to know."""
    with entries.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - 2 * ENTRY_LIMIT_BYTES))
        *_, line, rest = [b"", *file.read().split(b"\n")]
    try:
        return None if rest else datetime.fromisoformat(json.loads(line)["time"])
    except (ValueError, KeyError, TypeError):
        return None
