"""The backup's file: whole or named, sealed or not, and nothing in it leads out of a home."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from fedtrace.deploy.recovery import sealing
from fedtrace.deploy.recovery.bundle import (
    Manifest,
    Source,
    StoredFile,
    is_sealed,
    unpack,
    write_bundle,
)
from fedtrace.deploy.recovery.errors import BackupError

FILES = {"a.json": b"{}", "log/entries.jsonl": b"one\ntwo\n", "vault/big.db": bytes(200_000)}
PASSPHRASE = "five words that nobody guesses"


@pytest.fixture(autouse=True)
def _cheap_passphrases(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sealing, "_COST", 2**14)


def manifest_of(sources: list[Source]) -> Manifest:
    return Manifest(
        kind="school",
        name="school-1",
        made_at=datetime(2026, 10, 5, tzinfo=UTC),
        release="0.1.0",
        with_keys=False,
        database="sqlite",
        left_out=("keys/vault.key",),
        files=tuple(source.described() for source in sources),
    )


def written(path: Path, passphrase: str | None = None) -> Path:
    sources = [Source(path=name, content=content) for name, content in FILES.items()]
    write_bundle(path, manifest_of(sources), sources, passphrase=passphrase)
    return path


@pytest.mark.parametrize("passphrase", [None, PASSPHRASE])
def test_what_went_in_comes_out(tmp_path: Path, passphrase: str | None) -> None:
    backup = written(tmp_path / "b.tar", passphrase)
    assert is_sealed(backup) == (passphrase is not None)
    assert (b"entries.jsonl" in backup.read_bytes()) == (passphrase is None)
    assert backup.stat().st_mode & 0o777 == 0o600
    manifest = unpack(backup, tmp_path / "out", passphrase=passphrase)
    assert manifest.left_out == ("keys/vault.key",)
    found = {
        path.relative_to(tmp_path / "out").as_posix(): path.read_bytes()
        for path in (tmp_path / "out").rglob("*")
        if path.is_file()
    }
    assert found == FILES
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "out").rglob("*.db")} == {0o600}


def test_another_passphrase_or_a_short_one_is_refused(tmp_path: Path) -> None:
    backup = written(tmp_path / "b.tar", PASSPHRASE)
    for wrong in ("another passphrase", None):
        with pytest.raises(BackupError, match="passphrase does not open"):
            unpack(backup, tmp_path / f"out{wrong}", passphrase=wrong)
    with pytest.raises(ValueError, match="needs 12 or more"):
        written(tmp_path / "c.tar", "short")
    assert not (tmp_path / "c.tar").exists()


def test_a_backup_never_replaces_another(tmp_path: Path) -> None:
    backup = written(tmp_path / "b.tar")
    before = backup.read_bytes()
    with pytest.raises(FileExistsError, match="never replaces"):
        written(backup)
    assert backup.read_bytes() == before


def cut(data: bytes) -> bytes:
    return data[: len(data) // 2]


def flipped(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


def without_its_last_chunk(data: bytes) -> bytes:
    return (
        data[: -(len(data) % (65_536 + 16))] if data.startswith(sealing.MAGIC) else data[:-70_000]
    )


@pytest.mark.parametrize("passphrase", [None, PASSPHRASE])
@pytest.mark.parametrize("damage", [cut, flipped, without_its_last_chunk])
def test_a_damaged_backup_is_named(
    tmp_path: Path, damage: Callable[[bytes], bytes], passphrase: str | None
) -> None:
    backup = written(tmp_path / "b.tar", passphrase)
    backup.write_bytes(damage(backup.read_bytes()))
    with pytest.raises(BackupError, match=r"b\.tar cannot be used: .*Nothing was restored"):
        unpack(backup, tmp_path / "out", passphrase=passphrase)


def packed(path: Path, members: dict[str, bytes], kind: bytes = tarfile.REGTYPE) -> Path:
    with tarfile.open(path, "w") as tar:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            if name != "manifest.json":
                member.type = kind
            tar.addfile(member, io.BytesIO(content))
    return path


def one_file(name: str, content: bytes) -> bytes:
    source = Source(path="x", content=content)
    manifest = manifest_of([source])
    files = (StoredFile.model_construct(**{**manifest.files[0].model_dump(), "path": name}),)
    return manifest.model_copy(update={"files": files}).model_dump_json().encode()


@pytest.mark.parametrize("name", ["../evil", "/evil", "a/../../evil", ""])
def test_nothing_is_written_outside_the_home(tmp_path: Path, name: str) -> None:
    backup = packed(tmp_path / "b.tar", {"manifest.json": one_file(name, b"x"), "evil": b"x"})
    with pytest.raises(BackupError, match="cannot be used"):
        unpack(backup, tmp_path / "out")
    assert not (tmp_path / "evil").exists()


def test_only_what_the_manifest_names_is_taken(tmp_path: Path) -> None:
    manifest = one_file("x", b"x")
    more = packed(tmp_path / "more.tar", {"manifest.json": manifest, "x": b"x", "y": b"y"})
    with pytest.raises(BackupError, match="does not name"):
        unpack(more, tmp_path / "1")
    link = packed(tmp_path / "link.tar", {"manifest.json": manifest, "x": b""}, tarfile.SYMTYPE)
    with pytest.raises(BackupError, match="something else"):
        unpack(link, tmp_path / "2")
    none = packed(tmp_path / "none.tar", {"x": b"x"})
    with pytest.raises(BackupError, match="no backup of fedtrace"):
        unpack(none, tmp_path / "3")
    (tmp_path / "text").write_text("not a tar at all")
    with pytest.raises(BackupError, match="cut off or damaged"):
        unpack(tmp_path / "text", tmp_path / "4")
