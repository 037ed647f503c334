"""The ``fedtrace`` command as a user runs it: in a process of its own."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

FEDTRACE = str(Path(sys.executable).with_name("fedtrace"))


def fedtrace(*arguments: object, expect: int = 0) -> str:
    """Run a command to its end; returns its standard output, or its error where it must fail."""
    done = subprocess.run(
        [FEDTRACE, *map(str, arguments)], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == expect, done.stdout + done.stderr
    return done.stdout if expect == 0 else done.stderr


@contextmanager
def service(*arguments: object, ready: str) -> Iterator[subprocess.Popen[str]]:
    """A command that runs until it is told to end; entered when it has said ``ready``."""
    process = subprocess.Popen([FEDTRACE, *map(str, arguments)], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        for line in process.stdout:
            if ready in line:
                break
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)
        if process.stdout is not None:
            process.stdout.close()


def consortium_status(home: Path) -> dict[str, Any]:
    """What the operator sees; the exit code says whether something is to do."""
    command = [FEDTRACE, "consortium", "status", "--home", str(home), "--json"]
    said = subprocess.run(command, capture_output=True, text=True, timeout=60).stdout
    found: dict[str, Any] = json.loads(said)
    return found


def until(condition: Callable[[], bool], seconds: float = 120, *, every: float = 0.2) -> None:
    """Wait for something to happen elsewhere, looking again after so many seconds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(every)


def approve(consortium: Path, school: str) -> None:
    """What a person at the consortium does after the telephone call."""
    listed = json.loads(fedtrace("consortium", "members", "--home", consortium, "--json"))
    (fingerprint,) = (row["fingerprint"] for row in listed if row["school"] == school)
    fedtrace(*("consortium", "approve", school, "--home", consortium, "--fingerprint", fingerprint))
