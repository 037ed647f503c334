"""Run a job on Flower's Ray simulation: many schools, answered by as many workers as there are.

Aggregator and messages are those of `in_process`; only the schools' answers are computed elsewhere,
by workers of Ray, on this machine or on a cluster. Which worker answers for a school changes from
message to message, so a worker opens the school's home, answers, and closes it again; on a cluster
the homes therefore lie in a folder that all machines see.

Ray moves messages between its own processes by pickle. That is why it is an extra, is for
simulations alone, and is imported nowhere else.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from flwr.app import Context, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.supercore.task_identity import TaskIdentity

from fedtrace.client.app import reply_with, respond
from fedtrace.client.home import open_school
from fedtrace.deploy.network.errors import EngineError
from fedtrace.deploy.simulation.grid import SERVER_NODE_ID, InProcessGrid
from fedtrace.deploy.simulation.in_process import SystemClock
from fedtrace.deploy.workspace import Workspace
from fedtrace.server.consortium import open_consortium
from fedtrace.server.outcome import JobOutcome
from fedtrace.server.ports import Progress
from fedtrace.server.round import run_job
from fedtrace.server.transport import GridTransport

_HOME = "school-home"

_START_SECONDS = 600.0


def run_on_ray(
    workspace: Workspace, plan_digest: str, *, progress: Progress, address: str | None
) -> JobOutcome:
    """Run the job of an activated plan to its end, from wherever it stands.

    Args:
        workspace: the homes; on a cluster, in a folder that every machine sees at the same path.
        plan_digest: the plan.
        progress: told of every step.
        address: of a Ray cluster, as ``ray.init`` takes it; None for workers of this machine.

    Raises:
        EngineError: Ray is not installed, or no cluster answers.
        Corrupt: stored state contradicts itself.
        PolicyError: a home or the plan cannot be read.
        OSError: a file cannot be read or written, or another process has a log open.
    """
    with ExitStack() as opened:
        backend = opened.enter_context(_backend(address))
        names = dict(enumerate(workspace.schools, SERVER_NODE_ID + 1))
        homes = workspace.school_homes
        nodes = {
            node: _School(backend=backend, node=node, home=homes[name])
            for node, name in names.items()
        }
        consortium = opened.enter_context(closing(open_consortium(workspace.consortium_home)))
        _start_workers(backend)
        grid = InProcessGrid(nodes, at_once=backend.num_workers)
        transport = GridTransport(grid, names)
        return run_job(consortium, plan_digest, transport, SystemClock(), progress=progress)


def require_ray() -> Any:
    """Flower's backend over Ray, not yet started.

    Raises:
        EngineError: Ray is not installed.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # it would report to its maker
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # what it will do anyway
    try:
        from flwr.server.superlink.fleet.vce.backend.raybackend import RayBackend
    except ImportError as error:
        raise EngineError(
            "the engine ray is not installed here: pip install 'fedtrace[ray]', or leave --engine "
            "out, and the schools run in this process"
        ) from error
    return RayBackend


def _start_workers(backend: Any) -> None:
    """Wait until every worker has imported what schools run: a round's deadline must not.

    Each is handed a message that is for no school, all at the same time, so that each gets one.
    """
    backend.build(_school_app)
    names = range(backend.num_workers)
    nodes = {name: _School(backend=backend, node=name, home=None) for name in names}
    grid = InProcessGrid(nodes, at_once=backend.num_workers)
    empty = RecordDict()
    grid.push_messages([Message(empty, name, "train", ttl=_START_SECONDS) for name in names])


@dataclass(frozen=True, slots=True, kw_only=True)
class _School:
    """One school's side of the wire, wherever it is computed.

    Attributes:
        backend: Flower's, over Ray.
        node: of the school.
        home: of the school; None asks a worker for nothing.
    """

    backend: Any  # Flower is not followed by mypy
    node: int
    home: Path | None

    def __call__(self, message: Message) -> Message:
        home = str(self.home.resolve()) if self.home else ""
        context = Context(
            run_id=TaskIdentity.run_id,
            node_id=self.node,
            node_config={"partition-id": self.node, _HOME: home},
            state=RecordDict(),
            run_config={},
        )
        reply, _ = self.backend.process_message(message, context)
        return reply


def _school_app() -> ClientApp:
    """What a worker of Ray runs: the production code of the school that a message is for."""
    app = ClientApp()

    @app.train()  # type: ignore[untyped-decorator]  # Flower is not followed by mypy
    def train(message: Message, context: Context) -> Message:
        home = str(context.node_config[_HOME])
        if not home:
            return reply_with(message, {})
        with open_school(Path(home)) as school:
            return respond(message, school, now=datetime.now(UTC))

    return app


@contextmanager
def _backend(address: str | None) -> Iterator[Any]:
    """Flower's backend over Ray, ended afterwards; a cluster that was there before stays.

    Raises:
        EngineError: Ray is not installed, or no cluster answers.
    """
    backend_of_flower = require_ray()
    here = {"_node_ip_address": "127.0.0.1", "num_cpus": os.cpu_count() or 1}
    settings = {
        "init_args": {
            "log_to_driver": False,
            "logging_level": "error",
            **(here if address is None else {"address": address}),
        },
        "client_resources": {"num_cpus": 1},
    }
    try:
        backend = backend_of_flower(settings)
    except (ConnectionError, RuntimeError, ValueError) as error:
        where = f"at {address}" if address else "on this machine"
        raise EngineError(f"Ray does not start {where}: {error}") from error
    try:
        yield backend
    finally:
        backend.terminate()
