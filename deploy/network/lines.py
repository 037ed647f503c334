"""The log lines of services and their processes: for people, or one JSON object a line.

The format goes to child processes by ``FEDTRACE_LOG_FORMAT``; `child` sets it up before anything
else runs. Flower's own lines are text either way.

A file that processes append to is cut when it has become too long: its content goes to ``NAME.1``
and the file is emptied. Whoever has it open for appending goes on at its new end.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import sys
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

FORMAT_VARIABLE = "FEDTRACE_LOG_FORMAT"

LONGEST_BYTES = 10 * 1024 * 1024
"""Of a log file; with the one before it a process keeps at most twice as much."""

_TEXT = "%(asctime)s %(name)s %(levelname)s %(message)s"


class LogFormat(StrEnum):
    """How log lines look."""

    TEXT = "text"
    JSON = "json"


class JsonLines(logging.Formatter):
    """One object a line: ``at``, ``level``, ``logger``, ``process``, ``message``, ``error``."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line."""
        line: dict[str, object] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname.lower(),
            "logger": record.name,
            "process": record.process,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def configure_logging(chosen: LogFormat) -> None:
    """Set up this process and, by its environment, the ones that it starts."""
    os.environ[FORMAT_VARIABLE] = chosen
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if chosen is LogFormat.JSON else logging.Formatter(_TEXT))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    logging.getLogger("httpx").setLevel(logging.WARNING)  # one line a request says nothing new


def configure_child() -> None:
    """Set up a child whose parent wants JSON; its own set-up does nothing afterwards."""
    if os.environ.get(FORMAT_VARIABLE) == LogFormat.JSON:
        configure_logging(LogFormat.JSON)


def shorten(log: Path, *, longest_bytes: int = LONGEST_BYTES) -> bool:
    """Move a log that is too long to ``NAME.1`` and empty it; whether it was.

    Raises:
        OSError: it cannot be copied; it goes on growing.
    """
    if not log.exists() or log.stat().st_size <= longest_bytes:
        return False
    shutil.copy(log, log.with_name(f"{log.name}.1"))  # with its mode
    os.truncate(log, 0)
    return True
