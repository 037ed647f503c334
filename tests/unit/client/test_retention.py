"""What is over its time is destroyed, wherever it is cut off, and the school signs for it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import delete, event, select
from support.gate import NOW, plan_with
from support.school_home import envelope_of, new_school

from fedtrace.client.cohorts import CohortBook
from fedtrace.client.home import open_school
from fedtrace.client.ingest.catalogue import Catalogue
from fedtrace.client.retention import CERTIFICATES, Destroyed, destroy_due, due, finish_cut_off
from fedtrace.client.school import School
from fedtrace.client.sealing import StudentRecord
from fedtrace.client.sqlite import reading, writing
from fedtrace.client.vault_tables import cohorts, drop_deleted, new_request, wrapped_keys
from fedtrace.governance.canonical import digest
from fedtrace.governance.certificate import Certificate, open_certificate, sign_certificate
from fedtrace.governance.errors import Rejected
from fedtrace.governance.log.entries import CohortRemoved, RecordErased
from fedtrace.governance.signing import SignatureError, generate_key

CATALOGUE = Catalogue(skills=["Area", "Sums"])
PLAN = plan_with({"data.skills": 2, "data.skill_catalogue_digest": CATALOGUE.digest()})
LATER = NOW + timedelta(days=30)
LONG_AFTER = NOW + timedelta(days=366 * 4)


@pytest.fixture
def school(tmp_path: Path) -> Iterator[School]:
    """Two students of whom one is over its time at ``LATER``."""
    with new_school(tmp_path / "home") as opened:
        keep(opened, "old", days=20)
        keep(opened, "new", days=400)
        yield opened


def keep(school: School, student: str, *, days: int) -> str:
    answers = np.zeros(300, dtype=np.int8)
    record = StudentRecord(external_id=student, skills=answers.astype(np.int32), correct=answers)
    (token,) = school.vault.add(
        [record], retain_until=NOW + timedelta(days=days), catalogue_digest=CATALOGUE.digest()
    )
    return token


def keep_round(school: School, tokens: list[str], *, plan_digest: str) -> str:
    class Order:
        run_id, round, kind = "run-1", 7, "train"

    Order.plan_digest = plan_digest  # type: ignore[attr-defined]
    root = digest(b"root")
    book: CohortBook = school.vault.cohorts
    book.keep(tokens, bytes(range(32)), root=root, order=Order(), now=NOW)  # type: ignore[arg-type]
    return root


def all_bytes(home: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted((home / "vault").iterdir()))


def finished(school: School) -> Destroyed:
    done = destroy_due(school, now=LATER)
    assert done is not None
    return done


def test_nothing_is_due_before_its_time(school: School) -> None:
    found = due(school, now=NOW)
    assert found.nothing
    assert found.records.next_due == NOW + timedelta(days=20)
    assert destroy_due(school, now=NOW) is None
    assert len(school.vault) == 2


def test_what_is_over_its_time_is_destroyed_logged_and_certified(school: School) -> None:
    token = school.vault.find("old")
    found = due(school, now=LATER)
    assert (found.records.due, found.records.oldest) == ((token,), NOW + timedelta(days=20))
    done = finished(school)
    assert token.encode() not in all_bytes(school.home)
    assert school.vault.token_of("old") is None
    assert len(school.vault) == 1
    certificate = open_certificate(done.path.read_bytes(), school.rules.charter)
    assert certificate == done.certificate
    assert done.path.stat().st_mode & 0o777 == 0o600
    (entry,) = [e.entry for e in school.log.entries() if isinstance(e.entry, RecordErased)]
    (named,) = certificate.records
    assert (entry.request, entry.token_digest) == (named.request, named.token_digest)
    assert entry.token_digest == digest(token.encode())
    assert certificate.files >= 2
    assert due(school, now=LATER).nothing
    # Its time was over; nobody asked for it to stay away, so next year's records come in.
    assert keep(school, "old", days=800) != token


def test_a_hold_keeps_what_is_over_its_time(school: School) -> None:
    token = school.vault.find("old")
    hold = school.vault.holds.place(token, matter="litigation", now=NOW)
    found = due(school, now=LATER)
    assert (found.records.due, found.records.held, found.nothing) == ((), 1, True)
    assert destroy_due(school, now=LATER) is None
    school.vault.holds.lift(hold.request)
    assert len(finished(school).certificate.records) == 1


def test_a_hold_that_comes_after_a_start_is_kept_to(
    school: School, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dies(*_: object, **__: object) -> None:
        raise OSError("the disk is gone")

    with monkeypatch.context() as patched:
        patched.setattr("fedtrace.client.retention.destroy", dies)
        with pytest.raises(OSError, match="the disk is gone"):
            destroy_due(school, now=LATER)
    assert due(school, now=LATER).begun
    school.vault.holds.place(None, matter="investigation", now=LATER)
    assert destroy_due(school, now=LATER) is None
    assert len(school.vault) == 2
    assert not due(school, now=LATER).begun


class Died(BaseException):
    """As final for the code under test as a power cut."""


@pytest.mark.parametrize("at", range(1, 40, 3))
def test_a_destruction_that_dies_anywhere_is_finished(
    at: int, school: School, monkeypatch: pytest.MonkeyPatch
) -> None:
    token, count = school.vault.find("old"), 0

    def tick(*_: object) -> None:
        nonlocal count
        count += 1
        if count == at:
            raise Died

    engine = school.vault.files.engine
    event.listen(engine, "before_cursor_execute", tick)
    event.listen(engine, "commit", tick)

    def drop(*arguments: object) -> None:
        tick()
        drop_deleted(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr("fedtrace.client.destruction.drop_deleted", drop)
    died = False
    try:
        destroy_due(school, now=LATER)
    except Died:
        died = True
    school.close()
    monkeypatch.undo()
    with open_school(school.home) as again:
        done = destroy_due(again, now=LATER)
        assert (done is not None) == died
        assert token.encode() not in all_bytes(again.home)
        erased = [e.entry for e in again.log.entries() if isinstance(e.entry, RecordErased)]
        assert [entry.token_digest for entry in erased] == [digest(token.encode())]
        (path,) = (again.home / CERTIFICATES).iterdir()
        certificate = open_certificate(path.read_bytes(), again.rules.charter)
        assert [each.request for each in certificate.records] == [erased[0].request]


def test_an_erasure_that_was_cut_off_is_due_at_once(
    school: School, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = school.vault.find("new")

    def no_entry(*_: object) -> None:
        raise Died

    with monkeypatch.context() as patched:  # the key is gone and the row is not
        patched.setattr("fedtrace.client.destruction.stage", no_entry)
        entry = RecordErased(request=new_request(), token_digest=digest(token.encode()))
        with pytest.raises(Died):
            school.vault.erase(token, external_id="new", entry=entry)
    assert due(school, now=NOW).records.cut_short == (token,)
    done = destroy_due(school, now=NOW)
    assert done is not None
    assert token.encode() not in all_bytes(school.home)
    assert school.vault.is_erased("new")


def test_a_gate_finishes_what_was_cut_off(school: School, monkeypatch: pytest.MonkeyPatch) -> None:
    old, new = school.vault.find("old"), school.vault.find("new")

    def cut(*_: object) -> None:
        raise Died

    assert finish_cut_off(school, now=LATER) == 0  # what nobody has started is left alone
    assert len(school.vault) == 2
    with monkeypatch.context() as patched:
        patched.setattr("fedtrace.client.destruction.stage", cut)
        with pytest.raises(Died):
            destroy_due(school, now=LATER)
        entry = RecordErased(request=new_request(), token_digest=digest(new.encode()))
        with pytest.raises(Died):
            school.vault.erase(new, external_id="new", entry=entry)
    assert finish_cut_off(school, now=LATER) == 2
    found = all_bytes(school.home)
    assert old.encode() not in found
    assert new.encode() not in found
    erased = [e.entry for e in school.log.entries() if isinstance(e.entry, RecordErased)]
    assert {e.token_digest for e in erased} == {digest(old.encode()), digest(new.encode())}
    assert len(erased) == 2
    assert finish_cut_off(school, now=LATER) == 0


def test_what_cannot_be_finished_now_stops_no_gate(
    school: School, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = school.vault.find("new")
    with writing(school.vault.files.engine) as connection:
        connection.execute(delete(wrapped_keys).where(wrapped_keys.c.token == token))

    def busy(*_: object) -> None:
        raise TimeoutError("another process is reading")

    with monkeypatch.context() as patched:
        patched.setattr("fedtrace.client.destruction.drop_deleted", busy)
        assert finish_cut_off(school, now=NOW) == 0
    assert due(school, now=NOW).nothing


def test_who_was_in_a_round_goes_when_its_model_goes(school: School) -> None:
    signed = school.accept_plan(envelope_of(PLAN, school), CATALOGUE.to_json(), now=NOW)
    root = keep_round(school, [school.vault.find("new")], plan_digest=signed.digest)
    assert due(school, now=LATER).cohorts == ()
    assert due(school, now=LONG_AFTER).cohorts == (root,)
    with reading(school.vault.files.engine) as connection:
        pseudonym = connection.execute(select(cohorts.c.pseudonyms)).scalar_one()
    assert pseudonym in all_bytes(school.home)
    done = destroy_due(school, now=LONG_AFTER)
    assert done is not None
    assert [each.cohort_root for each in done.certificate.cohorts] == [root]
    assert pseudonym not in all_bytes(school.home)
    assert any(isinstance(e.entry, CohortRemoved) for e in school.log.entries())
    with pytest.raises(ValueError, match="destroyed when its time was over"):
        school.vault.cohorts.commitment(root)
    assert due(school, now=LONG_AFTER).nothing


def test_a_round_stays_under_a_hold_and_where_nobody_knows_how_long(school: School) -> None:
    signed = school.accept_plan(envelope_of(PLAN, school), CATALOGUE.to_json(), now=NOW)
    keep_round(school, [school.vault.find("new")], plan_digest=signed.digest)
    school.vault.holds.place(school.vault.find("new"), matter="litigation", now=NOW)
    found = due(school, now=LONG_AFTER)
    assert (found.cohorts, found.cohorts_held) == ((), 1)
    (school.home / "plans" / signed.digest.replace(":", "-") / "plan.dsse.json").unlink()
    found = due(school, now=LONG_AFTER)
    assert (found.cohorts_held, found.unreadable_plans) == (0, 1)


def test_a_certificate_of_somebody_else_is_none(school: School) -> None:
    done = finished(school)
    stranger = sign_certificate(done.certificate, generate_key())
    with pytest.raises(SignatureError):
        open_certificate(stranger, school.rules.charter)
    unknown = done.certificate.model_copy(update={"school": "school-9"})
    with pytest.raises(Rejected, match="does not name the school school-9"):
        open_certificate(sign_certificate(unknown, school.signer), school.rules.charter)
    assert Certificate.from_bytes(done.certificate.to_bytes()) == done.certificate
