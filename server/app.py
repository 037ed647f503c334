"""The Flower ServerApp: opens the consortium's home and runs the job of one plan.

Flower starts it in a process of its own for every run. It gets a Grid to the schools, the plan's
digest as the run's one setting, and the consortium's home from the environment.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from contextlib import closing, suppress
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from flwr.app import Context
from flwr.serverapp import Grid, ServerApp

from fedtrace.server.consortium import open_consortium
from fedtrace.server.outcome import JobEvent
from fedtrace.server.parent import die_with_parent
from fedtrace.server.round import run_job
from fedtrace.server.transport import GridTransport

CONSORTIUM_HOME_VARIABLE = "FEDTRACE_CONSORTIUM_HOME"
WAIT_VARIABLE = "FEDTRACE_WAIT_FOR_SCHOOLS"
"""Environment variable: a job whose plan too few schools have accepted is not opened yet."""

PLAN_DIGEST_KEY = "plan-digest"
PARENT_OPTION = "--parent-pid"
"""How a superexec tells a ServerApp's process whose it is. Flower watches that parent too, but then
takes up to ten seconds to leave, and as long holds the log that the next ServerApp needs."""

PROGRESS_FILE = "progress.jsonl"
LOG_FILE = "serverapp.log"

app = ServerApp()


@app.main()  # type: ignore[untyped-decorator]  # Flower is not followed by mypy
def main(grid: Grid, context: Context) -> None:
    """Run the job of one plan: the entry point that the bundle names."""
    if PARENT_OPTION in sys.argv:
        die_with_parent(int(sys.argv[sys.argv.index(PARENT_OPTION) + 1]))
    home = Path(os.environ[CONSORTIUM_HOME_VARIABLE])
    logging.basicConfig(
        filename=home / LOG_FILE,
        level=logging.INFO,
        format="%(asctime)s %(name)s %(levelname)s %(message)s",
    )
    logging.getLogger("httpx").setLevel(logging.WARNING)  # one line a poll says nothing
    with closing(open_consortium(home)) as consortium:
        run_job(
            consortium,
            str(context.run_config[PLAN_DIGEST_KEY]),
            GridTransport(grid, read_nodes(home)),
            SystemClock(),
            progress=ProgressFile(home / PROGRESS_FILE),
            wait_for_schools=WAIT_VARIABLE in os.environ,
        )


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """The time in UTC."""
        return datetime.now(UTC)


class ProgressFile:
    """Writes one JSON line a step, for whoever shows progress in another process.

    It is a view and not a record: the log and the database are. A full disk must not end a job
    here, so a line that cannot be written is left out.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def __call__(self, event: JobEvent) -> None:
        """Append one step."""
        line = json.dumps({"at": datetime.now(UTC).isoformat(), **asdict(event)})
        with suppress(OSError), self._path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")


def read_nodes(home: Path) -> dict[int, str]:
    """Which school each registered Flower node belongs to, from ``nodes.json``."""
    entries: dict[str, str] = json.loads((home / "nodes.json").read_text(encoding="utf-8"))
    return {int(node): school for node, school in entries.items()}
