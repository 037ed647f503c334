"""``fedtrace plan`` with right and wrong input."""

from __future__ import annotations

import errno
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from support.town import Run, Town, one_sentence, toml_for

from fedtrace.client.keys import create_keys
from fedtrace.governance.canonical import digest
from fedtrace.governance.plan import load_toml
from fedtrace.governance.signing import verify_envelope


def test_lint_finds_nothing_in_the_example(run: Run, town: Town) -> None:
    result = run("plan", "lint", town.plan, "--charter", town.charter)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.startswith("nothing found")
    assert "members must cosign the log before a round" in result.stdout


def test_lint_says_every_problem_of_the_file_by_its_name(run: Run, town: Town) -> None:
    town.plan.write_text(town.plan.read_text().replace("clipping_norm", "cliping_norm"))
    result = run("plan", "lint", town.plan)
    assert result.exit_code == 2
    assert f"{town.plan}: privacy.clipping_norm: missing" in result.stderr
    assert "did you mean clipping_norm?" in result.stderr


def test_lint_as_json(run: Run, town: Town) -> None:
    text = town.plan.read_text().replace("epsilon_job = 2.0", "epsilon_job = 0.5")
    town.plan.write_text(text)
    result = run("plan", "lint", town.plan, "--json")
    assert result.exit_code == 2
    assert {(each["level"], each["clause"]) for each in json.loads(result.stdout)} >= {
        ("error", "privacy.epsilon_job")
    }


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"\xff\xfe\0", "is not text in UTF-8 (byte 1): save it as UTF-8."),
        (b"x = = 3", "not TOML"),
    ],
)
def test_what_is_no_plan(run: Run, town: Town, content: bytes, sentence: str) -> None:
    town.plan.write_bytes(content)
    for command in ("lint", "explain"):
        result = run("plan", command, town.plan)
        assert result.exit_code == 2
        assert sentence in one_sentence(result)


def test_files_that_are_not_there(run: Run, town: Town) -> None:
    for arguments in (
        ("lint", "nowhere.toml"),
        ("lint", town.plan, "--charter", "nowhere.json"),
        ("explain", town.plan, "--previous", "nowhere.toml"),
        ("sign", town.plan, "--key", "nowhere.pem"),
    ):
        result = run("plan", *arguments)
        assert result.exit_code == 4
        assert "no such file or folder (nowhere." in one_sentence(result)


def test_explain_fits_on_a_page(run: Run, town: Town) -> None:
    result = run("plan", "explain", town.plan, "--previous", town.plan)
    assert result.exit_code == 0
    assert "epsilon" in result.stdout


def test_schools_sign_one_after_the_other(run: Run, town: Town) -> None:
    keys = {}
    for school in ("school-1", "school-2"):
        key = town.root / "schools" / school / "keys" / "school.pem"
        signed = run("plan", "sign", town.plan, "--key", key, "--charter", town.charter)
        assert signed.exit_code == 0, signed.output
        assert f"by {school}\n" in signed.stdout
        assert "fedtrace school accept" in signed.stderr
        keys[school] = key
    from fedtrace.governance.charter import Charter
    from fedtrace.governance.plan import PLAN_TYPE

    charter = Charter.from_bytes(town.charter.read_bytes())
    envelope = town.plan.with_suffix(".dsse.json").read_bytes()
    verified = verify_envelope(envelope, PLAN_TYPE, charter.member_keys(), 2)
    assert verified.signers == tuple(keys)


@pytest.mark.parametrize(
    ("key", "sentence"),
    [
        ("keys/log.pem", "of nobody who signs for a member"),
        ("keys/vault.key", "not a PEM private key"),
        ("charter.json", "not a PEM private key"),
    ],
)
def test_the_wrong_key_signs_nothing(run: Run, town: Town, key: str, sentence: str) -> None:
    target = town.root / "signed.json"
    result = run(
        *("plan", "sign", town.plan, "--key", town.home / key),
        *("--charter", town.charter, "--envelope", target),
    )
    assert result.exit_code == 2
    assert sentence in one_sentence(result)
    assert not target.exists()


def sign(run: Run, town: Town, envelope: Path) -> tuple[int, str]:
    key = town.home / "keys" / "school.pem"
    result = run("plan", "sign", town.plan, "--key", key, "--envelope", envelope)
    return result.exit_code, one_sentence(result)


def test_an_expired_plan_is_not_signed(run: Run, town: Town) -> None:
    then = datetime.now(UTC) - timedelta(days=40)
    town.plan.write_text(toml_for(then, then + timedelta(days=20)))
    target = town.root / "signed.json"
    code, sentence = sign(run, town, target)
    assert code == 2
    assert "was not signed: valid_until: the plan expired on" in sentence
    assert not target.exists()


def test_another_plans_envelope_is_left_as_it_is(run: Run, town: Town) -> None:
    before = town.envelope.read_bytes()
    code, sentence = sign(run, town, town.envelope)
    assert (code, town.envelope.read_bytes()) == (2, before)
    assert "what others signed there is not sha256:" in sentence


def test_what_is_no_envelope_and_where_no_folder_is(run: Run, town: Town) -> None:
    assert sign(run, town, town.mapping) == (2, f"{town.mapping}: the envelope is not DSSE JSON")
    code, sentence = sign(run, town, town.root / "nowhere" / "x.json")
    assert code == 2
    assert "make it, or change --envelope" in sentence


def test_a_full_disk_leaves_nothing(run: Run, town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = town.root / "new"
    folder.mkdir()

    def full(path: Path, data: bytes) -> int:
        path.touch()
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(Path, "write_bytes", full)
    code, sentence = sign(run, town, folder / "signed.json")
    assert (code, sentence[:16]) == (4, "the disk is full")
    assert list(folder.iterdir()) == []


def test_a_stranger_is_told_whose_signature_it_is(run: Run, town: Town) -> None:
    stranger = create_keys(town.root / "stranger")
    result = run("plan", "sign", town.plan, "--key", town.root / "stranger" / "school.pem")
    assert result.exit_code == 0
    assert f"by the key {stranger.public_key}" in result.stdout


# --- new ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("trust", ["local", "distributed"])
def test_a_proposed_plan_lints_and_can_be_read_again(run: Run, town: Town, trust: str) -> None:
    made = run(
        *("plan", "new", "spring", "--charter", town.charter, "--catalogue", town.catalogue),
        *("--students", "600", "--trust", trust, "--rounds", "5", "--out", town.root),
    )
    assert made.exit_code == 0, made.stderr
    plan = load_toml((town.root / "spring.toml").read_text())
    initial = (town.root / "spring.initial.safetensors").read_bytes()
    assert plan.model.initial_parameters_digest == digest(initial)
    assert (plan.privacy.trust_mode, plan.rounds.count) == (trust, 5)
    assert (plan.secure_sum is not None) == (trust == "distributed")
    linted = run("plan", "lint", town.root / "spring.toml", "--charter", town.charter)
    assert linted.exit_code in (0, 1), linted.stdout
    assert "error" not in linted.stdout
    assert f"fedtrace plan lint {town.root / 'spring.toml'}" in made.stderr


def test_a_proposal_never_writes_over_a_file(run: Run, town: Town) -> None:
    (town.root / "spring.toml").write_text("mine")
    result = run(
        *("plan", "new", "spring", "--charter", town.charter, "--catalogue", town.catalogue),
        *("--students", "600", "--out", town.root),
    )
    assert (result.exit_code, "is there already" in one_sentence(result)) == (2, True)
    assert (town.root / "spring.toml").read_text() == "mine"
    assert not (town.root / "spring.initial.safetensors").exists()
