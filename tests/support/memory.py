"""How much memory a tree of processes takes, by Linux's own account."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

_PERIOD_SECONDS = 0.25


def children_of(pid: int) -> list[int]:
    """A process and all that it started, directly or not."""
    found = [pid]
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found += [
                each for child in task.read_text().split() for each in children_of(int(child))
            ]
        except OSError:
            continue
    return found


def proportional_mib(pid: int) -> float:
    """A process' share of memory (PSS): what it has alone, and its part of what is shared."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("Pss:")), 0.0)


class PeakMemory:
    """Watches a tree of processes while the context lasts.

    Args:
        pid: its root.
        name: how a process is called, from its command line.

    Attributes:
        peaks: name -> the most that its processes took together, MiB.
        whole: the most that all took together, MiB.
    """

    def __init__(self, pid: int, name: Callable[[list[str]], str]) -> None:
        self._pid, self._name = pid, name
        self.peaks: dict[str, float] = {}
        self.whole = 0.0
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ending.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ending.wait(_PERIOD_SECONDS):
            now: dict[str, float] = {}
            for pid in children_of(self._pid):
                try:
                    command = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
                except OSError:
                    continue
                name = self._name(command)
                now[name] = now.get(name, 0.0) + proportional_mib(pid)
            for name, mib in now.items():
                self.peaks[name] = max(self.peaks.get(name, 0.0), mib)
            self.whole = max(self.whole, sum(now.values()))
