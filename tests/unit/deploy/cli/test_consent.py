"""``fedtrace school consent`` and ``hold`` as the school's office types them."""

from __future__ import annotations

import json
import zipfile
from datetime import UTC, datetime

from sqlalchemy import update
from support.consents import consent_csv
from support.town import Run, Town, one_sentence

from fedtrace.client.home import open_school
from fedtrace.client.sqlite import to_utc, writing
from fedtrace.client.vault import Fold
from fedtrace.client.vault_tables import students
from fedtrace.governance.ledger import PrivacyEvent
from fedtrace.governance.log.entries import ConsentChanged, HoldLifted, HoldPlaced

GIVEN = "given,guardian,2090-01-01,,"
YES = ("local_training", "share_protected_update")


def test_a_list_is_taken_in_and_counts_are_told(run: Run, town: Town) -> None:
    notice = town.root / "notice.txt"
    notice.write_text("What we do with answers.")
    lines = [f"pupil-{n},adaptive_practice,{item},{GIVEN}" for n in (0, 1) for item in YES]
    path = consent_csv(town.root / "list.csv", *lines, "pupil-2,,,refused,eligible_student,,,")
    result = run("school", "consent", "import", path, "--home", town.home, "--notice", notice)
    assert (result.exit_code, "consents of 3 students" in result.stdout) == (0, True), result.output
    listed = run("school", "consent", "list", "--home", town.home)
    assert "local_training for adaptive_practice: 2 given" in listed.stdout
    assert "local_training for adaptive_practice: 1 refused" in listed.stdout
    counts = json.loads(run("school", "consent", "list", "--home", town.home, "--json").stdout)
    assert sum(count["students"] for count in counts) == 2 * 2 + 12
    with open_school(town.home) as school:
        entry = school.log.entries()[-1].entry
        assert isinstance(entry, ConsentChanged)
        assert (entry.students, entry.given, entry.refused) == ("1-9", "1-9", "10-19")
        assert not school.vault.journal


def test_a_consent_for_a_student_who_is_not_here(run: Run, town: Town) -> None:
    path = consent_csv(town.root / "list.csv", "nobody,,,refused,guardian,,,")
    result = run("school", "consent", "import", path, "--home", town.home)
    assert result.exit_code == 1
    assert "1 lines are about students of whom no record is here" in result.stderr
    assert "(lines 2)" in result.stderr
    for command in (
        ("withdraw", "nobody"),
        ("show", "nobody"),
        *(("record", "nobody", *options()),),
    ):
        result = run("school", "consent", *command, "--home", town.home)
        assert result.exit_code == 2
        said = one_sentence(result)
        assert said.startswith("no record of a student with this number is here")
        assert "nobody" not in said


def options(**changes: str) -> list[str]:
    values = {
        "state": "requested",
        "authority": "guardian",
        "purpose": "adaptive_practice",
        "item": "local_training",
        **changes,
    }
    return [part for name, value in values.items() for part in (f"--{name}", value)]


def test_what_a_person_says_is_recorded_and_shown(run: Run, town: Town) -> None:
    form = town.root / "form.pdf"
    form.write_bytes(b"signed")
    for extra in (
        options(),
        [
            *options(state="given", evidence=str(form), notice=str(form), language="es-MX"),
            *("--valid-until", "2090-01-01"),
        ],
    ):
        result = run("school", "consent", "record", "pupil-0", "--home", town.home, *extra)
        assert result.exit_code == 0, result.output
    assert "recorded as given: it counts from the next round on" in result.stdout
    shown = run("school", "consent", "show", "pupil-0", "--home", town.home)
    first, second = shown.stdout.splitlines()
    assert first.endswith("by guardian (replaced since)")
    assert "given: local_training for adaptive_practice, by guardian, valid until 2090" in second
    (_, given) = json.loads(
        run("school", "consent", "show", "pupil-0", "--home", town.home, "--json").stdout
    )
    assert given["notice_digest"] == given["evidence_digest"]
    assert given["notice_language"] == "es-MX"
    assert run("school", "consent", "show", "pupil-1", "--home", town.home).stdout == (
        "nothing is on file about this student\n"
    )


def test_what_cannot_be_recorded_is_said_plainly(run: Run, town: Town) -> None:
    for extra, sentence in (
        (options(state="given"), "needs valid_until, and the notice"),
        (options(purpose="fun"), "--purpose must be one of adaptive_practice"),
        (options(**{"valid-until": "soon"}), "--valid-until must be a date"),
        (options()[:4], "name what was said: --purpose and --item"),
    ):
        result = run("school", "consent", "record", "pupil-0", "--home", town.home, *extra)
        assert (result.exit_code, sentence in one_sentence(result)) == (2, True), result.output


def test_a_withdrawal_in_a_round_counts_from_the_next_on(run: Run, town: Town) -> None:
    with open_school(town.home) as gate:
        gate.store.reserve(
            PrivacyEvent(
                plan_digest="sha256:" + "a" * 64,
                run_id="run-1",
                round=7,
                kind="train",
                noise_multiplier=1.0,
                sampling_rate=0.5,
                count=1,
                trust_mode="local",
                student_year="2026/27",
            ),
            order_digest="sha256:" + "b" * 64,
            checkpoint_digest="sha256:" + "c" * 64,
            now=datetime.now(UTC),
        )
        result = run("school", "consent", "withdraw", "pupil-0", "--home", town.home)
        assert result.exit_code == 0
        assert "round 7 is being answered and was settled before" in result.stdout
        assert "the gate writes it into the log" in result.stdout
        assert len(gate.vault.journal) == 1
        before = len(gate.log)
        for _ in range(2):
            gate.catch_up(now=datetime.now(UTC))
        assert [each.entry.type for each in gate.log.entries()[before:]] == ["consent.changed"]
        assert gate.vault.summary(datetime.now(UTC)).by_fold[Fold.TRAIN] <= 5


def test_holds_by_name(run: Run, town: Town) -> None:
    at_home = ("--home", town.home)
    placed = run(
        *("school", "hold", "place", *at_home, "--matter", "litigation", "--student", "pupil-0")
    )
    assert placed.exit_code == 0, placed.output
    name = placed.stdout.split()[1]
    assert f"{name}: student, litigation" in run("school", "hold", "list", *at_home).stdout
    (found,) = json.loads(run("school", "hold", "list", *at_home, "--json").stdout)
    assert (found["hold"], found["scope"]) == (name, "student")
    refused = run("school", "hold", "lift", name, *at_home)
    assert (refused.exit_code, "add --yes" in one_sentence(refused)) == (2, True)
    assert run("school", "hold", "lift", name, *at_home, "--yes").exit_code == 0
    assert run("school", "hold", "list", *at_home).stdout == "no hold is in force\n"
    with open_school(town.home) as school:
        *_, first, last = (each.entry for each in school.log.entries())
    assert first == HoldPlaced(request=name, scope="student", matter="litigation")
    assert last == HoldLifted(request=name)
    for extra, sentence in (
        (("--matter", "spite", "--everybody"), "--matter must be one of litigation"),
        (("--matter", "litigation"), "name one student with --student"),
        (("--matter", "litigation", "--everybody", "--student", "pupil-0"), "name one student"),
    ):
        result = run("school", "hold", "place", *at_home, *extra)
        assert (result.exit_code, sentence in one_sentence(result)) == (2, True)


def test_a_student_is_erased_for_good(run: Run, town: Town) -> None:
    at_home = ("--home", town.home)
    assert "add --yes" in run("school", "erase", "pupil-0", *at_home).stderr
    assert run("school", "erase", "nobody", *at_home, "--yes").exit_code == 2
    held = run(
        "school", "hold", "place", *at_home, "--matter", "litigation", "--student", "pupil-1"
    )
    assert held.exit_code == 0
    refused = run("school", "erase", "pupil-1", *at_home, "--yes")
    assert refused.exit_code == 3
    erased = run("school", "erase", "pupil-0", *at_home, "--yes")
    assert erased.exit_code == 0, erased.output
    assert "nothing of the record is left" in erased.stdout
    again = json.loads(run("school", "erase", "pupil-0", *at_home, "--yes", "--json").stdout)
    assert again["files"] >= 2
    assert again["certificate"] is None
    (path,) = (town.home / "certificates").iterdir()
    checked = run("audit", "certificate", path, "--charter", town.charter, "--log", town.home)
    assert (checked.exit_code, "tells of all 1" in checked.stdout) == (0, True), checked.output
    alone = run("audit", "certificate", path, "--charter", town.charter)
    assert (alone.exit_code, "add --log" in alone.stdout) == (1, True)
    other = town.root / "schools" / "school-2"
    foreign = run("audit", "certificate", path, "--charter", town.charter, "--log", other)
    assert (foreign.exit_code, "not school-1's" in foreign.stdout) == (2, True), foreign.output
    path.write_bytes(path.read_bytes().replace(b'"sig":"', b'"sig":"AAAA', 1))
    assert run("audit", "certificate", path, "--charter", town.charter).exit_code == 2
    imported = run("school", "import", town.export, *town.import_options())
    assert "left out, because they were erased here: 1" in imported.stdout
    status = json.loads(run("school", "status", *at_home, "--json").stdout)
    assert sum(status["students"].values()) == 4
    assert b"record.erased" in (town.home / "log" / "entries.jsonl").read_bytes()
    assert b"pupil" not in (town.home / "log" / "entries.jsonl").read_bytes()


def test_what_is_over_its_time_is_told_and_destroyed(run: Run, town: Town) -> None:
    at_home = ("--home", town.home)
    nothing = run("school", "retention", "due", *at_home)
    assert (nothing.exit_code, "nothing is over its time" in nothing.stdout) == (0, True)
    assert "nothing was destroyed" in run("school", "retention", "apply", *at_home, "--yes").stdout
    with open_school(town.home) as school:
        engine = school.vault.files.engine
        with writing(engine) as connection:
            long_ago = to_utc(datetime(2020, 1, 2, tzinfo=UTC))
            connection.execute(update(students).values(retain_until=long_ago))
    told = run("school", "retention", "due", *at_home)
    assert told.exit_code == 1
    assert "5 records of students are over their time, the oldest since 2020-01-02" in told.stdout
    assert json.loads(run("school", "retention", "due", *at_home, "--json").stdout)["records"] == 5
    assert "add --yes" in run("school", "retention", "apply", *at_home).stderr
    done = run("school", "retention", "apply", *at_home, "--yes")
    assert (done.exit_code, "destroyed: 5 records" in done.stdout) == (0, True), done.output
    (path,) = (town.home / "certificates").iterdir()
    checked = run("audit", "certificate", path, "--charter", town.charter, "--log", town.home)
    assert (checked.exit_code, "tells of all 5" in checked.stdout) == (0, True), checked.output
    assert run("audit", "verify", town.home).exit_code in (0, 1)


def test_the_register_is_printed(run: Run) -> None:
    told = run("school", "retention", "explain")
    assert "school vault: students" in told.stdout
    lines = json.loads(run("school", "retention", "explain", "--json").stdout)
    assert {"place", "name", "about", "why", "keep", "from", "removed_by"} <= set(lines[0])


def test_a_student_gets_everything_that_is_held(run: Run, town: Town) -> None:
    at_home = ("--home", town.home)
    assert (
        run("school", "accept", town.envelope, *at_home, "--catalogue", town.catalogue).exit_code
        == 0
    )
    assert (
        run("school", "hold", "place", *at_home, "--matter", "litigation", "--everybody").exit_code
        == 0
    )
    said = run("school", "consent", "record", "pupil-0", *at_home, *options(state="refused"))
    assert said.exit_code == 0, said.output
    out = town.root / "everything.zip"
    given = run("school", "access", "pupil-0", *at_home, "--out", out)
    assert given.exit_code == 0, given.output
    assert out.stat().st_mode & 0o777 == 0o600
    with zipfile.ZipFile(out) as package:
        names = set(package.namelist())
        everything = json.loads(package.read("everything.json"))
        page = package.read("index.html").decode()
        answers = package.read("answers.csv").decode().splitlines()
    assert {"index.html", "everything.json", "answers.csv", "rounds.csv"} <= names
    assert [answer["skill"] for answer in everything["answers"]] == ["add"] * 4
    assert answers == ["order,skill,correct", *(f"{n},add,{(n - 1) % 2}" for n in range(1, 5))]
    assert {each["state"] for each in everything["consents"]} == {"refused"}
    assert [each["scope"] for each in everything["holds"]] == ["school"]
    assert "On hold" in page
    assert "pupil" not in page
    log = (town.home / "log" / "entries.jsonl").read_bytes()
    assert b"access.given" in log
    assert b"pupil" not in log
    again = run("school", "access", "pupil-0", *at_home, "--out", out)
    assert (again.exit_code, "there already" in one_sentence(again)) == (2, True)
    nobody = run("school", "access", "nobody", *at_home, "--out", town.root / "x.zip")
    assert (nobody.exit_code, (town.root / "x.zip").exists()) == (2, False)


def test_of_a_student_who_was_erased_nothing_is_held(run: Run, town: Town) -> None:
    at_home = ("--home", town.home)
    assert run("school", "erase", "pupil-0", *at_home, "--yes").exit_code == 0
    out = town.root / "everything.zip"
    result = run("school", "access", "pupil-0", *at_home, "--out", out)
    assert (result.exit_code, "destroyed on request" in one_sentence(result)) == (2, True)
    assert not out.exists()
