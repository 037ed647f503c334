"""Starting several processes for the price of one import.

Torch, SciPy and Flower take a process two to five seconds of a core to import, and a federation
on one machine is ten processes. A nursery is one process that imports what they need, once, while
its supervisor does something else. From then on it forks: each child ends up a direct child of
the supervisor, in a session, an environment and a log of its own, as if it had been started alone.

Only `fedtrace.deploy.network.federation`, which runs both sides on one machine, has a nursery. A
school and a consortium start every process by itself.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from fedtrace.deploy.network.child import become
from fedtrace.deploy.network.commands import ENTRY_POINTS
from fedtrace.deploy.network.environment import flower_environment
from fedtrace.deploy.network.errors import NotReadyError
from fedtrace.deploy.network.processes import Command
from fedtrace.server.parent import die_with_parent

_PR_SET_CHILD_SUBREAPER = 36  # <linux/prctl.h>
_POLL_SECONDS = 0.01
_ADOPTED_SECONDS = 5.0


class ForkedProcess:
    """A child that a nursery forked: what `Supervisor` uses of `subprocess.Popen`.

    Attributes:
        pid: its process id, and that of its session.
        returncode: its exit status, negative for a signal; None while it runs.
    """

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """The exit status, or None while it runs."""
        if self.returncode is None:
            ended, status = os.waitpid(self.pid, os.WNOHANG)
            if ended:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def wait(self, timeout: float) -> int:
        """Wait until it has ended.

        Raises:
            subprocess.TimeoutExpired: it has not after ``timeout`` seconds.
        """
        deadline = time.monotonic() + timeout
        while (status := self.poll()) is None:
            if time.monotonic() > deadline:
                raise subprocess.TimeoutExpired([str(self.pid)], timeout)
            time.sleep(_POLL_SECONDS)
        return status


class Nursery:
    """A process that has imported what others are about to run.

    Entering starts the import and returns at once. The process that enters becomes the one that
    orphans below it are given to (prctl(2), PR_SET_CHILD_SUBREAPER); that is how a child of the
    nursery becomes a child of the supervisor.

    Args:
        entry_points: ``module:function`` of the processes that it can start.
        environment: its own. Some settings count when a library is imported, as OMP_NUM_THREADS
            does: they must be those of the children.
    """

    def __init__(self, entry_points: Sequence[str], environment: Mapping[str, str]) -> None:
        self._entry_points = frozenset(entry_points)
        self._environment = environment
        self._channel, self._their_end = socket.socketpair()
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        if sys.platform == "linux":  # nowhere else can a child be given to its grandparent
            _adopt_orphans(True)
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "fedtrace.deploy.network.nursery"),
                    *(str(os.getpid()), str(self._their_end.fileno())),
                    *sorted(self._entry_points),
                ],
                env=dict(self._environment),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=(self._their_end.fileno(),),
                start_new_session=True,
            )
        self._their_end.close()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._channel.close()
        if self._process is not None:
            self._process.kill()  # it may still be importing; its children are not its own
            self._process.wait()
            with suppress(ChildProcessError):  # what its children had started, and left behind
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass
            _adopt_orphans(False)

    def offers(self, command: Command) -> bool:
        """Whether this command can be started here."""
        return self._process is not None and command.entry_point in self._entry_points

    def start(self, command: Command, log: Path) -> ForkedProcess:
        """Start one process; waits until everything is imported.

        Args:
            command: one that `offers` is true for.
            log: what it writes is appended here.

        Raises:
            NotReadyError: the nursery has ended; its reason is on standard error.
        """
        wanted = {
            "entry_point": command.entry_point,
            "arguments": list(command.arguments),
            "environment": dict(command.environment),
            "log": str(log),
        }
        answer = b""
        with suppress(OSError):  # as where a nursery that has ended is found empty
            self._channel.sendall(json.dumps(wanted).encode() + b"\n")
            while not answer.endswith(b"\n") and (part := self._channel.recv(64)):
                answer += part
        if not answer:
            raise NotReadyError(f"{command.name} could not be started: the nursery has ended.")
        return ForkedProcess(int(answer))


def federation_nursery(schools: int) -> Nursery:
    """A nursery for all processes of a federation of so many schools on this machine."""
    home = Path(os.devnull)  # none of its own: each child has its FLWR_HOME
    return Nursery(ENTRY_POINTS, flower_environment(home, threads=threads_per_school(schools)))


def threads_per_school(schools: int) -> int:
    """How many threads the gate of each has, where so many schools share this machine."""
    return max(1, (os.cpu_count() or 1) // max(1, schools))


def _adopt_orphans(adopt: bool) -> None:
    """Whether this process becomes the parent of what its descendants leave behind."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, int(adopt), 0, 0, 0)


def main(arguments: Sequence[str]) -> None:
    """Import, then fork whatever the supervisor asks for until it hangs up."""
    supervisor, descriptor, *entry_points = arguments
    die_with_parent(int(supervisor))
    for entry_point in entry_points:
        importlib.import_module(entry_point.partition(":")[0])
    gc.collect()
    gc.freeze()  # what all children share is not copied by their collectors
    with socket.socket(fileno=int(descriptor)) as channel:
        for line in channel.makefile("rb"):
            child = _fork()
            if child is not None:
                channel.sendall(b"%d\n" % child)
                continue
            channel.close()
            _begin(int(supervisor), **json.loads(line))
            return


def _fork() -> int | None:
    """Fork a grandchild whose parent has ended: its id here, None in the grandchild."""
    reading, writing = os.pipe()
    between = os.fork()
    if between == 0:
        grandchild = os.fork()
        if grandchild == 0:
            os.close(reading)
            os.close(writing)
            return None
        os.write(writing, str(grandchild).encode())
        os._exit(0)
    os.close(writing)
    os.waitpid(between, 0)
    with os.fdopen(reading, "rb") as pipe:
        return int(pipe.read())


def _begin(
    supervisor: int,
    *,
    entry_point: str,
    arguments: Sequence[str],
    environment: Mapping[str, str],
    log: str,
) -> None:
    """Become the process that was asked for."""
    os.setsid()
    deadline = time.monotonic() + _ADOPTED_SECONDS
    while os.getppid() != supervisor and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
    die_with_parent(supervisor)
    output = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.close(output)
    os.environ.clear()
    os.environ.update(environment)
    become(entry_point, arguments)


if __name__ == "__main__":
    main(sys.argv[1:])
