"""What an audit found, as one page to be read, printed and filed."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from types import MappingProxyType

from fedtrace.deploy.audit import FoundLog
from fedtrace.deploy.report.pages import page_environment, styles
from fedtrace.governance.charter_history import CharterHistory
from fedtrace.governance.log.merkle import root_of
from fedtrace.governance.log.verify import Line, Status

MEANINGS: Mapping[Status, str] = MappingProxyType(
    {
        "PASS": "Every check holds.",
        "WARN": "Nothing contradicts the logs, and something needs a person's eye.",
        "FAIL": "A check does not hold. Keep a copy of the folder as it is, and tell the privacy "
        "officer.",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _ShownLog:
    name: str
    size: int
    last: datetime | None
    root: str


def verdict_page(
    title: str,
    command: str,
    lines: Sequence[Line],
    *,
    logs: Sequence[FoundLog],
    charters: CharterHistory | None,
    now: datetime,
) -> str:
    """The page: one file, no script, nothing fetched from elsewhere.

    Args:
        title: what was looked at.
        command: what looked.
        lines: the checks, in order.
        logs: that can be believed.
        charters: whose keys were used; None where there is none to read.
        now: when it was looked at.
    """
    status: Status = max((line.status for line in lines), key=("PASS", "WARN", "FAIL").index)
    environment = page_environment()
    return environment.get_template("verdict.html").render(
        title=title,
        command=command,
        status=status,
        meaning=MEANINGS[status],
        lines=lines,
        logs=[_shown(log) for log in logs if log.stored],
        charter=charters.current if charters else None,
        versions=charters.versions if charters else (),
        now=now,
        release=version("fedtrace"),
        css=styles(environment, "report.css"),
    )


def _shown(log: FoundLog) -> _ShownLog:
    return _ShownLog(
        name=log.school or "the consortium",
        size=len(log.entries),
        last=log.entries[-1].time if log.entries else None,
        root=base64.b64encode(root_of(log.stored)).decode("ascii"),
    )
