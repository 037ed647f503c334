"""``fedtrace key``: a person's key, from its making to a signature on a plan."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.town import Run, Town, one_sentence

WORDS = "five words nobody would guess"


def test_make_a_key_show_it_and_sign(
    run: Run, town: Town, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FEDTRACE_KEY_PASSPHRASE", WORDS)
    path = tmp_path / "officer.pem"
    made = run("key", "new", path)
    assert made.exit_code == 0
    assert "not the file" in made.stderr
    assert run("key", "show", path).stdout == made.stdout
    signed = run("plan", "sign", town.plan, "--key", path)
    assert signed.exit_code == 0
    assert f"by the key {made.stdout.strip()}" in signed.stdout


def test_a_wrong_passphrase_writes_nothing(
    run: Run, town: Town, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FEDTRACE_KEY_PASSPHRASE", WORDS)
    path = tmp_path / "officer.pem"
    assert run("key", "new", path).exit_code == 0
    monkeypatch.setenv("FEDTRACE_KEY_PASSPHRASE", "other words than these")
    refused = run("plan", "sign", town.plan, "--key", path)
    assert refused.exit_code == 2
    assert f"{path}: the passphrase is another one" in one_sentence(refused)
    assert not town.plan.with_suffix(".dsse.json").exists()


def test_a_short_passphrase_and_a_second_key(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "officer.pem"
    monkeypatch.setenv("FEDTRACE_KEY_PASSPHRASE", "short")
    assert "needs 12 or more" in one_sentence(run("key", "new", path))
    assert not path.exists()
    monkeypatch.setenv("FEDTRACE_KEY_PASSPHRASE", WORDS)
    assert run("key", "new", path).exit_code == 0
    again = run("key", "new", path)
    assert (again.exit_code, "is there already" in again.stderr) == (2, True)
