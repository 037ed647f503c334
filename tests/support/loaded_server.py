"""A real server of the consortium for scripted schools, for measurements under load."""

from __future__ import annotations

import json
from contextlib import ExitStack
from datetime import UTC, datetime
from itertools import pairwise

from support.commands import fedtrace, service
from support.fleet_schools import Answer, FleetSchool
from support.scripted_schools import World

from fedtrace.deploy.network.hosting import admit
from fedtrace.deploy.network.ports import free_ports
from fedtrace.deploy.network.provisioning import provision_node

PROCESSES = ("superlink", "serverapp", "superexec", "front", "serve")


class _Clock:
    def now(self) -> datetime:
        return datetime.now(UTC)


class LoadedServer:
    """`fedtrace consortium serve` with all its processes; every school is admitted.

    Args:
        world: the consortium and its schools; its clock becomes the machine's.
        running: ends the server.

    Attributes:
        port: the public one.
        pid: of the process that started all others.
    """

    def __init__(self, world: World, running: ExitStack) -> None:
        world.clock = _Clock()  # type: ignore[assignment]
        self._home = home = world.home
        (self.port,) = free_ports(1)
        fedtrace("consortium", "init", "--home", home, "--name", "valley",
                 "--host", "localhost", "--port", self.port, "--listen", "127.0.0.1")  # fmt: skip
        self._nodes = {name: provision_node(home.parent / "nodes" / name) for name in world.keys}
        for name, node in self._nodes.items():
            admit(home, name, node.public_key.read_bytes())
        self._authority = (home / "network" / "ca.pem").read_bytes()
        self.pid = running.enter_context(
            service("consortium", "serve", "--home", home, ready="authority")
        ).pid

    def school(self, name: str, answer: Answer, *, port: int | None = None) -> FleetSchool:
        """A school that is not yet connected; ``port`` is that of a line, if it has one."""
        node = self._nodes[name].private_key
        return FleetSchool(name, f"localhost:{port or self.port}", self._authority, node, answer)

    def steps(self) -> list[dict[str, str]]:
        """What the job has done until now."""
        progress = self._home / "progress.jsonl"
        return (
            [json.loads(line) for line in progress.read_text().splitlines()]
            if progress.exists()
            else []
        )

    def is_over(self) -> bool:
        """Whether the job has ended."""
        return any(step["kind"] == "run.closed" for step in self.steps())

    def round_seconds(self) -> list[float]:
        """From each training round's opening to its close."""
        ends = "round.opened", "round.closed"
        found = [step for step in self.steps() if step["kind"] in ends]
        return [
            (_time(end) - _time(start)).total_seconds()
            for start, end in pairwise(found)
            if (start["kind"], end["kind"]) == ends
        ]


def process_name(command: list[str]) -> str:
    """What a process of the server is, from its command line."""
    words = " ".join(command)
    return next((name for name in PROCESSES if name in words), "other")


def _time(step: dict[str, str]) -> datetime:
    return datetime.fromisoformat(step["at"])
