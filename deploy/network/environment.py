"""The environment every Flower process gets: no telemetry, no update check, no installing.

Flower reports to its makers and looks for updates unless it is told not to, and its SuperLink
installs packages named by a bundle. A school's process does none of that. Proxy settings are
dropped as well: what a school sends goes to the consortium's front and nowhere else.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from fedtrace.deploy.network.lines import FORMAT_VARIABLE

QUIET: Mapping[str, str] = {
    "FLWR_TELEMETRY_ENABLED": "0",
    "FLWR_DISABLE_UPDATE_CHECK": "1",
    "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
}
"""What switches off everything that Flower would do on the network by itself."""

RETURNS_MEMORY: Mapping[str, str] = {
    "MALLOC_ARENA_MAX": "2",
    "MALLOC_MMAP_THRESHOLD_": str(1024 * 1024),
}
"""Has glibc give a model's bytes back when they are no longer needed.

By itself it keeps, for every thread, as much as that thread ever had at a time: a server that
hands models to and fro on forty threads then occupies many times what it uses (mallopt(3)).
"""

_KEPT = (
    *("HOME", "LANG", "LC_ALL", "TMPDIR", "TZ", "SYSTEMROOT", "LD_LIBRARY_PATH", "USER"),
    FORMAT_VARIABLE,
)
_POLL_SECONDS = "0.5"  # how often a superexec asks for a task; Flower's default is 1 s


def flower_environment(flwr_home: Path, *, threads: int | None = None) -> dict[str, str]:
    """The complete environment of one child process.

    Args:
        flwr_home: Where Flower may keep its files; every process has its own.
        threads: How many threads numerical libraries may use; None leaves it to them.

    Returns:
        Variables to start a process with; nothing else of the caller's environment is passed on,
        so no credential, proxy or Flower setting of the operator's shell leaks into it.
    """
    variables = {name: os.environ[name] for name in _KEPT if name in os.environ}
    scripts = Path(sys.executable).parent  # a superexec looks for flwr-serverapp on PATH
    variables |= {
        "PATH": os.pathsep.join([str(scripts), os.environ.get("PATH", os.defpath)]),
        "FLWR_HOME": str(flwr_home),
        "FLWR_SUPEREXEC_TASK_POLL_INTERVAL": _POLL_SECONDS,
        "PYTHONUNBUFFERED": "1",
        "PYTHONSAFEPATH": "1",  # never import from the working directory
    }
    if threads is not None:
        variables |= dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), str(threads))
    return {**variables, **QUIET}
