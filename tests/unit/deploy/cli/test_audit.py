"""``fedtrace audit verify``: lines, JSON and exit codes."""

from __future__ import annotations

import json
import sys

import pytest
from support.town import Run, Town

from fedtrace.deploy.cli.output import print_checks


def test_a_whole_town_passes(run: Run, town: Town) -> None:
    result = run("audit", "verify", town.root)
    assert result.exit_code == 0, result.output
    assert all(line.startswith("PASS  ") for line in result.stdout.splitlines())


def test_members_that_are_not_here_are_a_warning(run: Run, town: Town) -> None:
    (town.root / "schools" / "school-3").rename(town.root / "elsewhere")
    result = run("audit", "verify", town.root)
    assert result.exit_code == 1
    assert "WARN  The logs of 1 of 3 members are not here" in result.stdout


def test_a_log_cut_short_fails_and_says_so_as_json(run: Run, town: Town) -> None:
    entries = town.home / "log" / "entries.jsonl"
    entries.write_bytes(b"".join(entries.read_bytes().splitlines(keepends=True)[:-1]))
    result = run("audit", "verify", town.home, "--json")
    found = json.loads(result.stdout)
    assert (result.exit_code, found["exit_code"]) == (2, 2)
    assert all(set(line) == {"status", "check", "sentence"} for line in found["lines"])
    assert any("has been cut short: 1 of 2" in line["sentence"] for line in found["lines"])


@pytest.mark.parametrize("path", ["nowhere", "plan.toml", "schools/school-1/keys"])
def test_a_path_without_a_log(run: Run, town: Town, path: str) -> None:
    result = run("audit", "verify", town.root / path)
    assert result.exit_code == 2
    assert result.stdout.startswith("FAIL  ")
    assert len(result.stdout.splitlines()) == 1


def test_a_terminal_gets_lines_that_fit(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "40")
    print_checks([("FAIL", "word " * 20), ("PASS", "short")])
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 40
    assert [line[:6] for line in lines] == ["FAIL  ", "      ", "      ", "PASS  "]
