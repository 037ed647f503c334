"""Run a job in this process: the production code of aggregator and schools on `InProcessGrid`."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from flwr.app import Message

from fedtrace.client.app import respond
from fedtrace.client.home import open_school
from fedtrace.client.school import School
from fedtrace.deploy.simulation.grid import SERVER_NODE_ID, InProcessGrid, Transport, deliver
from fedtrace.deploy.workspace import Workspace
from fedtrace.server.consortium import open_consortium
from fedtrace.server.outcome import JobOutcome
from fedtrace.server.ports import Clock, Progress
from fedtrace.server.round import run_job
from fedtrace.server.transport import GridTransport


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """The time in UTC."""
        return datetime.now(UTC)


def run_in_process(
    workspace: Workspace,
    plan_digest: str,
    *,
    progress: Progress,
    clock: Clock | None = None,
    transport: Transport = deliver,
) -> JobOutcome:
    """Run the job of an activated plan to its end, from wherever it stands.

    Args:
        workspace: the homes.
        plan_digest: the plan.
        progress: told of every step.
        clock: the time, for both sides.
        transport: how messages travel; the place to inject faults.

    Raises:
        Corrupt: stored state contradicts itself.
        PolicyError: a home or the plan cannot be read.
        OSError: a file cannot be read or written, or another process has a log open.
    """
    time = clock or SystemClock()
    with ExitStack() as opened:
        schools = _open(workspace.school_homes, opened)
        names = dict(enumerate(schools, SERVER_NODE_ID + 1))
        nodes = {node: partial(_answer, schools[name], time) for node, name in names.items()}
        consortium = opened.enter_context(closing(open_consortium(workspace.consortium_home)))
        grid = InProcessGrid(nodes, transport=transport)
        return run_job(consortium, plan_digest, GridTransport(grid, names), time, progress=progress)


def _open(homes: Mapping[str, Path], opened: ExitStack) -> dict[str, School]:
    return {name: opened.enter_context(open_school(home)) for name, home in homes.items()}


def _answer(school: School, clock: Clock, message: Message) -> Message:
    return respond(message, school, now=clock.now())
