"""``verify_path`` on folders as people have them: whole, alone, incomplete, tampered with."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from support.logs import NOW, charter_of, encode, note_over, tell_story, write_lines

from fedtrace.deploy.audit import Verdict, verify_path
from fedtrace.governance.canonical import digest
from fedtrace.governance.log.entries import PlanAccepted, SchoolInitialised
from fedtrace.governance.log.evidence import collect_evidence
from fedtrace.governance.log.merkle import MerkleTree, leaf_hash
from fedtrace.governance.log.storage import COSIGNED


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tell_story().write(tmp_path_factory.mktemp("demo"))


@pytest.fixture
def demo(original: Path, tmp_path: Path) -> Path:
    """A demo's output: three schools, two rounds, an evaluation."""
    return shutil.copytree(original, tmp_path / "demo")


def failed(verdict: Verdict) -> list[str]:
    return [line.check for line in verdict.lines if line.status == "FAIL"]


def warned(verdict: Verdict) -> list[str]:
    return [line.check for line in verdict.lines if line.status == "WARN"]


def test_a_whole_demo_passes_in_about_ten_lines(demo: Path) -> None:
    verdict = verify_path(demo)
    assert {line.status for line in verdict.lines} == {"PASS"}
    assert verdict.exit_code == 0
    assert len(verdict.lines) == 17
    assert verdict.entries == 20 + 3 * 9
    stored = sum(path.stat().st_size for path in demo.rglob("entries.jsonl"))
    assert verdict.log_bytes == stored
    assert charter_of(["school-1", "school-2", "school-3"]).digest() in verdict.lines[0].sentence


@pytest.mark.parametrize(
    "part", ["consortium", "consortium/log", "schools/school-2", "schools/school-2/log"]
)
def test_a_home_and_a_log_can_be_verified_alone(demo: Path, part: str) -> None:
    verdict = verify_path(demo / part)
    assert verdict.exit_code == 0
    assert sum(line.check == "log.whole" for line in verdict.lines) == 1


def test_a_log_can_be_named_from_inside(demo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(demo / "consortium" / "log")
    assert verify_path(Path()).exit_code == 0


def test_verifying_needs_no_secret_and_changes_nothing(demo: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in demo.rglob("*")}
    verify_path(demo)
    assert {path: path.stat().st_mtime_ns for path in demo.rglob("*")} == before


def test_many_schools_share_lines(tmp_path: Path) -> None:
    verdict = verify_path(tell_story(schools=60, rounds=1).write(tmp_path))
    assert verdict.exit_code == 0
    assert len(verdict.lines) < 20
    assert any("56 more schools are whole" in line.sentence for line in verdict.lines)


# --- what is not there or cannot be read ----------------------------------------------------------


def test_nothing_at_the_path(tmp_path: Path) -> None:
    verdict = verify_path(tmp_path / "nowhere")
    assert (failed(verdict), verdict.exit_code) == (["input"], 2)
    assert "There is nothing at" in verdict.lines[0].sentence


def test_an_empty_folder_and_a_file(tmp_path: Path) -> None:
    assert "There is no log at" in verify_path(tmp_path).lines[0].sentence
    (tmp_path / "file").write_text("x")
    assert "is a file" in verify_path(tmp_path / "file").lines[0].sentence


def remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()


@pytest.mark.parametrize(
    ("part", "checks", "sentence"),
    [
        ("consortium", ["input"], "charter.json is missing"),
        ("consortium/charter.json", ["input"], "charter.json is missing"),
        ("schools/school-2/charter.json", ["input"], "Ask whoever gave you this folder"),
        ("schools/school-2/log", ["input", "crosscheck"], "there is no checkpoint"),
        ("schools/school-2/log/checkpoint", ["input", "crosscheck"], "there is no checkpoint"),
        ("schools/school-2/log/entries.jsonl", ["log.size", "crosscheck"], "9 of 9 signed entries"),
        ("consortium/log", ["input", "members", "crosscheck"], "there is no checkpoint"),
    ],
)
def test_what_was_removed_is_missed(
    demo: Path, part: str, checks: list[str], sentence: str
) -> None:
    remove(demo / part)
    verdict = verify_path(demo)
    assert (failed(verdict), verdict.exit_code) == (checks, 2)
    assert any(sentence in line.sentence for line in verdict.lines)


def test_a_member_whose_log_is_not_here_warns(demo: Path) -> None:
    remove(demo / "schools" / "school-3")
    verdict = verify_path(demo)
    assert (failed(verdict), warned(verdict), verdict.exit_code) == ([], ["members"], 1)
    assert "1 of 3 members are not here" in next(
        line.sentence for line in verdict.lines if line.status == "WARN"
    )


@pytest.mark.skipif(os.geteuid() == 0, reason="root can read every file")
def test_a_file_without_permission(demo: Path) -> None:
    (demo / "consortium" / "log" / "entries.jsonl").chmod(0)
    assert "cannot be read" in verify_path(demo).lines[1].sentence


MAKERS: tuple[Callable[[Path], None], ...] = (
    lambda path: path.symlink_to("/dev/zero"),
    os.mkfifo,
    Path.mkdir,
)


@pytest.mark.parametrize("name", ["log/entries.jsonl", "log/checkpoint", "charter.json"])
@pytest.mark.parametrize("make", MAKERS, ids=["link", "pipe", "folder"])
def test_links_pipes_and_folders_in_place_of_files(
    demo: Path, name: str, make: Callable[[Path], None]
) -> None:
    path = demo / "consortium" / name
    path.unlink()
    make(path)
    (line,) = [line for line in verify_path(demo).lines if line.check == "input"]
    assert line.status == "FAIL"
    assert str(path) in line.sentence


@pytest.mark.parametrize("text", [b"", b"{}", b"[]", b"\xff", b"[" * 100_000, b"{" + b" " * 2**20])
def test_what_is_no_charter(demo: Path, text: bytes) -> None:
    for path in demo.rglob("charter.json"):
        path.write_bytes(text)
    verdict = verify_path(demo)
    assert failed(verdict) == ["input"]
    assert "charter.json" in verdict.lines[0].sentence


# --- tampering; more of it in test_tampering.py ---------------------------------------------------


def test_a_consortium_rolled_back_leaves_orphans_and_contradicts_its_witnesses(demo: Path) -> None:
    entries = tell_story().consortium[:-9]
    log = demo / "consortium" / "log"
    write_lines(log, encode(entries, "county/log"), "county/log")
    verdict = verify_path(demo)
    assert "updates.received" in warned(verdict)
    assert failed(verdict) == ["log.witnesses"]
    (log / COSIGNED).unlink()
    assert set(warned(verify_path(demo))) == {"log.witnesses", "updates.received"}


def test_too_few_or_invalid_cosignatures(demo: Path) -> None:
    kept = demo / "consortium" / "log" / COSIGNED
    text, _, lines = kept.read_bytes().partition(b"\n\n")
    log, first, *others = lines.splitlines(keepends=True)
    kept.write_bytes(text + b"\n\n" + log + first)
    verdict = verify_path(demo)
    assert (failed(verdict), warned(verdict)) == ([], ["log.witnesses"])
    changed = first[:-20] + bytes([first[-20] ^ 1]) + first[-19:]
    kept.write_bytes(text + b"\n\n" + log + changed + b"".join(others))
    assert failed(verify_path(demo)) == ["log.witnesses"]


def mirror(demo: Path, school: str, entries: int) -> Path:
    """A school's copy of the first entries of the consortium's log."""
    copy = demo / "schools" / school / "consortium-log"
    copy.mkdir()
    lines = encode(tell_story().consortium[:entries], "county/log")
    write_lines(copy, lines, "county/log")
    return copy


def test_the_copies_in_the_schools_must_agree(demo: Path) -> None:
    mirror(demo, "school-1", 12)
    copy = mirror(demo, "school-2", 20)
    verdict = verify_path(demo)
    assert verdict.exit_code == 0
    found = [line.sentence for line in verdict.lines if line.check == "log.mirrors"]
    assert found == [
        "The copies of the consortium's log in 2 schools, of up to 20 entries, agree with it."
    ]
    stored = copy / "entries.jsonl"
    stored.write_bytes(stored.read_bytes().replace(b"adam", b"mada"))
    assert failed(verify_path(demo)) == ["log.mirrors"]
    stored.unlink()
    stored.mkdir()
    assert failed(verify_path(demo)) == ["log.mirrors"]


def test_a_school_alone_holds_its_log_against_its_copy_of_the_consortiums(demo: Path) -> None:
    mirror(demo, "school-1", 20)
    verdict = verify_path(demo / "schools" / "school-1")
    assert verdict.exit_code == 0
    assert {"updates.sent", "epsilon.recomputed"} <= {line.check for line in verdict.lines}
    assert sum(line.check == "log.whole" for line in verdict.lines) == 2


def test_a_proof_of_two_histories_is_shown(demo: Path) -> None:
    lines = encode(tell_story().consortium, "county/log")
    other = [*lines[:5], lines[6], lines[5], *lines[7:]]
    evidence = collect_evidence(
        MerkleTree(map(leaf_hash, lines)),
        note_over(lines, "county/log"),
        note_over(other, "county/log"),
        size=len(lines),
        now=NOW,
    )
    folder = demo / "schools" / "school-2" / "evidence"
    folder.mkdir()
    (folder / "fork-20-aa.json").write_bytes(evidence.to_bytes())
    assert failed(verify_path(demo)) == ["log.fork"]
    assert failed(verify_path(demo / "schools" / "school-2")) == ["log.fork"]
    (folder / "fork-20-aa.json").write_bytes(b"{}")
    assert warned(verify_path(demo)) == ["log.fork"]


def test_what_a_school_signed_itself_is_not_believed_against_the_others(tmp_path: Path) -> None:
    """A school that rewrites its whole log, with its own key, still cannot rewrite the others."""
    story = tell_story()
    story.schools["school-2"] = [
        each
        for each in story.schools["school-2"]
        if isinstance(each, SchoolInitialised | PlanAccepted)
    ]
    verdict = verify_path(story.write(tmp_path))
    assert failed(verdict) == ["updates.sent"]
    assert digest(b"school-2 1") in next(
        line.sentence for line in verdict.lines if line.status == "FAIL"
    )


@pytest.mark.parametrize("part", ["", "consortium", "schools/school-2"])
def test_a_log_that_goes_on_under_a_next_charter(tmp_path: Path, part: str) -> None:
    story = tell_story()
    story.change_charter(threshold=3)
    verdict = verify_path(story.write(tmp_path / "all") / part)
    assert [line.sentence for line in verdict.lines if line.status == "FAIL"] == []
    charter = next(line for line in verdict.lines if line.check == "charter")
    assert (charter.status, "version 2, with 3 members" in charter.sentence) == ("PASS", True)
    assert story.charter.digest() in charter.sentence


def test_a_home_that_has_not_heard_of_the_next_charter(tmp_path: Path) -> None:
    story = tell_story()
    story.change_charter(threshold=3)
    demo = story.write(tmp_path / "all")
    late = demo / "schools" / "school-3"
    remove(late / "charters")
    (late / "charter.json").write_bytes(story.charter.to_bytes())
    assert failed(verify_path(demo)) == []
    (late / "charter.json").write_bytes(charter_of(["school-3"], threshold=1).to_bytes())
    assert failed(verify_path(demo)) == ["input"]


def test_the_log_of_a_member_that_left_is_still_verified(tmp_path: Path) -> None:
    story = tell_story(schools=4, rounds=1)
    story.change_charter(members=story.charter.members[:3])
    round_two = [e for e in story.consortium if getattr(e, "round", 1) == 1]
    story.consortium = round_two
    verdict = verify_path(story.write(tmp_path / "all"))
    assert any("log of school-4 is whole" in line.sentence for line in verdict.lines)
    assert "log.whole" not in failed(verdict) + warned(verdict)
