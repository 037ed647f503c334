"""The page of an audit: it says what the lines say, and fetches nothing."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner
from support.logs import note_over, tell_story
from typer.main import get_command

from fedtrace.deploy.audit import verify_path
from fedtrace.deploy.cli.main import app
from fedtrace.deploy.report.verdict import verdict_page
from fedtrace.governance.log.merkle import root_of
from fedtrace.governance.log.verify import Line

NOW = datetime(2026, 11, 23, 9, 30, tzinfo=UTC)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    story = tell_story()
    story.change_charter(threshold=3)
    return story.write(tmp_path_factory.mktemp("whole"))


def test_a_page_has_every_line_every_log_and_every_version(whole: Path) -> None:
    verdict = verify_path(whole)
    page = verdict_page(
        "The logs", "audit", verdict.lines, logs=verdict.logs, charters=verdict.charters, now=NOW
    )
    assert "PASS: Every check holds." in page
    assert page.count('<span class="badge PASS">') == len(verdict.lines)
    assert verdict.charters is not None
    for version in verdict.charters.versions:
        assert version.digest() in page
    for log in verdict.logs:
        root = base64.b64encode(root_of(log.stored)).decode()
        assert root.replace("+", "&#43;") in page or root in page
        assert f">{len(log.entries)}<" in page
    assert "http" not in page.replace("http-equiv", "")
    assert "<script" not in page


def test_what_fails_is_said_first_and_text_stays_text() -> None:
    lines = [
        Line(status="WARN", check="a", sentence="look <b>here</b>"),
        Line(status="FAIL", check="b", sentence="broken"),
    ]
    page = verdict_page("x", "audit", lines, logs=(), charters=None, now=NOW)
    assert "FAIL: A check does not hold. Keep a copy" in page
    assert "look &lt;b&gt;here" in page
    assert "Whose keys count" not in page


def test_the_command_writes_a_page_once(whole: Path, tmp_path: Path) -> None:
    runner, command = CliRunner(), get_command(app)
    target = tmp_path / "verdict.html"
    places = [str(whole / "consortium"), str(whole / "schools" / "school-1")]
    for name, paths in (("verify", [str(whole)]), ("reconcile", places)):
        target.unlink(missing_ok=True)
        words = ["audit", name, *paths, "--html", str(target)]
        assert runner.invoke(command, words).exit_code == 0
        assert f"fedtrace audit {name}" in target.read_text(encoding="utf-8")
        before = target.read_bytes()
        again = runner.invoke(command, words)
        assert (again.exit_code, "is there already" in again.stderr) == (2, True)
        assert target.read_bytes() == before


def test_a_log_that_cannot_be_believed_has_a_page_too(whole: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.mkdir()
    (tmp_path / "charter.json").write_bytes((whole / "consortium/charters/1.json").read_bytes())
    (log / "checkpoint").write_bytes(note_over([], "county/other"))
    verdict = verify_path(tmp_path)
    assert verdict.exit_code == 2
    page = verdict_page(
        "x", "audit", verdict.lines, logs=verdict.logs, charters=verdict.charters, now=NOW
    )
    assert "is of nobody that the charter names" in page
