"""What every command shares: exit codes, plain error sentences, ``--json``, progress.

Exit codes (docs/cli.md):

====  =========================================================================
0     done, and everything that was checked holds
1     done, with warnings: something needs a person's eye
2     bad input, or a verification failed; nothing was changed
3     refused by a privacy or governance rule
4     this machine is in the way: port in use, disk full, file not readable
5     stored state contradicts itself: stopped, nothing repaired by a guess
130   interrupted
====  =========================================================================
"""

from __future__ import annotations

import errno
import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from fedtrace.governance.errors import BudgetExhausted, Corrupt, PolicyError, Rejected
from fedtrace.governance.refusals import Refused

if TYPE_CHECKING:
    from fedtrace.deploy.report.model import Report

logger = logging.getLogger(__name__)


class ExitCode(IntEnum):
    """What the shell sees; the table above says what each means."""

    DONE = 0
    WARNING = 1
    BAD_INPUT = 2
    REFUSED = 3
    MACHINE = 4
    CORRUPT = 5
    INTERRUPTED = 130


def console() -> Console:
    """Where progress and sentences for people go: standard error, so that --json stays clean."""
    return Console(stderr=True, highlight=False)


def print_json(value: Any) -> None:
    """Print one JSON document on standard output."""
    sys.stdout.write(json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n")


def print_lines(text: str) -> None:
    """Print plain text on standard output, exactly as it is."""
    sys.stdout.write(text if text.endswith("\n") else text + "\n")


def fail(sentence: str, code: ExitCode) -> NoReturn:
    """End the command with one sentence on standard error and a documented exit code."""
    console().print(f"fedtrace: {sentence}", markup=False, soft_wrap=True)
    raise typer.Exit(int(code))


@contextmanager
def plain_errors() -> Iterator[None]:
    """Turn every error a user can meet into one sentence and its exit code.

    The order is by who must act: a rule said no, the input is bad, the machine is in the way.
    An error that nobody foresaw keeps its traceback: it is a defect, and hiding it helps nobody.
    """
    try:
        yield
    except (Refused, BudgetExhausted) as error:
        fail(str(error), ExitCode.REFUSED)
    except Corrupt as error:
        fail(f"{error} Nothing was changed; see docs/runbook.md.", ExitCode.CORRUPT)
    except (PolicyError, Rejected, ValueError) as error:
        fail(str(error), ExitCode.BAD_INPUT)
    except KeyboardInterrupt:
        fail("interrupted; everything that was started has been stopped.", ExitCode.INTERRUPTED)
    except OSError as error:
        fail(_machine_sentence(error), ExitCode.MACHINE)


def _machine_sentence(error: OSError) -> str:
    """An operating system error in words that name the file and the next step."""
    where = f" ({error.filename})" if error.filename else ""
    if error.errno == errno.ENOSPC:
        return f"the disk is full{where}: free some space and run the command again."
    if error.errno == errno.ENOENT:
        return f"no such file or folder{where}: check the path."
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"no permission{where}: run as the user who owns the fedtrace folder."
    return f"{error.strerror or error}{where}."


def progress_bar() -> Progress:
    """A bar with done / total, time spent and an estimate of what remains."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left:"),
        TimeRemainingColumn(),
        console=console(),
    )


def finish_with_report(report: Report, out: Path, *, json: bool, progress: Progress) -> NoReturn:
    """Write the report, say where it is and what it found, and end with its exit code."""
    from fedtrace.deploy.report.write import write_report

    _, html_path = write_report(report, out)
    progress.stop()
    if json:
        print_json(report.model_dump(mode="json"))
    else:
        for line in report.verification_lines:
            if line.status != "PASS":
                print_lines(f"{line.status:4}  {line.sentence}")
        passed = sum(line.status == "PASS" for line in report.verification_lines)
        print_lines(f"verified: {report.verification}, {passed} checks passed")
        for condition, scores in report.metrics.items():
            auc = "-" if scores.pooled.auc is None else f"{scores.pooled.auc:.4f}"
            print_lines(f"AUC on test students, {condition}: {auc}")
        print_lines(report.epsilon_sentence)
        print_lines(f"report: {html_path}\nchecked again with: fedtrace audit verify {out}")
    codes = {"PASS": ExitCode.DONE, "WARN": ExitCode.WARNING, "FAIL": ExitCode.BAD_INPUT}
    raise typer.Exit(int(codes[report.verification]))
