"""The log on a real disk: durable, in order, one process, and what opening finds."""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from support.failing_disk import BROKEN, FULL, FailingDisk
from support.logs import NOW, encode, key_of, public, write_lines

from fedtrace.governance.errors import Corrupt, Rejected
from fedtrace.governance.log import storage
from fedtrace.governance.log.checkpoint import open_checkpoint
from fedtrace.governance.log.entries import KillSwitchChanged
from fedtrace.governance.log.log import Log
from fedtrace.governance.log.merkle import leaf_hash, require_consistency, require_inclusion
from fedtrace.governance.log.storage import read_limited, read_log

ORIGIN = "county/log"
KEY = key_of(ORIGIN)
ON, OFF = KillSwitchChanged(on=True), KillSwitchChanged(on=False)


def open_log(directory: Path) -> Log:
    return Log.open(directory, origin=ORIGIN, key=KEY)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A log with three entries, closed."""
    log = open_log(tmp_path / "log")
    log.append_many([ON, OFF, ON], now=NOW)
    log.close()
    return tmp_path / "log"


def test_a_new_log_is_empty_and_signed(tmp_path: Path) -> None:
    open_log(tmp_path / "log").close()
    note = read_log(tmp_path / "log").checkpoint
    assert note is not None
    assert open_checkpoint(note, origin=ORIGIN, public_key=public(KEY)).size == 0


def test_appending_returns_the_index_and_survives_closing(directory: Path) -> None:
    log = open_log(directory)
    assert log.append(OFF, now=NOW) == 3
    assert log.append_many([ON, OFF], now=NOW) == 4
    log.close()
    again = open_log(directory)
    assert [each.entry for each in again.entries()] == [ON, OFF, ON, OFF, ON, OFF]
    assert again.dropped_bytes == 0
    again.close()


def test_proofs_verify_under_the_signed_checkpoint(directory: Path) -> None:
    log = open_log(directory)
    before = log.checkpoint()
    log.append_many([ON, OFF], now=NOW)
    after = log.checkpoint()
    for index in range(5):
        proof = log.inclusion_proof(index)
        require_inclusion(leaf_hash(log.line(index)), index, after.size, proof, after.root)
    proof = log.consistency_proof(before.size)
    require_consistency(before.size, before.root, after.size, after.root, proof)
    log.close()


def test_many_entries_wait_for_the_disk_once(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = FailingDisk()
    monkeypatch.setattr(storage, "os", disk)
    log = open_log(directory)
    log.append_many([ON] * 100, now=NOW)
    log.close()
    order = ["write", "fdatasync", "write", "fsync", "replace", "fsync"]
    assert disk.calls == order, "entries, force, checkpoint, force, rename, force the folder"


def test_threads_share_a_log(directory: Path) -> None:
    log = open_log(directory)
    with ThreadPoolExecutor(8) as threads:
        indices = list(threads.map(lambda _: log.append(ON, now=NOW), range(40)))
    log.close()
    assert sorted(indices) == list(range(3, 43))
    open_log(directory).close()


def test_a_second_process_is_told_to_wait(directory: Path) -> None:
    log = open_log(directory)
    code = (
        "import sys; from pathlib import Path\n"
        "from fedtrace.governance.log.storage import DirectoryFiles\n"
        "try: DirectoryFiles(Path(sys.argv[1]))\n"
        "except OSError as error: print(error.strerror)"
    )
    told = subprocess.run(
        [sys.executable, "-c", code, str(directory)], capture_output=True, text=True, check=True
    )
    assert told.stdout == "another process has this log open; stop it first\n"
    with pytest.raises(OSError, match="another process has this log open"):
        open_log(directory)
    log.close()
    open_log(directory).close()


def test_lines_that_were_staged_elsewhere_are_checked(directory: Path) -> None:
    log = open_log(directory)
    staged = encode([ON, OFF, ON, OFF, ON], ORIGIN)
    with pytest.raises(Rejected) as caught:
        log.append_lines(staged[4:])
    assert caught.value.check == "index"
    log.append_lines([])
    log.append_lines(staged[3:])
    assert len(log) == 5
    log.close()


def test_nothing_is_appended_where_one_of_many_is_no_entry(directory: Path) -> None:
    log = open_log(directory)
    with pytest.raises(ValueError, match="time zone"):
        log.append_many([ON, OFF], now=NOW.replace(tzinfo=None))
    assert (len(log), log.healthy) == (3, True)
    log.close()


def test_a_closed_log_takes_nothing(directory: Path) -> None:
    log = open_log(directory)
    log.close()
    log.close()
    with pytest.raises(Corrupt, match="was closed"):
        log.append(ON, now=NOW)


# --- what opening finds ---------------------------------------------------------------------------


@pytest.mark.parametrize("tail", [b'{"data":{"on"', b"\n", encode([ON] * 4, ORIGIN)[3] + b"\n"])
def test_a_tail_that_nobody_signed_is_dropped_and_told(directory: Path, tail: bytes) -> None:
    with (directory / "entries.jsonl").open("ab") as file:
        file.write(tail)
    log = open_log(directory)
    assert log.dropped_bytes == len(tail)
    assert log.append(OFF, now=NOW) == 3
    log.close()
    assert open_log(directory).dropped_bytes == 0


def entries(directory: Path) -> list[bytes]:
    return (directory / "entries.jsonl").read_bytes().splitlines(keepends=True)


def store(directory: Path, lines: list[bytes]) -> None:
    (directory / "entries.jsonl").write_bytes(b"".join(lines))


def test_a_log_that_is_shorter_than_signed_is_never_repaired(directory: Path) -> None:
    store(directory, entries(directory)[:2])
    before = entries(directory)
    with pytest.raises(Corrupt, match="has 2 entries, its checkpoint is over 3"):
        open_log(directory)
    assert entries(directory) == before


def test_a_log_with_another_root_is_never_repaired(directory: Path) -> None:
    lines = entries(directory)
    store(directory, [lines[1], lines[0], lines[2]])
    with pytest.raises(Corrupt, match="not the ones that its checkpoint was signed over"):
        open_log(directory)
    assert entries(directory)[0] == lines[1]


def test_entries_without_a_checkpoint_are_not_believed(directory: Path) -> None:
    (directory / "checkpoint").unlink()
    with pytest.raises(Corrupt, match="3 entries and no checkpoint"):
        open_log(directory)


def test_signed_lines_that_are_no_entries_are_not_believed(directory: Path) -> None:
    write_lines(directory, [b"{}"], ORIGIN)
    with pytest.raises(Corrupt, match="what is no entry"):
        open_log(directory)


@pytest.mark.parametrize("note", [b"", b"county/log\n3\n", b"\xff"])
def test_a_damaged_checkpoint_stops(directory: Path, note: bytes) -> None:
    (directory / "checkpoint").write_bytes(note)
    with pytest.raises(Corrupt, match="not its own"):
        open_log(directory)


def test_the_key_of_another_log_does_not_open_it(directory: Path) -> None:
    with pytest.raises(Corrupt, match="not its own"):
        Log.open(directory, origin=ORIGIN, key=key_of("stranger"))
    with pytest.raises(Corrupt, match="not its own"):
        Log.open(directory, origin="county/blog", key=KEY)
    open_log(directory).close()


def test_a_stale_staged_checkpoint_is_no_harm(directory: Path) -> None:
    (directory / "checkpoint.tmp").write_bytes(b"half a no")
    log = open_log(directory)
    log.append(ON, now=NOW)
    log.close()
    assert not (directory / "checkpoint.tmp").exists()


# --- the disk -------------------------------------------------------------------------------------


@pytest.mark.parametrize("call", range(1, 7))
@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (FULL, "the disk is full: 2 entries were not written to the log and do not count"),
        (BROKEN, r"the disk failed \(Input/output error\): 2 entries were not written"),
    ],
)
def test_after_an_error_the_log_stops_until_it_is_opened_again(
    directory: Path, monkeypatch: pytest.MonkeyPatch, call: int, error: int, sentence: str
) -> None:
    monkeypatch.setattr(storage, "os", FailingDisk(fail_at=call, error=error, bytes_before=9))
    log = open_log(directory)
    before = log.checkpoint()
    with pytest.raises(OSError, match=sentence):
        log.append_many([OFF, ON], now=NOW)
    assert not log.healthy
    assert (len(log), log.checkpoint()) == (3, before), "nothing half acknowledged"
    assert log.consistency_proof(3) == []
    with pytest.raises(Corrupt, match="stopped after a write that failed"):
        log.append(ON, now=NOW)
    log.close()
    monkeypatch.undo()
    again = open_log(directory)
    assert len(again) in (3, 5), "all of it or nothing"
    assert len(again) == 3 or call == 6, "only an unforced rename may have happened"
    again.append(ON, now=NOW)
    again.close()


def test_short_writes_are_finished(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "os", FailingDisk(most_bytes=7))
    log = open_log(directory)
    log.append(OFF, now=NOW)
    log.close()
    monkeypatch.undo()
    assert len(open_log(directory)) == 4


# --- reading what somebody else prepared ----------------------------------------------------------


def test_a_link_a_pipe_and_a_folder_are_not_read(tmp_path: Path) -> None:
    (tmp_path / "target").write_bytes(b"secret")
    (tmp_path / "link").symlink_to(tmp_path / "target")
    (tmp_path / "folder").mkdir()
    subprocess.run(["mkfifo", str(tmp_path / "pipe")], check=True)
    for name, why in (("link", "a link"), ("folder", "plain file"), ("pipe", "plain file")):
        with pytest.raises(Corrupt, match=why):
            read_limited(tmp_path / name, 100)
    assert read_limited(tmp_path / "nothing", 100) is None
    with pytest.raises(NotADirectoryError):
        read_limited(tmp_path / "target" / "below", 100)


def test_a_file_is_not_read_beyond_its_limit(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x" * 101)
    assert read_limited(tmp_path / "file", 101) == b"x" * 101
    with pytest.raises(Corrupt, match="more than the 100 bytes"):
        read_limited(tmp_path / "file", 100)


def test_a_log_cannot_be_led_to_write_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "log").mkdir()
    (tmp_path / "other").write_text("{}")
    (tmp_path / "log" / "entries.jsonl").symlink_to(tmp_path / "other")
    with pytest.raises(OSError, match="symbolic links"):
        open_log(tmp_path / "log")


def test_a_stored_line_is_the_hashed_line(directory: Path) -> None:
    log = open_log(directory)
    stored = read_log(directory)
    assert stored.lines == [log.line(index) for index in range(3)]
    assert json.loads(stored.lines[2])["id"] == "2"
    log.close()
