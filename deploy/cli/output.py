"""What every command shares: exit codes, one sentence for an error, ``--json``, progress.

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

import json
import shutil
import sys
import textwrap
from collections.abc import Iterable, Iterator
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

from fedtrace.deploy.cli.machine import machine_sentence
from fedtrace.deploy.network.errors import NetworkError
from fedtrace.governance.errors import BudgetExhausted, Corrupt, Rejected
from fedtrace.governance.refusals import REFUSALS, Refused
from fedtrace.governance.signing import SignatureError

if TYPE_CHECKING:
    from fedtrace.deploy.report.model import Report

RUNBOOK = "Leave everything as it is and see docs/runbook.md."

_UNDER_THE_SENTENCE = " " * len("FAIL  ")


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
    """Print plain text on standard output, exactly as it is, at once even into a pipe."""
    sys.stdout.write(text if text.endswith("\n") else text + "\n")
    sys.stdout.flush()


def print_checks(checks: Iterable[tuple[str, str]]) -> None:
    """Print a status and a sentence a line; a terminal's lines end between words."""
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    for status, sentence in checks:
        line = f"{status:4}  {sentence}"
        print_lines(wrapped(line, width) if width else line)


def wrapped(line: str, width: int) -> str:
    """A check's line for so many columns; digests and paths stay whole, to be copied."""
    return textwrap.fill(
        line,
        width,
        subsequent_indent=_UNDER_THE_SENTENCE,
        break_long_words=False,
        break_on_hyphens=False,
    )


def say_next(step: str) -> None:
    """Tell a person what to do now, on standard error."""
    console().print(f"next: {step}", markup=False, soft_wrap=True)


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
    except Refused as error:
        found = f" {error.__cause__}." if isinstance(error.__cause__, SignatureError) else ""
        fail(f"{error}{found} {REFUSALS[error.code].what_to_do}", ExitCode.REFUSED)
    except BudgetExhausted as error:
        fail(str(error), ExitCode.REFUSED)
    except Corrupt as error:
        fail(f"{error}. {RUNBOOK}", ExitCode.CORRUPT)
    except FileExistsError as error:
        there = f"{error.filename} is there already: choose another name"
        fail(f"{there if error.filename else error}.", ExitCode.BAD_INPUT)
    except Rejected as error:
        fail(f"{error.sentence}.", ExitCode.BAD_INPUT)
    except ValueError as error:
        fail(str(error), ExitCode.BAD_INPUT)
    except NetworkError as error:
        fail(str(error), ExitCode.MACHINE)
    except KeyboardInterrupt:
        fail("interrupted; everything that was started has been stopped.", ExitCode.INTERRUPTED)
    except OSError as error:
        fail(machine_sentence(error), ExitCode.MACHINE)


def progress_bar() -> Progress:
    """A bar with done / total, time spent and an estimate of what remains; on a terminal only."""
    screen = console()
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left:"),
        TimeRemainingColumn(),
        console=screen,
        transient=True,
        disable=not screen.is_terminal,
    )


def finish_with_report(report: Report, out: Path, *, json: bool, progress: Progress) -> NoReturn:
    """Write the report, say where it is and what it found, and end with its exit code."""
    from fedtrace.deploy.report.write import write_report

    _, html_path = write_report(report, out)
    progress.stop()
    if json:
        print_json(report.model_dump(mode="json"))
    else:
        lines = report.verification_lines
        print_checks((line.status, line.sentence) for line in lines if line.status != "PASS")
        passed = sum(line.status == "PASS" for line in lines)
        print_lines(f"verified: {report.verification}, {passed} checks passed")
        for condition, scores in report.metrics.items():
            auc = "-" if scores.pooled.auc is None else f"{scores.pooled.auc:.4f}"
            print_lines(f"AUC on test students, {condition}: {auc}")
        print_lines(report.epsilon_sentence)
        print_lines(f"report: {html_path}\nchecked again with: fedtrace audit verify {out}")
    codes = {"PASS": ExitCode.DONE, "WARN": ExitCode.WARNING, "FAIL": ExitCode.BAD_INPUT}
    raise typer.Exit(int(codes[report.verification]))
