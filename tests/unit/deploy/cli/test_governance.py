"""``fedtrace governance report``: files, lines and exit codes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import get_args

import pytest
from support.town import Run, Town, one_sentence

from fedtrace.deploy.packs.words import PackName


def test_a_school_gets_a_page_and_the_same_as_json(run: Run, town: Town, tmp_path: Path) -> None:
    page = tmp_path / "for the officer" / "ferpa.html"
    result = run("governance", "report", "--pack", "ferpa", town.home, "--to", page)
    assert result.exit_code == 1, result.output  # no plan was signed yet
    assert result.stdout.endswith("verification: PASS\n")
    assert f"read {page}" in result.stderr
    found = json.loads(page.with_suffix(".json").read_text(encoding="utf-8"))
    assert (found["pack"], found["exit_code"], found["verification"]) == ("ferpa", 1, "PASS")
    assert found["title"] in page.read_text(encoding="utf-8")
    assert {path.name for path in page.parent.iterdir()} == {"ferpa.html", "ferpa.json"}


def test_a_log_that_does_not_verify_ends_as_audit_verify_does(
    run: Run, town: Town, tmp_path: Path
) -> None:
    entries = town.home / "log" / "entries.jsonl"
    entries.write_bytes(b"".join(entries.read_bytes().splitlines(keepends=True)[:-1]))
    page = tmp_path / "ferpa.html"
    result = run("governance", "report", "--pack", "ferpa", town.home, "--to", page, "--json")
    assert result.exit_code == run("audit", "verify", town.home).exit_code == 2
    assert json.loads(result.stdout)["verification"] == "FAIL"
    assert "The logs do not verify" in page.read_text(encoding="utf-8")


def test_the_packs_are_listed(run: Run) -> None:
    listed = run("governance", "report", "--list")
    assert listed.exit_code == 0
    assert [line.split()[0] for line in listed.stdout.splitlines()] == list(get_args(PackName))
    as_json = json.loads(run("governance", "report", "--list", "--json").stdout)
    assert [each["name"] for each in as_json] == list(get_args(PackName))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--pack", "hipaa", "."], "there is no pack 'hipaa': --pack is one of ferpa"),
        (["--pack", "ferpa"], "name the folder with the logs"),
        (["."], "there is no pack ''"),
        (["--pack", "ferpa", ".", "--to", "page.pdf"], "let its name end with .html"),
        (["--pack", "ferpa", ".", "--plan", "nowhere.json"], "nowhere.json"),
    ],
)
def test_what_cannot_be_done_is_said(
    run: Run, town: Town, monkeypatch: pytest.MonkeyPatch, arguments: list[str], words: str
) -> None:
    monkeypatch.chdir(town.home)
    result = run("governance", "report", *arguments)
    assert result.exit_code == 2
    assert words in one_sentence(result)
    assert not list(town.home.glob("*.html"))
