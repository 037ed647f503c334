"""``fedtrace school`` as a school's IT types it at seven in the morning."""

from __future__ import annotations

import base64
import errno
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from support.gate import POLICY_TOML
from support.town import HEADER, Run, Town, one_sentence, plan_for

from fedtrace.client.home import open_school
from fedtrace.client.keys import create_keys, load_keys
from fedtrace.governance.log.entries import PolicyChanged
from fedtrace.governance.plan_signing import sign_plan
from fedtrace.governance.policy import load_policy_toml

# --- import ---------------------------------------------------------------------------------------


def test_an_import_reports_as_json(run: Run, town: Town) -> None:
    result = run("school", "import", town.export, *town.import_options(), "--dry-run", "--json")
    report = json.loads(result.stdout)
    assert (result.exit_code, report["rows_kept"], report["dry_run"]) == (0, 20, True)
    assert report["columns_kept"]["student"] == "student"


@pytest.mark.parametrize(
    ("content", "code", "words"),
    [
        (b"", 2, "the file is empty"),
        (HEADER.encode(), 1, "has no row with an answer"),
        (HEADER.replace(",", ";").encode(), 2, "separated by a semicolon"),
        (HEADER.encode("utf-16"), 2, "UTF-16"),
        (b"pupil,seq,skill,correct\na,1,add,1\n", 2, "there is no column 'student'"),
        (b"\xef\xbb\xbf" + HEADER.encode() + b"a,1,add,1\n", 0, "1 kept"),
        (HEADER.encode().replace(b"\n", b",n\n") + b"a,1,add,1,Z\xfcrich\n", 0, "CP1252"),
        (HEADER.encode() + b"a,1,add,0.5\na,2,add,1\n", 1, "answer neither right nor wrong"),
        (HEADER.encode() + b"x" * 300_000 + b"\na,2,add,1\n", 1, "line too long"),
    ],
    ids=["empty", "header", "delimiter", "utf16", "column", "bom", "cp1252", "0.5", "giant"],
)
def test_exports_of_every_kind(run: Run, town: Town, content: bytes, code: int, words: str) -> None:
    town.export.write_bytes(content)
    result = run("school", "import", town.export, *town.import_options())
    assert (result.exit_code, words in result.output) == (code, True), result.output
    if code == 2:
        assert one_sentence(result).startswith(f"{town.export}: ")


@pytest.mark.parametrize(
    ("file", "content", "words"),
    [
        ("mapping", b"\xff", "is not text in UTF-8"),
        ("mapping", b"[columns]\nstudnt = 'a'\n", "columns.studnt"),
        ("catalogue", b"{}", "not a catalogue of skills: skills: Field required"),
        ("catalogue", b"[columns]", "not a catalogue of skills: the whole"),
    ],
)
def test_mappings_and_catalogues_that_are_none(
    run: Run, town: Town, file: str, content: bytes, words: str
) -> None:
    path: Path = getattr(town, file)
    path.write_bytes(content)
    result = run("school", "import", town.export, *town.import_options())
    assert result.exit_code == 2
    assert words in one_sentence(result)
    assert str(path) in one_sentence(result)


def test_an_export_of_another_format_is_told_and_stored(run: Run, town: Town) -> None:
    head = "Anon Student Id\tName\tFirst Attempt\tStep Start Time\tKC (Fine)\tKC (Topic)\n"
    town.export.write_text(head + "a\tAnn\tcorrect\t2024-01-02 08:00:00\tx\tadd\n", "utf-8")
    options = town.import_options()[:4]
    result = run("school", "import", town.export, *options)
    assert (result.exit_code, "--kc-model: Fine, Topic" in one_sentence(result)) == (2, True)
    result = run("school", "import", town.export, *options, "--kc-model", "Topic")
    assert (result.exit_code, "1 kept" in result.output) == (0, True), result.output
    assert "columns dropped unread (2): Name, KC (Fine)" in result.output.replace("\n", " ")
    result = run("school", "import", town.export, *options, "--format", "oneroster")
    assert (result.exit_code, "damaged" in one_sentence(result)) == (2, True)


def test_without_a_mapping_the_sentence_says_so(run: Run, town: Town) -> None:
    options = town.import_options()[:4]
    result = run("school", "import", town.export, *options)
    assert result.exit_code == 2
    assert "without --mapping" in one_sentence(result)


def test_a_full_disk_stores_nothing(run: Run, town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "the disk is full: nothing was stored")

    monkeypatch.setattr("fedtrace.client.vault.Vault.add", full)
    result = run("school", "import", town.export, *town.import_options())
    assert result.exit_code == 4
    assert one_sentence(result).startswith("the disk is full: free some space")


# --- accept ---------------------------------------------------------------------------------------


def accept(run: Run, town: Town, envelope: Path) -> tuple[int, str]:
    result = run(
        *("school", "accept", envelope, "--home", town.home, "--catalogue", town.catalogue)
    )
    return result.exit_code, result.output if result.exit_code == 0 else one_sentence(result)


def test_a_plan_that_enough_schools_signed(run: Run, town: Town) -> None:
    code, said = accept(run, town, town.envelope)
    assert code == 0
    assert "signed by school-1, school-2" in said
    assert "fedtrace school status" in said


@pytest.mark.parametrize(
    ("allowed", "narrower", "says"),
    [
        ('"adaptive_practice", ', "", "R05 (policy.purposes)"),
        ('"correct", ', "", "R06 (policy.fields)"),
        ('"distributed", "local"', '"distributed"', "R12 (policy.privacy.trust_modes)"),
        ("max_delta = 1e-5", "max_delta = 1e-9", "R12 (policy.privacy.max_delta)"),
    ],
)
def test_a_plan_that_the_policy_will_refuse_is_said_at_once(
    run: Run, town: Town, allowed: str, narrower: str, says: str
) -> None:
    text = POLICY_TOML.replace(allowed, narrower)
    assert text != POLICY_TOML
    policy = town.root / "narrow.toml"
    policy.write_text(text)
    assert run("school", "policy", policy, "--home", town.home).exit_code == 0
    result = run("school", "accept", town.envelope, *town.import_options()[:4])
    assert result.exit_code == 1, result.output
    assert f"! this school will refuse every order of it: {says}" in result.stdout
    assert "fedtrace school policy" in result.stderr


def test_plans_that_are_not_accepted(run: Run, town: Town) -> None:
    now = datetime.now(UTC)
    plan = plan_for(now - timedelta(days=1), now + timedelta(days=9))
    expired = plan_for(now - timedelta(days=9), now - timedelta(days=1))
    stranger = create_keys(town.root / "stranger").signer
    member = load_keys(town.home / "keys").signer
    second = load_keys(town.root / "schools" / "school-2" / "keys").signer
    path = town.root / "other.json"
    for content, code, sentence in (
        (sign_plan(plan, [stranger]), 3, "0 of the 2 members that are needed"),
        (sign_plan(plan, [member, stranger]), 3, "1 of the 2 members that are needed"),
        (sign_plan(expired, [member, second]), 3, "R03 (plan.valid_until)"),
        (town.plan.read_bytes(), 2, "the envelope is not DSSE JSON"),
        (town.envelope.read_bytes()[:-30], 2, "the envelope is not DSSE JSON"),
    ):
        path.write_bytes(content)
        found, said = accept(run, town, path)
        assert (found, sentence in said) == (code, True), said
    assert not (town.home / "plans").exists()


def test_another_catalogue_is_not_accepted(run: Run, town: Town) -> None:
    town.catalogue.write_text('{"skills":["add"]}')
    code, said = accept(run, town, town.envelope)
    assert (code, said) == (2, "the skill catalogue is not the one that the plan names")


# --- status ---------------------------------------------------------------------------------------


def test_a_home_that_is_ready(run: Run, town: Town) -> None:
    accept(run, town, town.envelope)
    result = run("school", "status", "--home", town.home)
    assert result.exit_code == 0, result.output
    assert max(map(len, result.stdout.splitlines())) <= 80
    found = json.loads(run("school", "status", "--home", town.home, "--json").stdout)
    assert (found["school"], sum(found["students"].values())) == ("school-1", 5)
    assert (found["problems"], found["stopped"], found["log_in_use"]) == ([], False, False)
    assert [set(plan) for plan in found["plans"]] == [{"digest", "name", "valid_until"}]


def damaged_key(home: Path) -> None:
    (home / "keys" / "vault.key").write_text("ab" * 32)


def cut_log(home: Path) -> None:
    entries = home / "log" / "entries.jsonl"
    entries.write_bytes(b"".join(entries.read_bytes().splitlines(keepends=True)[:-1]))


def tampered_checkpoint(home: Path) -> None:
    checkpoint = home / "log" / "checkpoint"
    lines = checkpoint.read_text().splitlines(keepends=True)
    checkpoint.write_text("".join([lines[0], "1\n", *lines[2:]]))


def lost_plan(home: Path) -> None:
    next((home / "plans").glob("*/plan.dsse.json")).unlink()


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (damaged_key, "vault.key does not open the records"),
        (cut_log, "the log has 2 entries, its checkpoint is over 3. See docs/runbook.md"),
        (tampered_checkpoint, "its signature is not valid. See docs/runbook.md"),
        (lost_plan, "is gone: accept the plan again"),
    ],
)
def test_status_says_what_needs_a_person(
    run: Run, town: Town, damage: Callable[[Path], None], problem: str
) -> None:
    accept(run, town, town.envelope)
    damage(town.home)
    result = run("school", "status", "--home", town.home)
    assert (result.exit_code, problem in result.stdout) == (1, True), result.output


def test_status_says_that_nobody_may_take_part_before_an_order_is_refused(
    run: Run, town: Town
) -> None:
    accept(run, town, town.envelope)
    hold = ("school", "hold", "place", "--home", town.home, "--matter", "litigation")
    for number in range(5):
        assert run(*hold, "--student", f"pupil-{number}").exit_code == 0
    status = run("school", "status", "--home", town.home)
    assert status.exit_code == 1, status.output
    assert ": 0 students may take part, at least " in status.stdout
    assert "every order is refused (R13). See `fedtrace school consent list`" in status.stdout
    assert run(*hold, "--everybody").exit_code == 0
    assert "R18 (hold.school)" in run("school", "status", "--home", town.home).stdout


def test_a_new_home_says_what_is_missing(run: Run, town: Town) -> None:
    result = run("school", "status", "--home", town.root / "schools" / "school-3")
    assert result.exit_code == 1
    assert "run `fedtrace school import`" in result.stdout
    assert "no plan is accepted: run `fedtrace school accept`" in result.stdout


def test_homes_that_cannot_be_opened(run: Run, town: Town) -> None:
    def status() -> tuple[int, str]:
        result = run("school", "status", "--home", town.home)
        return result.exit_code, one_sentence(result)

    result = run("school", "status", "--home", town.root)
    assert result.exit_code == 2
    assert "fedtrace school join INVITE" in one_sentence(result)
    key = town.home / "keys" / "school.pem"
    key.chmod(0o644)
    assert status() == (4, f"school.pem has mode 644; a secret needs 600: chmod 600 {key}.")
    key.chmod(0o600)
    for name, content, code, sentence in (
        ("keys/vault.key", b"z" * 64, 2, "vault.key does not hold 32 bytes in hexadecimal"),
        ("keys/school.pem", b"no key", 2, "school.pem: not a PEM private key"),
        ("school.toml", b"\xff", 2, "is not text in UTF-8"),
        ("charter.json", b"{}", 2, "the charter is not well formed"),
        ("school.db", b"no database" * 99, 5, "school.db is not an intact database. Leave"),
    ):
        path = town.home / name
        before = path.read_bytes()
        path.write_bytes(content)
        found, said = status()
        path.write_bytes(before)
        assert (found, sentence in said) == (code, True), said


# --- policy ---------------------------------------------------------------------------------------


def test_a_policy_is_signed_and_a_changed_file_keeps_the_node_closed(run: Run, town: Town) -> None:
    wanted = town.root / "stricter.toml"
    wanted.write_text(POLICY_TOML.replace("max_sequence = 500", "max_sequence = 50"))
    assert wanted.read_text() != POLICY_TOML
    changed = run("school", "policy", wanted, "--home", town.home)
    assert changed.exit_code == 0
    assert f"fedtrace school status --home {town.home}" in changed.stderr
    with open_school(town.home) as school:
        assert school.rules.policy.max_sequence == 50
        assert school.rules.policy.digest() in changed.stdout
        *_, last = school.log.entries()
        assert last.entry == PolicyChanged(policy_digest=school.rules.policy.digest())

    path = town.home / "policy.dsse.json"
    envelope = json.loads(path.read_bytes())
    envelope["payload"] = base64.b64encode(load_policy_toml(POLICY_TOML).to_bytes()).decode()
    path.write_text(json.dumps(envelope))
    closed = run("school", "status", "--home", town.home)
    assert closed.exit_code == 2
    assert "does not carry this school's signature" in one_sentence(closed)
    assert run("school", "policy", wanted, "--home", town.home).exit_code == 0
    assert run("school", "status", "--home", town.home).exit_code in (0, 1)


def test_a_policy_that_cannot_be_set_changes_nothing(run: Run, town: Town) -> None:
    path = town.home / "policy.dsse.json"
    before = path.read_bytes()
    other = town.root / "other.toml"
    other.write_text(POLICY_TOML.replace('school = "school-1"', 'school = "school-2"'))
    for file, home, sentence in (
        (other, town.home, "the charter has other keys for school-2"),
        (town.export, town.home, "not TOML"),
        (other, town.root, "is not a school's home"),
    ):
        result = run("school", "policy", file, "--home", home)
        assert (result.exit_code, sentence in one_sentence(result)) == (2, True), result.stderr
    good = town.root / "good.toml"
    good.write_text(POLICY_TOML)
    with open_school(town.home):
        assert "another process" in one_sentence(run("school", "policy", good, "--home", town.home))
    assert path.read_bytes() == before


# --- stop and resume ------------------------------------------------------------------------------


def test_stop_and_resume(run: Run, town: Town) -> None:
    stopped = run("school", "stop", "--home", town.home)
    assert (stopped.exit_code, stopped.stdout) == (0, "training is stopped at this school\n")
    assert f"fedtrace school resume --home {town.home}" in stopped.stderr
    assert "STOPPED" in run("school", "status", "--home", town.home).stdout
    resumed = run("school", "resume", "--home", town.home)
    assert (resumed.exit_code, resumed.stdout) == (0, "training is allowed at this school\n")


def test_everything_a_person_needs_works_while_the_gate_runs(run: Run, town: Town) -> None:
    with open_school(town.home) as gate:
        looked = run("school", "status", "--home", town.home)
        assert "log: 2 entries, open in another process" in looked.stdout
        assert "the log cannot be opened" not in looked.stdout
        for command, on in (("stop", True), ("resume", False)):
            result = run("school", command, "--home", town.home)
            assert result.exit_code == 0
            assert "the gate" in result.stdout
            assert gate.store.kill_switch is on
        imported = run("school", "import", town.export, *town.import_options())
        assert imported.exit_code == 4
        assert "end that process" in one_sentence(imported)


def test_a_stop_is_in_force_even_where_the_log_is_damaged(run: Run, town: Town) -> None:
    cut_log(town.home)
    result = run("school", "stop", "--home", town.home)
    assert result.exit_code == 5
    assert one_sentence(result).startswith("training is stopped, but the school's log")
    assert run("school", "resume", "--home", town.home).exit_code == 5
    with open_school(town.home) as school:
        assert school.store.kill_switch


# --- budget ---------------------------------------------------------------------------------------


def test_the_budget_in_words_and_as_json(run: Run, town: Town) -> None:
    fresh = run("school", "budget", "--home", town.home)
    assert fresh.exit_code == 0
    assert "0 releases, epsilon 0.000 of 4 spent (one student, delta 1e-05)" in fresh.stdout
    accepted = run(
        *("school", "accept", town.envelope, "--home", town.home, "--catalogue", town.catalogue)
    )
    assert accepted.exit_code == 0
    found = json.loads(run("school", "budget", "--home", town.home, "--json").stdout)
    assert [each["of"].split()[0] for each in found["budgets"]] == ["student-year", "plan"]
    (rounds,) = found["next_rounds"]
    assert rounds["answered"] == 0
    assert rounds["possible"] <= rounds["planned"]
    said = run("school", "budget", "--home", town.home)
    assert f"0 of {rounds['planned']} rounds are paid for" in said.stdout
    assert said.exit_code == (0 if rounds["possible"] == rounds["planned"] else 1)


def test_the_ledger_is_written_once_and_taken_in_again(run: Run, town: Town) -> None:
    file = town.root / "ledger.json"
    assert run("school", "budget", "--home", town.home, "--export", file).exit_code == 0
    twice = run("school", "budget", "--home", town.home, "--export", file)
    assert (twice.exit_code, "is there already" in one_sentence(twice)) == (2, True)
    again = run("school", "budget", "--home", town.home, "--import", file)
    assert again.exit_code == 0
    assert "0 entries" in again.stderr
    wrong = run("school", "budget", "--home", town.home, "--import", town.envelope)
    assert wrong.exit_code == 2
    assert one_sentence(wrong)
