"""A school's home: made once, whole or refused, and everything that happens is in its log."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from support.consents import consent_record
from support.gate import NOW, charter, plan_with, policy_with, signer
from support.school_home import SCHOOL, charter_with_keys_in, envelope_of, new_school

from fedtrace.client.home import initialise_school, open_school
from fedtrace.client.ingest.catalogue import Catalogue
from fedtrace.client.ingest.mapping import Columns, Mapping
from fedtrace.client.keys import create_keys, load_keys
from fedtrace.client.school import School
from fedtrace.client.vault import Fold
from fedtrace.governance.charter_history import CharterHistory
from fedtrace.governance.consent import ConsentState
from fedtrace.governance.errors import Corrupt, PolicyError
from fedtrace.governance.ledger import round_event, student_year
from fedtrace.governance.log.entries import ImportCompleted, SchoolInitialised
from fedtrace.governance.plan_signing import sign_plan
from fedtrace.governance.refusals import Refused
from fedtrace.governance.witnessing import school_origin

CATALOGUE = Catalogue(skills=["Area", "Sums"])
PLAN = plan_with({"data.skills": 2, "data.skill_catalogue_digest": CATALOGUE.digest()})
MAPPING = Mapping(columns=Columns(student="student", skill="skill", correct="correct", order="at"))


@pytest.fixture
def school(tmp_path: Path) -> Iterator[School]:
    with new_school(tmp_path / "home") as opened:
        yield opened


@pytest.fixture
def home(tmp_path: Path) -> Path:
    with new_school(tmp_path / "home") as opened:
        return opened.home


def export(path: Path, students: int = 12) -> Path:
    lines = ["at,student,email,skill,correct"]
    lines += [
        f"{at},pupil-{student},p{student}@example.org,{CATALOGUE.skills[at % 2]},{at % 2}"
        for student in range(students)
        for at in range(3)
    ]
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def logged(school: School) -> list[str]:
    return [item.entry.type for item in school.log.entries()]


# --- making and opening -------------------------------------------------------------------------


def test_a_new_home_is_private_and_says_so_in_its_log(school: School) -> None:
    (first,) = school.log.entries()
    assert first.entry == SchoolInitialised(
        school=SCHOOL,
        charter_digest=school.rules.charter.digest(),
        policy_digest=school.rules.policy.digest(),
    )
    assert (
        school.log.origin
        == school_origin(school.rules.charter, SCHOOL)
        == "county/schools/school-1"
    )
    for path in (school.home / "keys").iterdir():
        assert path.stat().st_mode & 0o777 == 0o600
    for path in school.home.rglob("*"):
        if path.is_file():
            assert path.stat().st_mode & 0o022 == 0, path
    assert repr(school) == "School(school-1)"


def test_a_home_is_made_once(school: School) -> None:
    with pytest.raises(FileExistsError, match="is a school's home already"):
        initialise_school(
            school.home,
            charters=CharterHistory(versions=(school.rules.charter,)),
            policy=school.rules.policy,
            now=NOW,
        )
    with pytest.raises(FileExistsError, match="never replaced"):
        create_keys(school.home / "keys")


def test_a_call_that_was_cut_off_can_be_repeated(home: Path) -> None:
    with open_school(home) as school:
        rules = school.rules
    (home / "school.toml").unlink()
    with pytest.raises(PolicyError, match="not a school's home"):
        open_school(home)
    with initialise_school(
        home, charters=CharterHistory(versions=(rules.charter,)), policy=rules.policy, now=NOW
    ) as again:
        assert logged(again) == ["school.initialised"]


def test_the_charter_must_name_this_school_with_these_keys(tmp_path: Path) -> None:
    own = charter_with_keys_in(tmp_path)
    with pytest.raises(PolicyError, match="other keys for school-2"):
        initialise_school(
            tmp_path,
            charters=CharterHistory(versions=(own,)),
            policy=policy_with({"school": "school-2"}),
            now=NOW,
        )
    with pytest.raises(PolicyError, match="other keys for school-1"):
        initialise_school(
            tmp_path,
            charters=CharterHistory(versions=(charter(),)),
            policy=policy_with({"school": SCHOOL}),
            now=NOW,
        )
    with pytest.raises(PolicyError, match="does not name school-9"):
        initialise_school(
            tmp_path,
            charters=CharterHistory(versions=(own,)),
            policy=policy_with({"school": "school-9"}),
            now=NOW,
        )


def test_a_key_that_others_can_read_is_refused(home: Path) -> None:
    (home / "keys" / "vault.key").chmod(0o640)
    with pytest.raises(PermissionError, match=r"vault\.key has mode 640"):
        open_school(home)


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [("vault.key", b"00", "32 bytes in hexadecimal"), ("school.pem", b"no key", "PEM private key")],
)
def test_a_key_that_is_none(home: Path, name: str, content: bytes, sentence: str) -> None:
    (home / "keys" / name).write_bytes(content)
    with pytest.raises(ValueError, match=sentence):
        load_keys(home / "keys")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("retention_days = 0", "retention_days: Input should be greater"),
        ("retention = 3", "retention: Extra inputs"),
        ("retention_days", "not TOML"),
    ],
)
def test_settings_are_strict(home: Path, content: str, sentence: str) -> None:
    (home / "school.toml").write_text(content, encoding="utf-8")
    with pytest.raises(PolicyError, match=sentence):
        open_school(home)


# --- no log, no training --------------------------------------------------------------------------


def test_a_second_process_can_look_but_not_act(school: School, tmp_path: Path) -> None:
    with open_school(school.home) as other:
        assert other.log_problem is not None
        assert "another process" in other.log_problem
        assert not other.state(None, schema_fingerprint="", now=NOW).log_healthy
        with pytest.raises(BlockingIOError, match="another process"):
            other.import_csv(export(tmp_path / "a.csv"), MAPPING, CATALOGUE, now=NOW)
        assert len(other.vault) == 0


def test_a_log_cut_short_keeps_training_off(home: Path) -> None:
    with open_school(home) as school:
        school.set_kill_switch(True, now=NOW)
    entries = home / "log" / "entries.jsonl"
    lines = entries.read_bytes().splitlines(keepends=True)
    entries.write_bytes(b"".join(lines[:-1]))
    with open_school(home) as again:
        assert not again.state(None, schema_fingerprint="", now=NOW).log_healthy
        assert again.store.kill_switch


def test_the_kill_switch_is_in_the_log(school: School) -> None:
    assert school.set_kill_switch(True, now=NOW)
    assert school.state(None, schema_fingerprint="", now=NOW).kill_switch
    assert school.set_kill_switch(False, now=NOW)
    assert not school.store.kill_switch
    school.catch_up(now=NOW)  # there is nothing left to write down
    assert logged(school)[1:] == ["kill_switch.changed", "kill_switch.changed"]


@pytest.mark.parametrize("on", [True, False])
def test_the_kill_switch_works_while_the_gate_has_the_log(school: School, on: bool) -> None:
    school.set_kill_switch(not on, now=NOW)
    before = len(school.log)
    with open_school(school.home) as other:
        assert not other.set_kill_switch(on, now=NOW)
    assert school.state(None, schema_fingerprint="", now=NOW).kill_switch is on
    school.catch_up(now=NOW)
    school.catch_up(now=NOW)
    assert logged(school)[before:] == ["kill_switch.changed"]


def test_the_kill_switch_stops_even_with_a_damaged_log(home: Path) -> None:
    with open_school(home) as school:
        school.set_kill_switch(True, now=NOW)
        school.set_kill_switch(False, now=NOW)
    (home / "log" / "entries.jsonl").write_bytes(b"")
    with open_school(home) as school:
        with pytest.raises(Corrupt):
            school.set_kill_switch(True, now=NOW)
        assert school.store.kill_switch
        with pytest.raises(Corrupt):
            school.set_kill_switch(False, now=NOW)
        assert school.store.kill_switch


# --- plans ---------------------------------------------------------------------------------------


def test_a_plan_is_accepted_found_and_verified_again(school: School) -> None:
    assert school.find_plan(PLAN.digest()) is None
    signed = school.accept_plan(envelope_of(PLAN, school), CATALOGUE.to_json(), now=NOW)
    assert school.find_plan(PLAN.digest()) == signed
    assert signed.signers == (SCHOOL, "school-2")
    assert school.plans.catalogue(PLAN.digest()) == CATALOGUE
    assert logged(school)[-1] == "plan.accepted"


def test_a_plan_accepted_again_keeps_the_signatures_that_it_had(school: School) -> None:
    school.accept_plan(envelope_of(PLAN, school), CATALOGUE.to_json(), now=NOW)
    again = sign_plan(PLAN, [school.signer, signer("school-3")])
    school.accept_plan(again, CATALOGUE.to_json(), now=NOW)
    kept = school.find_plan(PLAN.digest())
    assert kept is not None
    assert kept.signers == (SCHOOL, "school-2", "school-3")


def test_what_is_not_accepted(school: School) -> None:
    envelope = envelope_of(PLAN, school)
    stranger = sign_plan(PLAN, [signer("stranger"), signer("school-2")])
    with pytest.raises(Refused, match="R01"):
        school.accept_plan(stranger, CATALOGUE.to_json(), now=NOW)
    with pytest.raises(ValueError, match="not the one that the plan names"):
        school.accept_plan(envelope, Catalogue(skills=["Gossip", "Sums"]).to_json(), now=NOW)
    three = plan_with({"data.skills": 3, "data.skill_catalogue_digest": CATALOGUE.digest()})
    with pytest.raises(ValueError, match="the plan has 3 skills"):
        school.accept_plan(envelope_of(three, school), CATALOGUE.to_json(), now=NOW)
    others = plan_with({"schools.members": ["school-2", "school-3"]})
    with pytest.raises(ValueError, match="does not name the school school-1"):
        school.accept_plan(envelope_of(others, school), CATALOGUE.to_json(), now=NOW)
    assert school.store.plans() == ()
    assert logged(school) == ["school.initialised"]


def test_a_plan_file_that_was_changed_stops_everything(school: School) -> None:
    school.accept_plan(envelope_of(PLAN, school), CATALOGUE.to_json(), now=NOW)
    path = school.home / "plans" / PLAN.digest().replace(":", "-") / "plan.dsse.json"
    path.write_bytes(envelope_of(plan_with({"rounds.count": 7}), school))
    with pytest.raises(Corrupt, match="holds another plan"):
        school.find_plan(PLAN.digest())
    path.unlink()
    with pytest.raises(Corrupt, match="is gone"):
        school.find_plan(PLAN.digest())


# --- students ------------------------------------------------------------------------------------


def test_an_import_is_stored_logged_and_has_a_retention(school: School, tmp_path: Path) -> None:
    report = school.import_csv(export(tmp_path / "a.csv"), MAPPING, CATALOGUE, now=NOW)
    assert (report.students, report.rows_kept, report.columns_dropped) == (12, 36, ("email",))
    entry = school.log.entries()[-1].entry
    assert isinstance(entry, ImportCompleted)
    assert entry == ImportCompleted(
        request=entry.request,
        students="10-19",
        rows_kept="20-49",
        rows_rejected="0",
        columns_kept=4,
        columns_dropped=1,
    )
    content = b"".join(path.read_bytes() for path in school.home.rglob("*") if path.is_file())
    assert b"pupil-" not in content
    assert b"example.org" not in content
    kept = timedelta(days=school.settings.retention_days)
    assert school.vault.summary(NOW + kept - timedelta(seconds=1)).past_retention == 0
    assert school.vault.summary(NOW + kept).past_retention == 12


def test_a_dry_run_only_reports(school: School, tmp_path: Path) -> None:
    path = export(tmp_path / "a.csv")
    report = school.import_csv(path, MAPPING, CATALOGUE, now=NOW, dry_run=True)
    assert report.dry_run
    assert report.students == 12
    assert len(school.vault) == 0
    assert logged(school) == ["school.initialised"]


def test_the_cohort_follows_consent_retention_and_catalogue(school: School, tmp_path: Path) -> None:
    school.import_csv(export(tmp_path / "a.csv", 40), MAPPING, CATALOGUE, now=NOW)
    plan = plan_with(
        {
            "legal_basis": "school_official",
            "data.skills": 2,
            "data.skill_catalogue_digest": CATALOGUE.digest(),
        }
    )
    before = school.freeze_cohort(plan, fold=Fold.TRAIN, now=NOW)
    assert len(before) == school.vault.summary(NOW).by_fold[Fold.TRAIN]
    assert before.size_bucket in ("10-19", "20-49")
    again = school.freeze_cohort(plan, fold=Fold.TRAIN, now=NOW)
    assert again.tokens == before.tokens
    assert again.root != before.root  # a salt of its own
    assert before.tokens[0] not in repr(before)

    gone = before.tokens[0]
    withdrawn = consent_record(state=ConsentState.WITHDRAWN, purpose=plan.purpose)
    school.vault.consents.record({gone: [withdrawn]}, request="0" * 32, now=NOW)
    after = school.freeze_cohort(plan, fold=Fold.TRAIN, now=NOW)
    assert after.tokens == before.tokens[1:]
    assert after.root != before.root

    left = school.home / "consent.csv"  # an office's list that nobody imported may hold a "no"
    left.touch()
    with pytest.raises(Refused, match=r"R18 \(consent\.records\)"):
        school.freeze_cohort(plan, fold=Fold.TRAIN, now=NOW)
    left.unlink()

    other = plan_with({"legal_basis": "school_official"})  # another catalogue: other skills
    assert len(school.freeze_cohort(other, fold=Fold.TRAIN, now=NOW)) == 0
    late = NOW + timedelta(days=school.settings.retention_days)
    assert len(school.freeze_cohort(plan, fold=Fold.TRAIN, now=late)) == 0


def test_the_state_for_a_decision(school: School, tmp_path: Path) -> None:
    plan = plan_with(
        {
            "legal_basis": "school_official",
            "data.skills": 2,
            "data.skill_catalogue_digest": CATALOGUE.digest(),
        }
    )
    signed = school.accept_plan(envelope_of(plan, school), CATALOGUE.to_json(), now=NOW)
    later = NOW + timedelta(minutes=5)
    school.import_csv(export(tmp_path / "a.csv"), MAPPING, CATALOGUE, now=later)
    state = school.state(signed, schema_fingerprint="sha256:f", now=NOW)
    assert state.eligible_students == 12
    assert state.newest_record_at == later
    assert state.log_healthy
    assert state.free_bytes > 0
    assert (state.ledger, state.last_round, state.kill_switch) == ((), None, False)
    assert state.schema_fingerprint == "sha256:f"
    assert school.state(None, schema_fingerprint="", now=NOW).eligible_students == 0


def test_what_one_plan_promised_for_the_year_binds_the_next(school: School) -> None:
    data = {"data.skills": 2, "data.skill_catalogue_digest": CATALOGUE.digest()}
    first, second = (
        school.accept_plan(envelope_of(plan, school), CATALOGUE.to_json(), now=NOW)
        for plan in (
            plan_with(data),
            plan_with(data | {"name": "later", "privacy.epsilon_student_year": 9.0}),
        )
    )
    event = round_event(
        first.plan,
        plan_digest=first.digest,
        run_id="run-1",
        round_number=1,
        kind="train",
        year=student_year(NOW, school.rules.policy.student_year_first_month),
    )
    school.store.reserve(event, order_digest="o", checkpoint_digest="c", now=NOW)
    privacy = first.plan.privacy
    state = school.state(second, schema_fingerprint="", now=NOW)
    assert state.promises == {(privacy.epsilon_student_year, privacy.delta)}
    assert school.state(first, schema_fingerprint="", now=NOW).promises == frozenset()
    next_year = NOW + timedelta(days=366)
    assert school.state(second, schema_fingerprint="", now=next_year).promises == frozenset()
    (school.home / "plans" / first.digest.replace(":", "-") / "plan.dsse.json").unlink()
    with pytest.raises(Corrupt, match="is gone"):
        school.state(second, schema_fingerprint="", now=NOW)
