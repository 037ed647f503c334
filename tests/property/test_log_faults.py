"""A log on a disk that misbehaves, in any order: nothing that was acknowledged is lost or changed.

Faults of writing end in an error and a log that stops; faults of what is stored (a flipped bit, a
lost or moved line, an older checkpoint) end in a log that stays closed or in the very same log.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)
from support.failing_disk import BROKEN, FULL, FailingDisk, PowerCut
from support.logs import NOW, key_of
from support.thoroughness import examples_of

from fedtrace.governance.errors import Corrupt
from fedtrace.governance.log import storage
from fedtrace.governance.log.entries import Entry, KillSwitchChanged
from fedtrace.governance.log.log import Log
from fedtrace.governance.log.storage import CHECKPOINT, ENTRIES, DirectoryFiles

ORIGIN = "county/log"
CALLS_A_COMMIT = 5


class FaultyDisk(RuleBasedStateMachine):
    """One log over its life: appends, faults while writing, faults while closed, starts."""

    @initialize()
    def make(self) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="fedtrace-log-"))
        self.directory = self.root / "log"
        self.log = Log.open(self.directory, origin=ORIGIN, key=key_of(ORIGIN))
        self.acknowledged: list[Entry] = []
        self.tried: list[Entry] = []

    @rule(batch=st.lists(st.booleans(), min_size=1, max_size=3))
    def append(self, batch: list[bool]) -> None:
        entries = [KillSwitchChanged(on=on) for on in batch]
        assert self.log.append_many(entries, now=NOW) == len(self.acknowledged)
        self.acknowledged += entries
        self.tried = self.acknowledged

    @rule(
        fail_at=st.integers(1, CALLS_A_COMMIT),
        error=st.sampled_from([FULL, BROKEN, None]),
        bytes_before=st.integers(0, 200),
        kept_share=st.floats(0, 1),
        keep_rename=st.booleans(),
    )
    def fail_while_writing(
        self,
        fail_at: int,
        error: int | None,
        bytes_before: int,
        kept_share: float,
        keep_rename: bool,
    ) -> None:
        """ENOSPC, EIO or a loss of power at any call; then the log says no until it is reopened."""
        self.log.close()
        disk = FailingDisk(bytes_before=bytes_before, error=error)
        entry = KillSwitchChanged(on=True)
        with patch.object(storage, "os", disk):
            log = Log(DirectoryFiles(self.directory), origin=ORIGIN, key=key_of(ORIGIN))
            disk.fail_at = len(disk.calls) + fail_at
            self.tried = [*self.acknowledged, entry]
            try:
                log.append(entry, now=NOW)
            except (OSError, PowerCut):
                assert not log.healthy
                try:
                    log.append(entry, now=NOW)
                except Corrupt:
                    pass
                else:
                    raise AssertionError("a log went on after a failed write")
            else:
                self.acknowledged = self.tried
            log.close()
        if error is None and len(disk.calls) >= disk.fail_at:
            disk.settle(self.directory, kept_share=kept_share, keep_rename=keep_rename)
        self.start()

    @rule(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
    @precondition(lambda self: self.acknowledged)
    def flip_a_bit(self, place: float, bit: int) -> None:
        def flip(path: Path) -> None:
            data = bytearray(path.read_bytes())
            data[int(place * len(data))] ^= 1 << bit
            path.write_bytes(data)

        self.damage_a_copy(ENTRIES, flip)
        self.damage_a_copy(CHECKPOINT, flip)

    @rule(first=st.integers(0, 30), second=st.integers(0, 30))
    @precondition(lambda self: len(self.acknowledged) > 1)
    def reorder_or_lose_lines(self, first: int, second: int) -> None:
        def swap(path: Path) -> None:
            lines = path.read_bytes().splitlines(keepends=True)
            i, j = first % len(lines), second % len(lines)
            lines[i], lines[j] = lines[j], lines[i]
            path.write_bytes(b"".join(lines))

        def lose(path: Path) -> None:
            lines = path.read_bytes().splitlines(keepends=True)
            del lines[first % len(lines)]
            path.write_bytes(b"".join(lines))

        self.damage_a_copy(ENTRIES, swap)
        self.damage_a_copy(ENTRIES, lose)

    def damage_a_copy(self, name: str, damage: object) -> None:
        """A damaged copy stays closed, or is the very same log."""
        copy = self.root / "copy"
        shutil.copytree(self.directory, copy)
        damage(copy / name)  # type: ignore[operator]
        try:
            opened = Log.open(copy, origin=ORIGIN, key=key_of(ORIGIN))
        except Corrupt:
            pass
        else:
            assert [each.entry for each in opened.entries()] == self.acknowledged
            opened.close()
        shutil.rmtree(copy)

    @rule()
    def start(self) -> None:
        """Another process: what was acknowledged is there; what was tried is whole or not there."""
        self.log.close()
        self.log = Log.open(self.directory, origin=ORIGIN, key=key_of(ORIGIN))
        found = [each.entry for each in self.log.entries()]
        assert found in (self.acknowledged, self.tried)
        self.acknowledged = self.tried = found

    @invariant()
    def shows_what_it_acknowledged(self) -> None:
        assert len(self.log) == len(self.acknowledged)

    def teardown(self) -> None:
        if hasattr(self, "log"):
            self.log.close()
            shutil.rmtree(self.root)


TestFaultyDisk = pytest.mark.thorough(FaultyDisk.TestCase)
TestFaultyDisk.settings = settings(
    max_examples=examples_of(25), stateful_step_count=12, deadline=None
)
