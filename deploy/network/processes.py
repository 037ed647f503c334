"""Starting child processes, waiting until they are ready, and leaving none behind.

Three things end a child: the ordered shutdown when the ``with`` block is left, also by Ctrl-C or
SIGTERM; the kernel, when this process is killed outright (``child.py``); and its own end, which
is noticed at the next wait and reported with the place of its log.
"""

from __future__ import annotations

import logging
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, TracebackType
from typing import Protocol, Self

from fedtrace.deploy.network.errors import NetworkError, NotReadyError
from fedtrace.deploy.network.ports import accepts

logger = logging.getLogger(__name__)

_PROBE_SECONDS = 0.05
_TERMINATE_SECONDS = 3.0  # for all children together, before they are killed
_KILL_SECONDS = 5.0

Probe = Callable[[], bool]
"""True as soon as a process is ready."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One child process to start.

    Attributes:
        name: How messages call it; also the name of its log file.
        entry_point: ``module:function`` to run in a new interpreter.
        arguments: Its command line.
        environment: Its complete environment.
    """

    name: str
    entry_point: str
    arguments: Sequence[str]
    environment: Mapping[str, str]


class Process(Protocol):
    """What is used of `subprocess.Popen`."""

    pid: int
    returncode: int | None

    def poll(self) -> int | None:
        """The exit status, or None while it runs."""

    def wait(self, timeout: float) -> int:
        """Wait until it has ended; raises `subprocess.TimeoutExpired`."""


class Starter(Protocol):
    """Another way to start a child than a new interpreter: `nursery.Nursery`."""

    def offers(self, command: Command) -> bool:
        """Whether it can start this command."""

    def start(self, command: Command, log: Path) -> Process:
        """Start it; what it writes is appended to ``log``."""


@dataclass(frozen=True, slots=True)
class Child:
    """A process that was started.

    Attributes:
        command: what it runs.
        process: it.
        log: its log file, which earlier processes of that name have written too.
        log_start: where in the file this one began, in bytes.
    """

    command: Command
    process: Process
    log: Path
    log_start: int

    @property
    def is_running(self) -> bool:
        """Whether it has not ended yet."""
        return self.process.poll() is None


class Supervisor:
    """Keeps child processes for as long as its ``with`` block lasts.

    Args:
        logs: Directory for one log file a child; created with mode 0700.
        patience_seconds: For all children together to end by themselves, before they are killed;
            None for 3 s, enough for those that have nothing to finish.
        starter: Starts the commands that it offers; None for a new interpreter a command.
    """

    def __init__(
        self,
        logs: Path,
        starter: Starter | None = None,
        *,
        patience_seconds: float | None = None,
    ) -> None:
        self._logs, self._starter = logs, starter
        self._patience = _TERMINATE_SECONDS if patience_seconds is None else patience_seconds
        self._children: list[Child] = []
        self._previous: dict[int, object] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is not threading.main_thread():
            raise NetworkError(
                "Child processes must be started from the main thread: the kernel ends them "
                "with the thread that started them."
            )
        self._logs.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._previous[signal.SIGTERM] = signal.signal(signal.SIGTERM, _leave)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self.stop()
        finally:
            signal.signal(signal.SIGTERM, self._previous.pop(signal.SIGTERM))  # type: ignore[arg-type]

    @property
    def children(self) -> tuple[Child, ...]:
        """All processes in the order in which they were started."""
        return tuple(self._children)

    def start(self, command: Command) -> Child:
        """Start one process; does not wait for it."""
        path = self._logs / f"{command.name}.log"
        with path.open("ab") as log:
            begins = log.tell()
        if self._starter is not None and self._starter.offers(command):
            process = self._starter.start(command, path)
        else:
            process = _new_interpreter(command, path)
        child = Child(command, process, path, begins)
        self._children.append(child)
        logger.info("started %s (process %d)", command.name, process.pid)
        return child

    def restart(self, child: Child) -> Child:
        """End a child, if it still runs, and start its command again."""
        _signal_group(child, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            child.process.wait(self._patience)
        _signal_group(child, signal.SIGKILL)  # also whatever the child itself had started
        child.process.wait(_KILL_SECONDS)
        self._children.remove(child)
        return self.start(child.command)

    def wait(self, probes: Mapping[str, Probe], *, seconds: float) -> None:
        """Wait until every probe was true once.

        Args:
            probes: What is waited for, by the name of the child it belongs to.
            seconds: The deadline for all of them together.

        Raises:
            NotReadyError: A child ended, or a probe was not true in time.
        """
        deadline = time.monotonic() + seconds
        waiting = dict(probes)
        while waiting:
            waiting = {name: probe for name, probe in waiting.items() if not probe()}
            self.require_running()
            if waiting and time.monotonic() > deadline:
                raise NotReadyError(
                    f"{', '.join(sorted(waiting))} not ready after {seconds:g} s. The logs in "
                    f"{self._logs} say what happened; a slow machine may need a longer deadline."
                )
            if waiting:
                time.sleep(_PROBE_SECONDS)

    def require_running(self) -> None:
        """Make sure that no child has ended.

        Raises:
            NotReadyError: Names the first that has, its exit status and its log.
        """
        for child in self._children:
            if not child.is_running:
                raise NotReadyError(
                    f"{child.command.name} ended with exit status {child.process.returncode}; "
                    f"its log is {child.log}."
                )

    def kill(self, name: str) -> None:
        """End one child at once, without giving it a chance to say goodbye."""
        for child in self._children:
            if child.command.name == name:
                _signal_group(child, signal.SIGKILL)
                child.process.wait(_KILL_SECONDS)
                self._children.remove(child)
                return
        raise NetworkError(f"No child process is called {name!r}.")

    def stop(self) -> None:
        """End all children, the last started first; afterwards none is left."""
        for child in reversed(self._children):
            _signal_group(child, signal.SIGTERM)
        deadline = time.monotonic() + self._patience
        for child in reversed(self._children):
            with suppress(subprocess.TimeoutExpired):
                child.process.wait(max(0.0, deadline - time.monotonic()))
        for child in reversed(self._children):
            _signal_group(child, signal.SIGKILL)  # also whatever the child itself had started
            child.process.wait(_KILL_SECONDS)
        self._children.clear()


def _new_interpreter(command: Command, path: Path) -> Process:
    with path.open("ab") as log:
        return subprocess.Popen(
            [
                sys.executable,
                "-m",
                "fedtrace.deploy.network.child",
                str(os.getpid()),
                command.entry_point,
                *command.arguments,
            ],
            env=dict(command.environment),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C reaches us alone, so that we end them in order
        )


def listens_on(port: int) -> Probe:
    """Ready when something accepts connections on this loopback port."""
    return lambda: accepts(port)


def has_logged(child: Child, pattern: str) -> Probe:
    """Ready when the child itself has logged a match of ``pattern``."""
    compiled = re.compile(pattern.encode())

    def probe() -> bool:
        with child.log.open("rb") as log:
            # A log that became too long was emptied, and the child goes on at its beginning.
            log.seek(child.log_start if child.log.stat().st_size >= child.log_start else 0)
            return compiled.search(log.read()) is not None

    return probe


def _signal_group(child: Child, number: signal.Signals) -> None:
    """Signal the child's whole process group, which outlives the child if it left others."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(child.process.pid, number)


def _leave(_number: int, _frame: FrameType | None) -> None:
    """Turn SIGTERM into an exception, so that ``with`` blocks are left in order."""
    raise SystemExit(128 + signal.SIGTERM)
