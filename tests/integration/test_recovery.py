"""From a backup of running homes to a server that schools refuse, and to a person's decision."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from flwr.app import Message
from support.consistency import check_consortium, logged
from support.federation import Delivery, Federation, Wire, accept
from support.homes import CATALOGUE, MAPPING

from fedtrace.client.home import open_school
from fedtrace.client.ledger_export import export_ledger, import_ledger
from fedtrace.client.students import erase_student
from fedtrace.deploy.recovery import sealing
from fedtrace.deploy.recovery.backup import Taken, take_backup
from fedtrace.deploy.recovery.drill import drill
from fedtrace.deploy.recovery.errors import BackupError
from fedtrace.deploy.recovery.restore import restore
from fedtrace.deploy.simulation.grid import Node
from fedtrace.deploy.status import school_status
from fedtrace.governance.errors import Corrupt, PolicyError
from fedtrace.governance.log.entries import OrderRefused, RoundReserved, RunClosed, SchoolRefused
from fedtrace.governance.refusals import RefusalCode
from fedtrace.server import witnessing
from fedtrace.server.consortium import open_consortium
from fedtrace.server.lost import abandon
from fedtrace.server.restored import is_unconfirmed

PASSPHRASE = "five words that nobody guesses"


class Died(BaseException):
    """As final as a power cut."""


@pytest.fixture(autouse=True)
def _cheap_passphrases(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sealing, "_COST", 2**14)


@pytest.fixture
def backups(folder: Path) -> Iterator[Path]:
    place = folder / "backups"
    place.mkdir()
    yield place
    shutil.rmtree(place)


def in_round_2(federation: Federation, do: Callable[[], object], *, die: bool = False) -> Wire:
    """A wire on which something happens while the last school is asked in round 2."""
    return in_round(federation, 2, do, die=die)


def in_round(
    federation: Federation, number: int, do: Callable[[], object], *, die: bool = False
) -> Wire:
    """The same in any round."""

    def fault(delivery: Delivery) -> Iterable[Message]:
        answer = delivery.handed_over()
        do()
        if die:
            raise Died
        yield answer

    return Wire(federation, faults={(federation.schools[-1], number): fault})


def saved(federation: Federation, backups: Path, *, die: bool = False) -> Path:
    """Back the consortium up in the middle of round 2, then run on or die."""
    backup = backups / "consortium.backup"
    home = federation.workspace.consortium_home

    def back_up() -> Taken:
        return take_backup(home, "consortium", backup, passphrase=PASSPHRASE, now=datetime.now(UTC))

    wire = in_round_2(federation, back_up, die=die)
    if die:
        with pytest.raises(Died):
            federation.run(wire=wire)
    else:
        assert federation.run(wire=wire).reason == "completed"
    return backup


def paid_for(federation: Federation) -> list[list[int]]:
    """The rounds in every school's ledger."""
    found = []
    for name in federation.schools:
        with open_school(federation.home(name)) as school:
            found.append([entry.event.round for entry in school.store.ledger()])
    return found


def put_back(home: Path, backup: Path, kind: str, newer_log: Path | None = None) -> None:
    """Lose a home and restore it."""
    shutil.rmtree(home)
    restore(backup, home, kind, passphrase=PASSPHRASE, newer_log=newer_log)  # type: ignore[arg-type]


@pytest.mark.system
def test_a_backup_of_a_running_consortium_goes_on_where_it_was(
    federation: Federation, backups: Path
) -> None:
    backup = saved(federation, backups, die=True)
    manifest, lines = drill(backup, "consortium", passphrase=PASSPHRASE, now=datetime.now(UTC))
    assert {line.status for line in lines if line.check in ("home", "backup.age")} == {"PASS"}
    assert not [line for line in lines if line.status == "FAIL"]
    assert manifest.name == "demo-consortium"
    home = federation.workspace.consortium_home
    put_back(home, backup, "consortium")
    assert is_unconfirmed(home)
    outcome = federation.run()
    assert outcome.reason == "completed"
    assert [each.round for each in outcome.rounds] == [1, 2, 3]
    assert not is_unconfirmed(home)
    check_consortium(federation.workspace)


def test_a_server_restored_from_an_older_backup_is_refused_until_a_person_decides(
    federation: Federation, backups: Path
) -> None:
    backup = saved(federation, backups)
    home, first = federation.workspace.consortium_home, federation.home(federation.schools[0])
    put_back(home, backup, "consortium")
    before = (home / "log" / "entries.jsonl").read_bytes()
    for _ in range(2):
        with pytest.raises(Corrupt, match="restored from an older copy"):
            federation.run()
    with pytest.raises(PolicyError, match="with --log FOLDER"):
        accept(federation.workspace, "too-early", now=datetime.now(UTC))
    # It added nothing that contradicts what the schools have seen.
    assert (home / "log" / "entries.jsonl").read_bytes() == before
    assert not any((federation.home(school) / "evidence").exists() for school in federation.schools)

    put_back(home, backup, "consortium", newer_log=first / "consortium-log")
    with pytest.raises(Corrupt, match="give the job up with `fedtrace consortium abandon`"):
        federation.run()  # what that job did since is lost, and is not done a second time
    with closing(open_consortium(home)) as consortium:
        size = consortium.log.size
        closed = abandon(consortium, federation.plans["usual"].digest(), now=datetime.now(UTC))
        assert consortium.log.size == size  # the log knows already how that job ended
    assert (closed.reason, closed.rounds) == ("completed", 3)
    plan = accept(federation.workspace, "a-new-plan", now=datetime.now(UTC))
    later = Federation(workspace=federation.workspace, plans={"usual": plan})
    outcome = later.run()
    # The year's budget is nearly spent, and the ledgers of the schools remember that.
    assert outcome.reason in ("completed", "budget_exhausted", "quorum_not_reached")
    refusals = [e for e in logged(home) if isinstance(e, SchoolRefused)]
    assert {each.code for each in refusals} <= {RefusalCode.R11}


@pytest.mark.parametrize("opened_before", [True, False], ids=["in round 2", "before round 1"])
@pytest.mark.system
def test_a_job_that_the_database_lost_is_given_up_and_never_asked_for_twice(
    federation: Federation, backups: Path, opened_before: bool
) -> None:
    home, school = federation.workspace.consortium_home, federation.home(federation.schools[0])
    backup, digest = backups / "consortium.backup", federation.plans["usual"].digest()

    def back_up() -> None:
        take_backup(home, "consortium", backup, passphrase=PASSPHRASE, now=datetime.now(UTC))

    if opened_before:
        saved(federation, backups, die=True)
        refusal = "nothing is lost: start the job again"
    else:
        back_up()
        refusal = "there is none to give up"
    with closing(open_consortium(home)) as consortium, pytest.raises(PolicyError, match=refusal):
        abandon(consortium, digest, now=datetime.now(UTC))
    with pytest.raises(Died):
        federation.run(wire=in_round(federation, 3, lambda: None, die=True))
    put_back(home, backup, "consortium", newer_log=school / "consortium-log")
    paid = paid_for(federation)
    with pytest.raises(Corrupt, match="give the job up with `fedtrace consortium abandon`"):
        federation.run()
    with closing(open_consortium(home)) as consortium:
        closed = abandon(consortium, digest, now=datetime.now(UTC))
    assert (closed.reason, closed.rounds) == ("abandoned", 2)
    with pytest.raises(PolicyError, match="was given up after round 2"):
        federation.run()
    assert paid_for(federation) == paid
    assert [e for e in logged(home) if isinstance(e, RunClosed)] == [closed]
    plan = accept(federation.workspace, "a-new-plan", now=datetime.now(UTC))
    later = Federation(workspace=federation.workspace, plans={"usual": plan})
    assert later.run().reason in ("completed", "budget_exhausted", "quorum_not_reached")
    # The auditor is told that round 3 was paid for and is summed nowhere.
    check_consortium(federation.workspace, warnings=["updates.received"] * 3)


@pytest.mark.system
def test_a_restored_server_waits_for_a_quorum_of_witnesses(
    federation: Federation, backups: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backup = saved(federation, backups, die=True)
    home = federation.workspace.consortium_home
    put_back(home, backup, "consortium")
    monkeypatch.setattr(witnessing, "AGAIN_SECONDS", 0.01)
    before = (home / "log" / "entries.jsonl").read_bytes()
    waited = timedelta(0)

    class Patient:
        def now(self) -> datetime:
            return datetime.now(UTC) + waited

    def nobody(node_id: int, message: Message, node: Node) -> Iterable[Message]:
        nonlocal waited
        waited += timedelta(seconds=20)
        return ()

    with pytest.raises(ConnectionError, match="0 of the 2 schools needed"):
        federation.run(wire=nobody, clock=Patient())  # type: ignore[arg-type]
    assert (home / "log" / "entries.jsonl").read_bytes() == before
    assert is_unconfirmed(home)


@pytest.mark.system
def test_a_log_that_is_older_or_anothers_is_not_brought(
    federation: Federation, backups: Path
) -> None:
    home, school = federation.workspace.consortium_home, federation.home(federation.schools[0])
    older = backups / "older"
    shutil.copytree(home / "log", older)
    backup = saved(federation, backups)
    for wrong, why in ((older, "does not continue"), (school / "log", "does not hold a copy")):
        with pytest.raises(BackupError, match=why):
            restore(backup, backups / "new", "consortium", passphrase=PASSPHRASE, newer_log=wrong)
        assert not (backups / "new").exists()


def school_backup(federation: Federation, backups: Path) -> tuple[Path, Path]:
    """The first school's home, and a backup of it with its keys."""
    home, backup = federation.home(federation.schools[0]), backups / "school.backup"
    take_backup(home, "school", backup, passphrase=PASSPHRASE, now=datetime.now(UTC))
    return home, backup


def test_a_restored_school_waits_for_a_person_and_for_what_it_spent(
    federation: Federation, backups: Path
) -> None:
    home, backup = school_backup(federation, backups)
    with pytest.raises(Died):
        federation.run(wire=in_round_2(federation, lambda: None, die=True))
    with open_school(home) as opened:
        newest = export_ledger(opened)
    put_back(home, backup, "school")
    with open_school(home) as opened:
        assert opened.store.kill_switch
        assert opened.store.ledger() == ()
    with pytest.raises(Died):
        federation.run(wire=in_round_2(federation, lambda: None, die=True))
    with open_school(home) as opened:
        opened.set_kill_switch(False, now=datetime.now(UTC))
    with pytest.raises(Died):
        federation.run(wire=in_round_2(federation, lambda: None, die=True))
    refused = [(e.code, e.clause) for e in logged(home) if isinstance(e, OrderRefused)]
    assert refused == [(RefusalCode.R17, "policy.kill_switch"), (RefusalCode.R20, "node.rollback")]
    with open_school(home) as opened:
        import_ledger(newest, opened)
    assert federation.run().reason == "completed"
    with open_school(home) as opened:
        assert [entry.event.round for entry in opened.store.ledger()] == [1, 2, 3, 4]


def test_a_home_that_runs_in_two_places_pays_only_once(
    federation: Federation, backups: Path
) -> None:
    """The second learns from the consortium's log of an answer that it never gave, and stops."""
    home, copy = federation.home(federation.schools[0]), backups / "copy"
    shutil.copytree(home, copy)
    with pytest.raises(Died):
        federation.run(wire=in_round_2(federation, lambda: None, die=True))
    with open_school(home) as opened:
        spent = opened.store.ledger()
    home.rename(backups / "first")  # from here on, orders reach the other machine
    copy.rename(home)
    outcome = federation.run()
    assert outcome.reason == "completed"
    refused = [(each.code, each.clause) for each in logged(home) if isinstance(each, OrderRefused)]
    assert set(refused) == {(RefusalCode.R20, "node.rollback")}
    with open_school(home) as opened:
        assert opened.store.ledger() == ()
        problems = school_status(opened, now=datetime.now(UTC)).problems
        later = school_status(opened, now=datetime.now(UTC) + timedelta(days=8)).problems
    assert [entry.event.round for entry in spent] == [1, 2]
    assert any("order was refused" in each and "node.rollback" in each for each in problems)
    assert not any("order was refused" in each for each in later)


@pytest.mark.system
def test_a_school_that_forgot_what_it_paid_refuses_also_by_its_own_log(
    federation: Federation, backups: Path
) -> None:
    """The disk of the database was set back in mid-round, the log was not."""
    school = federation.schools[0]
    home = federation.home(school)
    before = backups / "school.db"
    with open_school(home) as opened:
        kept = export_ledger(opened)
    shutil.copyfile(home / "school.db", before)
    with pytest.raises(Died):
        federation.run(wire=in_round_2(federation, lambda: None, die=True))
    with open_school(home) as opened:
        newest = export_ledger(opened)
    shutil.copyfile(before, home / "school.db")
    shutil.rmtree(home / "consortium-log")  # nobody but the school's own log remembers
    reserved = [e.round for e in logged(home) if isinstance(e, RoundReserved)]
    assert reserved == [1, 2]
    with open_school(home) as opened:
        problems = school_status(opened, now=datetime.now(UTC)).problems
    assert any("the log tells of rounds that the ledger lacks" in each for each in problems)
    with pytest.raises(Died):
        federation.run(wire=in_round_2(federation, lambda: None, die=True))
    assert [e.round for e in logged(home) if isinstance(e, RoundReserved)] == reserved
    assert b'"clause":"node.rollback"' in (home / "log" / "entries.jsonl").read_bytes()
    with open_school(home) as opened:
        assert import_ledger(kept, opened) == 0
        assert import_ledger(newest, opened) == 2
    outcome = federation.run()
    assert outcome.reason == "completed"
    with open_school(home) as opened:
        assert {entry.event.round for entry in opened.store.ledger()} == {1, 2, 3, 4}


def test_a_restore_undoes_no_erasure(federation: Federation, backups: Path) -> None:
    home, backup = school_backup(federation, backups)
    school = federation.schools[0]
    table = federation.workspace.root.parent / "tables" / f"{school}.csv"
    student = table.read_text().splitlines()[1].partition(",")[0]
    with open_school(home) as opened:
        token = opened.vault.find(student)
        there = len(opened.vault)
        erase_student(opened, student, now=datetime.now(UTC))
    damaged = backups / "damaged"
    shutil.copytree(home / "log", damaged)
    put_back(home, backup, "school", newer_log=damaged)
    with open_school(home) as opened:
        assert len(opened.vault) == there - 1
        assert token not in opened.vault.tokens()
        report = opened.import_csv(table, MAPPING, CATALOGUE, now=datetime.now(UTC))
        assert report.students_erased == 1
        assert opened.vault.token_of(student) is None


@pytest.mark.system
def test_a_backup_without_keys_says_what_to_bring_back(
    federation: Federation, backups: Path
) -> None:
    home, backup = federation.home(federation.schools[0]), backups / "open.backup"
    (home / "keys" / "runs").mkdir()
    (home / "keys" / "runs" / "one-run.key").write_text("a mask's")
    (home / "network" / "jobs").mkdir(parents=True)
    (home / "network" / "superlink.db").write_text("messages")
    (home / "note.txt").write_text("somebody's")
    taken = take_backup(home, "school", backup, passphrase=None, now=datetime.now(UTC))
    assert taken.strangers == ("note.txt",)
    assert not any(b"PRIVATE KEY" in path.read_bytes() for path in (backup,))
    assert (home / "keys" / "vault.key").read_bytes() not in backup.read_bytes()
    keys = ("keys/log.pem", "keys/school.pem", "keys/vault.key")
    assert taken.manifest.left_out == keys
    _, lines = drill(backup, "school", passphrase=None, now=datetime.now(UTC))
    assert {line.check: line.status for line in lines}["backup.keys"] == "WARN"
    assert {line.check: line.status for line in lines}["databases"] == "PASS"
    new = backups / "new"
    restored = restore(backup, new, "school", passphrase=None)
    assert restored.missing == keys
    assert not (new / "keys").exists()
    shutil.copytree(home / "keys", new / "keys", ignore=shutil.ignore_patterns("runs"))
    with open_school(new) as opened:
        opened.vault.require_key()
        assert opened.store.kill_switch
    with pytest.raises(FileExistsError, match="never overwrites"):
        restore(backup, new, "school", passphrase=None)
    with pytest.raises(BackupError, match="fedtrace school restore"):
        restore(backup, backups / "other", "consortium", passphrase=None)
    with pytest.raises(BackupError, match="lies in the home"):
        take_backup(home, "school", home / "b", passphrase=None, now=datetime.now(UTC))
    (home / "consent.csv").write_text("student\n")
    with pytest.raises(BackupError, match=r"consent\.csv"):
        take_backup(home, "school", backups / "c", passphrase=None, now=datetime.now(UTC))


@pytest.mark.system
def test_every_backup_beside_a_writer_is_of_one_moment(
    federation: Federation, backups: Path
) -> None:
    """A ledger that lacked a round of its log would keep the restored school from training."""
    home = federation.home(federation.schools[0])
    ended = threading.Event()

    def train() -> None:
        federation.run()
        ended.set()

    worker = threading.Thread(target=train)
    worker.start()
    moments = 0
    while not ended.is_set() and moments < 12:
        backup = backups / f"{moments}.backup"
        take_backup(home, "school", backup, passphrase=None, now=datetime.now(UTC))
        moments += 1
    worker.join()
    for number in range(moments):
        new = backups / str(number)
        restore(backups / f"{number}.backup", new, "school", passphrase=None)
        shutil.copytree(home / "keys", new / "keys")
        with open_school(new) as opened:
            assert opened.log_problem is None
            assert not opened.paid.forgotten(opened.log, opened.store.ledger())
    assert moments > 1
