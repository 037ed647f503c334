"""What works on a job on the consortium's own machine, and how far the job has come.

Flower knows neither: a ServerApp that was killed is missed a minute later, when its heartbeats
have not come, and a run that fails at once looks the same as one that closed a hundred rounds.
"""

from __future__ import annotations

from contextlib import closing, suppress
from pathlib import Path

import psutil

from fedtrace.deploy.network.processes import Supervisor
from fedtrace.governance.errors import Corrupt, PolicyError
from fedtrace.server.consortium import database_url
from fedtrace.server.store import ConsortiumStore

_SERVERAPP = "flwr-serverapp"


class Working:
    """Looks at the service's processes and into the consortium's database.

    Args:
        home: the consortium's.
        supervisor: of the service's processes.
    """

    def __init__(self, home: Path, supervisor: Supervisor) -> None:
        self._home, self._supervisor = home, supervisor

    def has_serverapp(self) -> bool:
        """Whether the superexec has a ServerApp's process."""
        for child in self._supervisor.children:
            if child.command.name == "superexec":
                with suppress(psutil.Error):
                    offspring = psutil.Process(child.process.pid).children(recursive=True)
                    return any(_is_serverapp(each) for each in offspring)
        return False

    def rounds_over(self, plan_digest: str) -> int:
        """How many rounds of a plan's job have ended; 0 where nothing can say so just now."""
        with (
            suppress(OSError, Corrupt, PolicyError),
            closing(ConsortiumStore.open(database_url(self._home))) as store,
        ):
            stored = store.head(plan_digest)
            return 0 if stored is None else stored.head.finished
        return 0


def _is_serverapp(process: psutil.Process) -> bool:
    try:
        return any(_SERVERAPP in part for part in process.cmdline())
    except psutil.Error:  # it has just ended, or is a zombie
        return False
