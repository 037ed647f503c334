"""Power fails at every write of a log, in every way a disk can keep half of it: nothing is lost."""

from __future__ import annotations

import tempfile
from pathlib import Path
from unittest.mock import patch

from hypothesis import given
from hypothesis import strategies as st
from support.failing_disk import FailingDisk, PowerCut
from support.logs import NOW, key_of
from support.thoroughness import examples

from fedtrace.governance.log import storage
from fedtrace.governance.log.checkpoint import LogCheckpoint
from fedtrace.governance.log.entries import Entry, KillSwitchChanged
from fedtrace.governance.log.log import Log
from fedtrace.governance.log.merkle import require_consistency
from fedtrace.governance.log.storage import DirectoryFiles

ORIGIN = "county/log"
CALLS_A_COMMIT = 6

batches = st.lists(st.lists(st.booleans(), min_size=1, max_size=4), min_size=1, max_size=5)


@examples(60)
@given(
    batches=batches,
    fail_at=st.integers(1, 6 * CALLS_A_COMMIT),
    bytes_before=st.integers(0, 300),
    kept_share=st.floats(0, 1),
    keep_rename=st.booleans(),
    most_bytes=st.sampled_from([2**30, 200]),
)
def test_nothing_acknowledged_is_lost(
    batches: list[list[bool]],
    fail_at: int,
    bytes_before: int,
    kept_share: float,
    keep_rename: bool,
    most_bytes: int,
) -> None:
    disk = FailingDisk(fail_at=fail_at, bytes_before=bytes_before, most_bytes=most_bytes)
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder) / "log"
        directory.mkdir()
        acknowledged, tried, checkpoints = _live_until_the_power_fails(directory, disk, batches)
        disk.settle(directory, kept_share=kept_share, keep_rename=keep_rename)

        log = Log.open(directory, origin=ORIGIN, key=key_of(ORIGIN))
        found = [each.entry for each in log.entries()]
        assert found[: len(acknowledged)] == acknowledged
        assert found in (acknowledged, tried), "a batch is there whole or not at all"
        _require_growth(log, checkpoints)
        log.append(KillSwitchChanged(on=True), now=NOW)
        log.close()
        again = Log.open(directory, origin=ORIGIN, key=key_of(ORIGIN))
        assert len(again) == len(found) + 1
        assert again.dropped_bytes == 0
        again.close()


def _live_until_the_power_fails(
    directory: Path, disk: FailingDisk, batches: list[list[bool]]
) -> tuple[list[Entry], list[Entry], list[LogCheckpoint]]:
    """What was acknowledged, that and what was being written, and every checkpoint shown."""
    acknowledged: list[Entry] = []
    tried: list[Entry] = []
    checkpoints: list[LogCheckpoint] = []
    with patch.object(storage, "os", disk):
        files = DirectoryFiles(directory)
        try:
            log = Log(files, origin=ORIGIN, key=key_of(ORIGIN))
            for batch in batches:
                entries = [KillSwitchChanged(on=on) for on in batch]
                tried = [*acknowledged, *entries]
                log.append_many(entries, now=NOW)
                acknowledged = tried
                checkpoints.append(log.checkpoint())
        except PowerCut:
            pass
        finally:
            files.close()
    return acknowledged, tried, checkpoints


def _require_growth(log: Log, checkpoints: list[LogCheckpoint]) -> None:
    """Every checkpoint that anybody may have seen is a beginning of the log that came back."""
    now = log.checkpoint()
    for seen in checkpoints:
        proof = log.consistency_proof(seen.size)
        require_consistency(seen.size, seen.root, now.size, now.root, proof)


def test_a_disk_that_writes_before_it_forces_would_be_noticed() -> None:
    """The disk of these tests loses what was not forced, so a missing fdatasync fails the test."""

    class Forgetful(FailingDisk):
        def fdatasync(self, file: int) -> None:
            self._next("fdatasync")

    disk = Forgetful()
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder) / "log"
        directory.mkdir()
        _live_until_the_power_fails(directory, disk, [[True]])
        disk.settle(directory, kept_share=0, keep_rename=True)
        assert (directory / "entries.jsonl").read_bytes() == b""
