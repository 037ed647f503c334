"""``backup``, ``restore`` and ``drill`` as people type them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from support.town import Run, Town

from fedtrace.deploy.recovery import sealing


@pytest.fixture(autouse=True)
def _passphrase(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sealing, "_COST", 2**14)
    monkeypatch.setenv("FEDTRACE_BACKUP_PASSPHRASE", "five words that nobody guesses")


def test_a_school_backs_up_drills_loses_everything_and_restores(town: Town, run: Run) -> None:
    backup = town.root / "school.backup"
    made = run("school", "backup", "--home", town.home, "--to", backup, "--with-keys")
    assert made.exit_code == 0, made.output
    assert f"fedtrace school drill {backup}" in made.output
    drilled = run("school", "drill", backup)
    assert drilled.exit_code == 0, drilled.output
    assert "5 students' records" in drilled.stdout
    damaged = town.root / "damaged"
    town.home.rename(damaged)
    restored = run("school", "restore", backup, "--home", town.home, "--log", damaged / "log")
    assert restored.exit_code == 0, restored.output
    assert "0 entries more" in restored.stdout
    status = run("school", "status", "--home", town.home)
    assert "STOPPED by a person" in status.stdout
    assert run("school", "resume", "--home", town.home).exit_code == 0
    assert "training: allowed" in run("school", "status", "--home", town.home).stdout
    again = run("school", "restore", backup, "--home", town.home)
    assert again.exit_code == 2
    assert "never overwrites" in again.stderr


def test_a_consortium_without_its_keys_is_told_which(town: Town, run: Run) -> None:
    home, backup = town.root / "consortium", town.root / "consortium.backup"
    made = run("consortium", "backup", "--home", home, "--to", backup)
    assert made.exit_code == 0, made.output
    assert "keys/aggregator.pem, keys/log.pem" in made.stdout
    drilled = run("consortium", "drill", backup, "--json")
    assert drilled.exit_code == 1
    assert '"name": "demo-consortium"' in drilled.stdout
    new = town.root / "new"
    restored = run("consortium", "restore", backup, "--home", new)
    assert restored.exit_code == 1
    assert f"missing, bring it back with mode 600: {new / 'keys/log.pem'}" in restored.stdout
    cut = town.root / "cut.backup"
    cut.write_bytes(backup.read_bytes()[:50_000])
    refused = run("consortium", "drill", cut)
    assert refused.exit_code == 2
    assert f"{cut} cannot be used" in refused.stderr


def test_what_is_no_home_or_elsewhere_is_not_backed_up(
    town: Town, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for side in ("school", "consortium"):
        refused = run(side, "backup", "--home", tmp_path / "no", "--to", tmp_path / "b")
        assert refused.exit_code == 2
        assert "check --home" in refused.stderr
    home, to = town.root / "consortium", tmp_path / "b"
    monkeypatch.setenv("FEDTRACE_DATABASE_URL", "sqlite:////elsewhere/consortium.db")
    assert "names another file" in run("consortium", "backup", "--home", home, "--to", to).stderr
    monkeypatch.setenv("FEDTRACE_DATABASE_URL", "postgresql://fed@db/county")
    made = run("consortium", "backup", "--home", home, "--to", to)
    assert made.exit_code == 0
    assert "run pg_dump before the next start" in made.stdout
    monkeypatch.delenv("FEDTRACE_DATABASE_URL")
    (home / "consortium.db").unlink()
    said = run("consortium", "backup", "--home", home, "--to", tmp_path / "c").stderr
    assert "set FEDTRACE_DATABASE_URL as for the server" in said
    shutil.copyfile(to, tmp_path / "kept")
    assert run("consortium", "backup", "--home", home, "--to", to).exit_code == 2
    assert to.read_bytes() == (tmp_path / "kept").read_bytes()
