"""Logs from several places held against each other, and who has to explain what."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from support.logs import encode, tell_story, write_lines
from support.town import Run

from fedtrace.client.mirror import MIRROR_FOLDER
from fedtrace.deploy.reconcile import reconcile
from fedtrace.governance.log.entries import RoundReserved, UpdateReceived, UpdateSent


@pytest.fixture
def told(tmp_path: Path) -> Path:
    return tell_story().write(tmp_path / "told")


def places(told: Path) -> list[Path]:
    return [told / "consortium", told / "schools" / "school-1", told / "schools" / "school-2"]


def failed(paths: list[Path]) -> dict[str, str | None]:
    return {
        each.line.check: each.explains
        for each in reconcile(paths).findings
        if each.line.status != "PASS"
    }


def test_logs_that_tell_the_same(told: Path) -> None:
    found = reconcile(places(told))
    assert found.exit_code == 0, [each.sentence for each in found.findings]
    sentences = [each.sentence for each in found.findings]
    assert "school-1: paid for 3 rounds and sent 3 updates" in " ".join(sentences)
    assert not any("To be explained" in sentence for sentence in sentences)


def test_an_update_that_the_consortium_made_up_is_its_to_explain(told: Path) -> None:
    story = tell_story()
    log = told / "consortium" / "log"
    changed = [
        each.model_copy(update={"digest": "sha256:" + "a" * 64})
        if isinstance(each, UpdateReceived) and each.school == "school-2" and each.round == 1
        else each
        for each in story.consortium
    ]
    write_lines(log, encode(changed, "county/log"), "county/log")
    assert "the consortium" in (failed(places(told))["updates.sent"] or "")


def test_an_update_before_its_cost_is_the_schools_to_explain(told: Path) -> None:
    story = tell_story()
    origin = "county/schools/school-2"
    entries = [
        each
        for each in story.schools["school-2"]
        if not (isinstance(each, RoundReserved) and each.round == 2)
    ]
    write_lines(told / "schools" / "school-2" / "log", encode(entries, origin), origin)
    assert failed(places(told))["updates.reserved"] == "the school"


def test_two_histories_of_one_key(told: Path) -> None:
    story, home = tell_story(), told / "schools" / "school-1"
    mirror = home / MIRROR_FOLDER
    mirror.mkdir()
    write_lines(mirror, encode(story.consortium[:-4], "county/log"), "county/log")
    assert reconcile(places(told)).exit_code == 0
    other = [*story.consortium[:-5], story.consortium[-1]]
    write_lines(mirror, encode(other, "county/log"), "county/log")
    assert failed(places(told)) == {"log.histories": "the consortium, whose key signed both"}
    shutil.copytree(home, told / "again")
    shorter = [each for each in story.schools["school-1"] if not isinstance(each, UpdateSent)]
    origin = "county/schools/school-1"
    write_lines(told / "again" / "log", encode(shorter, origin), origin)
    shutil.rmtree(told / "again" / MIRROR_FOLDER)
    shutil.rmtree(mirror)
    assert "members" in failed([*places(told), told / "again"])


def test_what_cannot_be_held_together(told: Path, tmp_path: Path) -> None:
    for paths in ([told / "consortium"], [told / "schools" / "school-1"], [tmp_path / "nothing"]):
        assert list(failed(paths)) == ["input"]
        assert reconcile(paths).exit_code == 2
    stranger = tell_story(schools=4).write(tmp_path / "other")
    assert list(failed([told / "consortium", stranger / "schools" / "school-1"])) == ["input"]
    (told / "consortium" / "log" / "checkpoint").write_bytes(b"")
    assert reconcile(places(told)).exit_code == 2


def test_as_a_privacy_officer_types_it(run: Run, told: Path) -> None:
    said = run("audit", "reconcile", *places(told))
    assert said.exit_code == 0, said.output
    assert "All 6 updates that the schools sent were received" in said.stdout
    found = json.loads(run("audit", "reconcile", *places(told), "--json").stdout)
    assert found["exit_code"] == 0
    assert {line["explains"] for line in found["lines"]} == {None}
