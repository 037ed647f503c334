"""``fedtrace simulate`` and ``demo``: what is wrong is said before anything is made."""

from __future__ import annotations

import errno
import json
import shutil
import sys
from pathlib import Path

import pytest
from support.reports import sample_report
from support.town import Run, one_sentence

from fedtrace.deploy.network.errors import PortInUseError

HEADER = "student,school,seq,skill,correct\n"
REPORT = sample_report()


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the commands run."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def simulate(run: Run, content: bytes, *options: object) -> tuple[int, str]:
    Path("t.csv").write_bytes(content)
    result = run("simulate", "--data", "t.csv", "--school-column", "school", *options)
    assert {path.name for path in Path().iterdir()} <= {"t.csv", "plan.toml", "taken"}
    return result.exit_code, one_sentence(result)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "t.csv: the file is empty: there is no header."),
        (HEADER.encode(), "t.csv: the table has a header and no row."),
        (HEADER.encode() + b"a,b,1,c,0.5\n", "t.csv: row 1: the column 'correct' is not 0 or 1."),
        (HEADER.encode() + b"a,Z\xfcrich,1,c,1\n", "t.csv is not text in UTF-8: save it as CSV"),
        (HEADER.replace(",", ";").encode(), "t.csv: the fields are separated by ';': save"),
        (b"\xef\xbb\xbf" + HEADER.encode() + b"a,b,1,c,1\n", "no school has 10 students or more"),
        (HEADER.replace("school", "site").encode(), "t.csv: there is no column 'school'; the"),
        (HEADER.encode() + b"x" * 300_000, "t.csv: row 1 cannot be read as CSV: field larger"),
    ],
    ids=["empty", "header", "0.5", "cp1252", "delimiter", "bom", "column", "giant"],
)
def test_tables_of_every_kind(run: Run, content: bytes, sentence: str) -> None:
    code, said = simulate(run, content)
    assert (code, said[: len(sentence)]) == (2, sentence)


def test_files_and_folders(run: Run) -> None:
    Path("plan.toml").write_text("x = 1")
    Path("taken").mkdir()
    Path("taken/file").touch()
    for options, code, sentence in (
        (("--plan", "nowhere"), 4, "no such file or folder (nowhere)"),
        (("--plan", "taken/file"), 2, "taken/file: name: missing"),
        (("--out", "taken"), 2, "taken is there already and is not an empty folder"),
        (("--out", "plan.toml"), 2, "plan.toml is there already"),
    ):
        result = run("simulate", "--data", "t.csv", "--school-column", "school", *options)
        assert (result.exit_code, sentence in result.stderr) == (code, True), result.output


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ((), "either --data CSV with --school-column NAME, or --schools N."),
        (("--data", "t.csv", "--schools", 3), "or --schools N."),
        (("--schools", 3, "--school-column", "school"), "add --data CSV."),
        (("--schools", 3, "--ray-address", "auto"), "--ray-address belongs to --engine ray."),
        (("--schools", 3, "--rounds", 2, "--plan", "p"), "leave --rounds out."),
    ],
)
def test_a_simulation_needs_a_table_or_a_number(
    run: Run, options: tuple[object, ...], sentence: str
) -> None:
    result = run("simulate", *options)
    assert (result.exit_code, list(Path().iterdir())) == (2, [])
    assert one_sentence(result).endswith(sentence)


def test_a_missing_engine_is_said_before_anything_is_made(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    for name in [each for each in sys.modules if each.endswith("vce.backend.raybackend")]:
        monkeypatch.delitem(sys.modules, name)
    result = run("simulate", "--schools", 3, "--engine", "ray")
    assert (result.exit_code, list(Path().iterdir())) == (4, [])
    assert "pip install 'fedtrace[ray]'" in one_sentence(result)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--data", "t.csv"), "Add --school-column NAME."),
        (("--school-column", "school"), "add --data CSV."),
    ],
)
def test_a_demo_needs_both_or_none(run: Run, options: tuple[str, ...], sentence: str) -> None:
    result = run("demo", *options)
    assert result.exit_code == 2
    assert one_sentence(result).endswith(sentence)


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (PortInUseError("Port 9092 on 127.0.0.1 is in use."), "Port 9092 on 127.0.0.1 is in use."),
        (OSError(errno.ENOSPC, "No space left", "o/x"), "the disk is full (o/x): free some"),
        (
            shutil.Error([("a", "o/b", "[Errno 28] No space left on device")]),
            "the disk is full (o/b): free some",
        ),
    ],
    ids=["port", "disk", "copy"],
)
def test_a_machine_in_the_way(
    run: Run, monkeypatch: pytest.MonkeyPatch, error: Exception, sentence: str
) -> None:
    def raises(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("fedtrace.deploy.demo.run_demo", raises)
    result = run("demo")
    assert result.exit_code == 4
    assert one_sentence(result).startswith(sentence)


def test_a_finished_demo_says_where_everything_is(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fedtrace.deploy.demo.run_demo", lambda *_, **__: REPORT)
    monkeypatch.setattr(
        "fedtrace.deploy.report.write.write_report",
        lambda _, out: (out / "report.json", out / "report.html"),
    )
    Path("fedtrace-demo").mkdir()  # taken, so the next free name is used
    result = run("demo")
    assert "report: fedtrace-demo-2/report.html" in result.stdout
    assert "fedtrace audit verify fedtrace-demo-2" in result.stdout
    assert REPORT.epsilon_sentence in result.stdout
    codes = {"PASS": 0, "WARN": 1, "FAIL": 2}
    assert result.exit_code == codes[REPORT.verification]
    as_json = run("demo", "--json")
    assert json.loads(as_json.stdout) == REPORT.model_dump(mode="json")
