"""A school's keys: made once, all of them or none."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from fedtrace.client.keys import create_keys, load_keys


def test_keys_are_made_once(tmp_path: Path) -> None:
    made = create_keys(tmp_path / "keys")
    assert load_keys(tmp_path / "keys").public_key == made.public_key
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "keys").iterdir()} == {0o600}
    with pytest.raises(FileExistsError, match="never replaced"):
        create_keys(tmp_path / "keys")
    assert load_keys(tmp_path / "keys").public_key == made.public_key


def test_keys_on_a_full_disk_are_all_or_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced = iter([None, None, OSError(errno.ENOSPC, "No space left on device")])

    def fsync(_: int) -> None:
        if error := next(synced):
            raise error

    monkeypatch.setattr("fedtrace.client.files.os.fsync", fsync)
    with pytest.raises(OSError, match="No space left"):
        create_keys(tmp_path / "keys")
    assert list((tmp_path / "keys").iterdir()) == []
