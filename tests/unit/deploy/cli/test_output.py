"""Every error that a person can meet: one sentence and the documented exit code."""

from __future__ import annotations

import errno
import os
import shutil

import pytest
import typer

from fedtrace.deploy.cli.machine import machine_sentence
from fedtrace.deploy.cli.output import plain_errors, wrapped
from fedtrace.deploy.network.errors import PortInUseError
from fedtrace.governance.errors import BudgetExhausted, Corrupt, PolicyError, Rejected
from fedtrace.governance.refusals import RefusalCode, Refused
from fedtrace.governance.signing import SignatureError


def failed(error: BaseException, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    with pytest.raises(typer.Exit) as ended, plain_errors():
        raise error
    captured = capsys.readouterr()
    assert captured.out == ""
    return ended.value.exit_code, captured.err.removeprefix("fedtrace: ").rstrip("\n")


@pytest.mark.parametrize(
    ("error", "code", "sentence"),
    [
        (PolicyError("a: missing"), 2, "a: missing"),
        (Rejected("format", "not a plan"), 2, "not a plan."),
        (FileExistsError("there are keys"), 2, "there are keys."),
        (
            FileExistsError(errno.EEXIST, "File exists", "out"),
            2,
            "out is there already: choose another name.",
        ),
        (BudgetExhausted("the budget is spent"), 3, "the budget is spent"),
        (PortInUseError("Port 80 is in use."), 4, "Port 80 is in use."),
        (
            OSError(errno.ENOSPC, "No space left", "a/b"),
            4,
            "the disk is full (a/b): free some space and run the command again.",
        ),
        (
            Corrupt("the log is short"),
            5,
            "the log is short. Leave everything as it is and see docs/runbook.md.",
        ),
        (
            KeyboardInterrupt(),
            130,
            "interrupted; everything that was started has been stopped.",
        ),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_an_error_is_one_sentence(
    error: BaseException, code: int, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert failed(error, capsys) == (code, sentence)


def test_a_refusal_says_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    error = Refused(RefusalCode.R01)
    error.__cause__ = SignatureError("1 of the 2 signatures that are needed are there and valid")
    code, sentence = failed(error, capsys)
    assert code == 3
    assert sentence.startswith("R01 (charter.threshold): ")
    assert "1 of the 2 signatures" in sentence
    assert "`fedtrace plan sign`" in sentence


def test_a_defect_keeps_its_traceback() -> None:
    with pytest.raises(RuntimeError), plain_errors():
        raise RuntimeError


@pytest.mark.parametrize("number", [errno.EDQUOT, errno.EACCES, errno.EROFS, errno.EISDIR])
def test_the_machine_names_the_file_and_the_step(number: int) -> None:
    sentence = machine_sentence(OSError(number, os.strerror(number), "school.db"))
    assert " (school.db): " in sentence
    assert os.strerror(number) not in sentence


def test_a_disk_that_fails_and_an_error_that_nobody_listed() -> None:
    assert "failing" in machine_sentence(OSError(errno.EIO, "the database cannot be used"))
    assert machine_sentence(OSError(errno.ELOOP, "a loop", "x")) == "a loop (x)."


@pytest.mark.parametrize(
    ("reason", "sentence"),
    [
        ("[Errno 28] No space left on device: 'b'", "the disk is full (b): free some space"),
        ("something else", "b cannot be written: something else."),
    ],
)
def test_copying_a_folder_says_the_first_error(reason: str, sentence: str) -> None:
    assert machine_sentence(shutil.Error([("a", "b", reason)])).startswith(sentence)


def test_a_check_fits_a_terminal_of_80_columns() -> None:
    digest = "sha256:" + "0" * 64
    line = f"PASS  The keys are those of charter {digest} of county, with 3 members, as they were."
    lines = wrapped(line, 80).splitlines()
    assert all(len(each) <= 80 for each in lines)
    assert all(each.startswith("      ") for each in lines[1:])
    assert any(digest in each for each in lines)
