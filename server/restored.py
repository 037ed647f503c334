"""A home that was restored from a backup: nothing is logged before the witnesses have been asked.

``<home>/restored.json`` stands for the question whether somebody has seen more of this log. What
would be appended before that is answered is a second history, signed by the log's own key, and no
school would ever follow it. A quorum of witnesses that has cosigned the log as it is answers it:
any newer checkpoint that counted was seen by one of them. A newer log that a person brings to
``fedtrace consortium restore`` answers it too.
"""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

from fedtrace.governance.errors import PolicyError
from fedtrace.server.files import write_durably

RESTORED_FILE = "restored.json"


def mark_restored(home: Path, *, made_at: datetime) -> None:
    """Ask the question.

    Args:
        home: the consortium's.
        made_at: when the backup was made.

    Raises:
        OSError: it cannot be written.
    """
    content = json.dumps({"backup_made_at": made_at.isoformat()})
    write_durably(home / RESTORED_FILE, content.encode())


def is_unconfirmed(home: Path) -> bool:
    """Whether the question is open."""
    return (home / RESTORED_FILE).exists()


def confirm(home: Path) -> None:
    """A quorum of witnesses has answered it."""
    (home / RESTORED_FILE).unlink(missing_ok=True)


def require_confirmed(home: Path) -> None:
    """Refuse what would be logged meanwhile.

    Raises:
        PolicyError: the question is open.
    """
    if is_unconfirmed(home):
        raise PolicyError(
            f"{home} was restored from a backup, and a school may have a newer copy of its log; "
            "what is logged now could contradict that for ever. Ask a school for its "
            "consortium-log folder, and restore once more with --log FOLDER"
        )
