"""``fedtrace ... charter``: a next version from its draft to every home, and what is refused."""

from __future__ import annotations

import errno
import json
import os
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from unittest.mock import Mock

import pytest
from support.town import CATALOGUE, SCHOOLS, Run, Town, one_sentence

from fedtrace.client.files import write_private
from fedtrace.client.home import open_school
from fedtrace.client.keys import load_keys
from fedtrace.deploy.audit import verify_path
from fedtrace.governance.charter import Charter
from fedtrace.governance.charter_history import read_charters
from fedtrace.governance.log.entries import CharterAccepted, CharterChanged
from fedtrace.governance.log.log import Log
from fedtrace.governance.refusals import RefusalCode, Refused
from fedtrace.server.consortium import open_consortium

OTHER_KEY = "B" * 42 + "A="
WORDS = "five words nobody would guess"


@dataclass(frozen=True)
class Hall:
    """Where the charter of a small town is changed."""

    town: Town
    run: Run
    toml: Path

    @property
    def consortium(self) -> Path:
        return self.town.root / "consortium"

    @property
    def signed(self) -> Path:
        return self.toml.with_suffix(".dsse.json")

    def home(self, school: str) -> Path:
        return self.town.root / "schools" / school

    def draft(self, **changes: str) -> None:
        """Draft the next version, with changes to its text."""
        self.toml.unlink(missing_ok=True)
        made = self.run("consortium", "charter", "draft", "--home", self.consortium, "--out",
                        self.toml)  # fmt: skip
        assert made.exit_code == 0, made.output
        text = self.toml.read_text()
        for before, after in changes.items():
            assert before in text
            text = text.replace(before, after)
        self.toml.write_text(text)

    def sign(self, *keys: Path) -> None:
        for key in keys:
            result = self.run("consortium", "charter", "sign", self.toml, "--key", key,
                              "--charter", self.town.charter)  # fmt: skip
            assert result.exit_code == 0, result.output

    def machine(self, school: str) -> Path:
        return self.home(school) / "keys" / "school.pem"

    def adopt(self) -> tuple[int, str]:
        result = self.run("consortium", "charter", "adopt", self.signed, "--home", self.consortium)
        return result.exit_code, result.output

    def accept(self, school: str) -> tuple[int, str]:
        result = self.run("school", "charter", "accept", self.signed, "--home", self.home(school))
        return result.exit_code, result.output


@pytest.fixture
def hall(run: Run, town: Town, tmp_path: Path) -> Hall:
    return Hall(town, run, tmp_path / "charter-2.toml")


def test_a_threshold_is_raised_by_those_who_are_there(hall: Hall) -> None:
    hall.draft(**{"threshold = 2": "threshold = 3"})
    hall.sign(*(hall.machine(school) for school in SCHOOLS))
    explained = hall.run("consortium", "charter", "explain", hall.signed, "--charter",
                         hall.town.charter)  # fmt: skip
    assert "members that must agree: 3 instead of 2" in explained.stdout
    assert "agreed to by school-1, school-2, school-3; 0 more members must" in explained.stdout
    code, said = hall.adopt()
    assert (code, "version 2 is in force" in said) == (0, True), said
    for school in SCHOOLS:
        assert hall.accept(school)[0] == 0
        with open_school(hall.home(school)) as opened:
            assert opened.rules.charter.threshold == 3
            assert isinstance(opened.log.entries()[-1].entry, CharterAccepted)
    history = read_charters(hall.consortium)
    assert [each.version for each in history.versions] == [1, 2]
    opened_server = open_consortium(hall.consortium)
    changed = opened_server.log.entries()[-1].entry
    opened_server.close()
    assert isinstance(changed, CharterChanged)
    assert (changed.charter_digest, changed.previous_digest) == (
        history.current.digest(),
        history.versions[0].digest(),
    )
    assert changed.signers == SCHOOLS
    shown = hall.run("consortium", "charter", "show", hall.consortium, "--json")
    assert json.loads(shown.stdout)["digest"] == history.current.digest()


def test_a_plan_that_too_few_agree_to_now_is_signed_again(hall: Hall) -> None:
    with open_school(hall.home("school-1")) as school:
        envelope = hall.town.envelope.read_bytes()
        catalogue = CATALOGUE.to_json()
        now = school.log.entries()[0].time
        plan = school.accept_plan(envelope, catalogue, now=now).digest
    hall.draft(**{"threshold = 2": "threshold = 3"})
    hall.sign(*(hall.machine(school) for school in SCHOOLS))
    assert hall.accept("school-1")[0] == 0
    with open_school(hall.home("school-1")) as school:
        with pytest.raises(Refused) as refused:
            school.find_plan(plan)
        assert refused.value.code is RefusalCode.R01
        assert school.plans.read_past(plan).digest == plan


@pytest.mark.parametrize(
    ("changes", "signers", "sentence"),
    [
        ({"threshold = 2": "threshold = 1"}, 1, "by the rules of the present version: 1 of the 2"),
        ({"threshold = 2": "threshold = 3"}, 2, "by the rules of the next version: 2 of the 3"),
    ],
)
def test_too_few_agree(hall: Hall, changes: dict[str, str], signers: int, sentence: str) -> None:
    before = (hall.consortium / "charter.json").read_bytes()
    hall.draft(**changes)
    hall.sign(*(hall.machine(school) for school in SCHOOLS[:signers]))
    for code, said in (hall.adopt(), hall.accept("school-1")):
        assert (code, sentence in " ".join(said.split())) == (2, True), said
    assert (hall.consortium / "charter.json").read_bytes() == before
    assert not (hall.consortium / "charters").exists()
    assert not (hall.home("school-1") / "charters").exists()


def test_what_cannot_change_is_not_even_signed(hall: Hall) -> None:
    present = Charter.from_bytes(hall.town.charter.read_bytes())
    for before, after, what in (
        (present.log.public_key, OTHER_KEY, "log is another one, and cannot change"),
        (present.aggregator.public_key, OTHER_KEY, "aggregator is another one"),
        (present.members[0].log_public_key, OTHER_KEY, "the key of the log of school-1"),
        ("version = 2", "version = 3", "it is version 3 after"),
        ('previous = "sha256:', 'previous = "sha256:' + "0" * 64 + '"#', "in force is version 1"),
        ('consortium = "demo-consortium"', 'consortium = "other"', "consortium is another one"),
    ):
        hall.draft(**{before: after})
        result = hall.run("consortium", "charter", "sign", hall.toml, "--key",
                          hall.machine("school-1"), "--charter", hall.town.charter)  # fmt: skip
        assert (result.exit_code, what in one_sentence(result)) == (2, True), result.output
        assert not hall.signed.exists()


def test_a_machine_gets_another_key(hall: Hall) -> None:
    home = hall.home("school-1")
    old = load_keys(home / "keys").public_key
    new = hall.run("school", "charter", "new-key", "--home", home).stdout.strip()
    assert hall.run("school", "charter", "new-key", "--home", home).stdout.strip() == new != old
    hall.draft(**{old: new})
    hall.sign(hall.machine("school-1"), hall.machine("school-2"), hall.machine("school-3"))
    code, said = hall.adopt()
    assert (code, "the machine of school-1 has another key" in said) == (0, True)
    assert hall.accept("school-1")[0] == 0
    assert load_keys(home / "keys").public_key == new
    assert not (home / "keys" / "school.next.pem").exists()
    with open_school(home) as school:
        assert school.signer.public_key == new
    assert hall.accept("school-2")[0] == 0


def test_a_key_that_is_not_here_and_a_school_that_is_left_out(hall: Hall) -> None:
    old = load_keys(hall.home("school-1") / "keys").public_key
    hall.draft(**{old: OTHER_KEY})
    hall.sign(hall.machine("school-2"), hall.machine("school-3"))
    code, said = hall.accept("school-1")
    assert (code, "which is not in this home" in " ".join(said.split())) == (2, True)
    hall.signed.unlink()
    text = hall.toml.read_text()
    parts = text.split("[[members]]")
    left = [part for part in parts[1:] if '"school-1"' not in part]
    hall.toml.write_text("[[members]]".join([parts[0], *left]))
    hall.sign(hall.machine("school-2"), hall.machine("school-3"))
    code, said = hall.accept("school-1")
    assert (code, "a member no more then" in " ".join(said.split())) == (2, True)
    assert not (hall.home("school-1") / "charters").exists()
    assert hall.adopt()[0] == 0
    assert hall.accept("school-2")[0] == 0


def test_a_school_that_was_left_out_and_is_back_keeps_its_home(hall: Hall) -> None:
    hall.draft()
    whole = hall.toml.read_text().split("[[members]]")
    hall.toml.write_text("[[members]]".join(p for p in whole if 'name = "school-1"' not in p))
    hall.sign(hall.machine("school-2"), hall.machine("school-3"))
    assert hall.adopt()[0] == 0
    without, charter = hall.toml.with_name("without.dsse.json"), hall.consortium / "charter.json"
    hall.signed.rename(without)
    hall.draft()
    own = next(part for part in whole if 'name = "school-1"' in part)
    hall.toml.write_text(f"{hall.toml.read_text()}\n[[members]]{own}")
    for school in ("school-2", "school-3"):
        signed = hall.run("consortium", "charter", "sign", hall.toml, "--key", hall.machine(school),
                          "--charter", charter)  # fmt: skip
        assert signed.exit_code == 0, signed.output
    assert hall.adopt()[0] == 0
    home = hall.home("school-1")
    for wrong, sentence in (
        ([without], "a member no more then"),
        ([hall.signed], "it is version 3 after"),
        ([hall.signed, without], "it is version 3 after"),
    ):
        result = hall.run("school", "charter", "accept", *wrong, "--home", home)
        assert (result.exit_code, sentence in one_sentence(result)) == (2, True), result.output
        assert not (home / "charters").exists()
    result = hall.run("school", "charter", "accept", without, hall.signed, "--home", home)
    assert result.exit_code == 0, result.output
    with open_school(home) as back:
        assert (back.log_problem, back.rules.charter.version) == (None, 3)
        told = [e.entry for e in back.log.entries() if isinstance(e.entry, CharterAccepted)]
    versions = [each.digest() for each in read_charters(home).versions]
    assert [(e.previous_digest, e.charter_digest) for e in told] == list(pairwise(versions))
    assert read_charters(home).versions == read_charters(hall.consortium).versions
    lines = verify_path(hall.town.root).lines
    assert next(line for line in lines if line.check == "charter").status == "PASS", lines


def test_people_sign_from_the_next_version_on(
    hall: Hall, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FEDTRACE_KEY_PASSPHRASE", WORDS)
    people = ""
    keys = []
    for school in SCHOOLS:
        for role in ("privacy_officer", "it"):
            key = tmp_path / f"{school}.{role}.pem"
            keys.append(key)
            public_key = hall.run("key", "new", key).stdout.strip()
            people += f'{school}|{{ role = "{role}", public_key = "{public_key}" }}\n'
    hall.draft(**{"people_per_member = 1": "people_per_member = 2"})
    text = hall.toml.read_text()
    for school in SCHOOLS:
        mine = [line.split("|")[1] for line in people.splitlines() if line.startswith(school)]
        text = text.replace(
            f'name = "{school}"', f'name = "{school}"\npeople = [{", ".join(mine)}]'
        )
    hall.toml.write_text(text.replace("\npeople = []", ""))
    hall.sign(hall.machine("school-1"), hall.machine("school-2"))
    code, said = hall.adopt()
    assert (code, "by the rules of the next version: 0 of the 2" in " ".join(said.split())) == (
        2,
        True,
    )
    hall.sign(*keys[:4])
    assert hall.adopt()[0] == 0
    assert hall.accept("school-1")[0] == 0
    charter = hall.consortium / "charter.json"
    refused = hall.run("plan", "sign", hall.town.plan, "--key", hall.machine("school-1"),
                       "--charter", charter)  # fmt: skip
    assert "people sign for it: privacy_officer, it" in one_sentence(refused)
    alone = hall.run("plan", "sign", hall.town.plan, "--key", keys[0], "--charter", charter)
    assert (alone.exit_code, "by school-1 (privacy_officer)" in alone.stdout) == (0, True)
    status = hall.run("plan", "status", hall.town.plan.with_suffix(".dsse.json"), "--charter",
                      charter)  # fmt: skip
    assert "signed by 0 members, 2 are needed" in status.stdout
    assert "begun by school-1: 1 more of its people must sign" in status.stdout


def test_a_version_is_not_accepted_twice_and_a_broken_chain_is_not_believed(hall: Hall) -> None:
    hall.draft(**{"threshold = 2": "threshold = 3"})
    hall.sign(*(hall.machine(school) for school in SCHOOLS))
    assert (hall.adopt()[0], hall.adopt()[0]) == (0, 2)
    envelope = hall.consortium / "charters" / "2.dsse.json"
    content = envelope.read_bytes()
    envelope.unlink()
    status = hall.run("consortium", "status", "--home", hall.consortium)
    assert (status.exit_code, "2.dsse.json is missing" in status.stderr) == (2, True)
    value = json.loads(content)
    value["signatures"] = value["signatures"][:1]
    envelope.write_text(json.dumps(value))
    status = hall.run("consortium", "status", "--home", hall.consortium)
    assert (status.exit_code, "was not agreed to" in status.stderr) == (2, True)


@pytest.mark.parametrize("crash_after", ["charters/1.json", "charters/2.dsse.json", "log", "key"])
def test_a_crash_while_accepting_is_ended_by_the_same_command(
    hall: Hall, crash_after: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = hall.home("school-1")
    old = load_keys(home / "keys").public_key
    new = hall.run("school", "charter", "new-key", "--home", home).stdout.strip()
    hall.draft(**{old: new})
    hall.sign(*(hall.machine(school) for school in SCHOOLS))
    break_after(crash_after, monkeypatch)
    code, said = hall.accept("school-1")
    assert (code, "the disk is full" in said) == (4, True), said
    monkeypatch.undo()
    code, said = hall.accept("school-1")
    assert code == 0, said
    with open_school(home) as school:
        assert school.rules.charter.version == 2
        accepted = [e for e in school.log.entries() if isinstance(e.entry, CharterAccepted)]
        assert len(accepted) == 1
    assert load_keys(home / "keys").public_key == new


def test_no_second_version_2_after_the_school_told_of_one(hall: Hall) -> None:
    home = hall.home("school-1")
    founding = (home / "charter.json").read_bytes()
    hall.draft(**{"threshold = 2": "threshold = 3"})
    hall.sign(*(hall.machine(school) for school in SCHOOLS))
    first = hall.signed.read_bytes()
    assert hall.accept("school-1")[0] == 0
    (home / "charter.json").write_bytes(founding)
    with open_school(home) as school:
        assert school.log_problem is not None
        assert "tells that it accepted another one since" in school.log_problem
    hall.signed.unlink()
    hall.draft(**{"people_per_member = 1": "people_per_member = 1\nwitness_quorum = 3"})
    hall.sign(*(hall.machine(school) for school in SCHOOLS))
    code, said = hall.accept("school-1")
    assert (code, "accepted another one since" in " ".join(said.split())) == (2, True), said
    assert (home / "charters" / "2.dsse.json").read_bytes() == first
    hall.signed.write_bytes(first)
    assert hall.accept("school-1")[0] == 0
    with open_school(home) as school:
        assert (school.log_problem, school.rules.charter.threshold) == (None, 3)


def test_a_key_that_took_over_before_a_crash_is_not_the_next_one_again(
    hall: Hall, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = hall.home("school-1")
    old = load_keys(home / "keys").public_key
    new = hall.run("school", "charter", "new-key", "--home", home).stdout.strip()
    hall.draft(**{old: new})
    hall.sign(*(hall.machine(school) for school in SCHOOLS))

    def unlink(path: Path, *, missing_ok: bool = False) -> None:
        if path.name == "school.next.pem":
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        really(path, missing_ok=missing_ok)

    really = Path.unlink
    monkeypatch.setattr(Path, "unlink", unlink)
    assert hall.accept("school-1")[0] == 4
    monkeypatch.undo()
    assert (home / "keys" / "school.next.pem").exists()
    assert hall.accept("school-1")[0] == 0
    assert load_keys(home / "keys").public_key == new
    assert hall.run("school", "charter", "new-key", "--home", home).stdout.strip() != new


def break_after(step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk is full at the first write after a step."""
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    if step == "charters/2.dsse.json":
        monkeypatch.setattr(Log, "append_many", Mock(side_effect=full))
        return
    fails = {"charters/1.json": "2.dsse.json", "log": "policy.dsse.json", "key": "charter.json"}

    def write(path: Path, content: bytes, *, replace: bool = False) -> None:
        if path.name == fails[step]:
            raise full
        write_private(path, content, replace=replace)

    monkeypatch.setattr("fedtrace.client.charters.write_private", write)
