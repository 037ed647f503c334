"""The vault: what comes back, what cannot be read in its files, and what is gone after erasing."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pytest
from sqlalchemy import event, select
from support.consents import consent_record

from fedtrace.client.sealing import StudentRecord
from fedtrace.client.vault import Fold, Vault
from fedtrace.client.vault_tables import wrapped_keys
from fedtrace.governance.consent import ConsentState, Item, Terms
from fedtrace.governance.errors import Corrupt
from fedtrace.governance.plan import LegalBasis
from fedtrace.governance.refusals import Refused

NOW = datetime(2026, 11, 2, 8, tzinfo=UTC)
LATER = NOW + timedelta(days=365)
KEY = bytes(range(32))
CATALOGUE = "sha256:" + "c" * 64


@pytest.fixture
def vault(tmp_path: Path) -> Iterator[Vault]:
    opened = Vault(tmp_path / "vault", KEY)
    yield opened
    opened.close()


def record(external_id: str, length: int = 5, *, seed: int = 0) -> StudentRecord:
    rng = np.random.default_rng(seed)
    return StudentRecord(
        external_id=external_id,
        skills=rng.integers(0, 100, length, dtype=np.int32),
        correct=rng.integers(0, 2, length, dtype=np.int8),
    )


def add(
    vault: Vault,
    records: Sequence[StudentRecord],
    *,
    folds: Mapping[str, Fold] = MappingProxyType({}),
    retain_until: datetime = LATER,
) -> tuple[str, ...]:
    return vault.add(records, retain_until=retain_until, catalogue_digest=CATALOGUE, folds=folds)


def all_bytes(directory: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(directory.rglob("*")) if path.is_file())


def test_records_come_back_in_the_order_asked(vault: Vault) -> None:
    students = [record(f"pupil-{number}", length=number, seed=number) for number in range(1200)]
    tokens = add(vault, students)
    back = vault.read(tokens[::-1])
    assert len(back) == len(students) == len(vault)
    for given, (skills, correct) in zip(students[::-1], back, strict=True):
        np.testing.assert_array_equal(skills, given.skills)
        np.testing.assert_array_equal(correct, given.correct)
        assert (str(skills.dtype), str(correct.dtype)) == ("int32", "int8")


def test_a_second_import_meets_the_same_token_and_fold_and_replaces(vault: Vault) -> None:
    (token,) = add(vault, [record("a")], folds={"a": Fold.TEST})
    again = add(vault, [record("a", 9, seed=1), record("b")])
    assert again[0] == token == vault.token_of("a")
    assert token in whole_cohort(vault, Fold.TEST)
    assert len(vault.read([token])[0][0]) == 9
    with pytest.raises(ValueError, match="fold is test"):
        add(vault, [record("a")], folds={"a": Fold.TRAIN})


def test_a_failed_import_leaves_nothing(vault: Vault) -> None:
    broken = StudentRecord(
        external_id="b", skills=np.zeros(2, np.int32), correct=np.zeros(3, np.int8)
    )
    with pytest.raises(ValueError, match="do not match"):
        add(vault, [record("a"), broken])
    assert len(vault) == 0


def test_a_full_disk_is_named_and_loses_nothing(vault: Vault) -> None:
    (before,) = add(vault, [record("a")])
    with vault._engine.connect() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        connection.exec_driver_sql(f"PRAGMA max_page_count={pages + 2}")
    with pytest.raises(OSError, match="the disk is full") as caught:
        add(vault, [record(str(number), 5000, seed=number) for number in range(10)])
    assert "parameters hidden" in str(caught.value.__cause__)
    assert len(vault) == 1
    assert len(vault.read([before])) == 1


def test_a_writer_that_waits_too_long_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fedtrace.client.sqlite.BUSY_TIMEOUT_SECONDS", 0.1)
    vault = Vault(tmp_path / "vault", KEY)
    other = sqlite3.connect(tmp_path / "vault" / "students.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(TimeoutError, match="another process kept the database locked"):
        add(vault, [record("a")])
    other.close()
    add(vault, [record("a")])
    vault.close()


def test_folds_are_drawn_about_seventy_ten_twenty(vault: Vault) -> None:
    add(vault, [record(str(number), 1) for number in range(2000)])
    summary = vault.summary(NOW)
    assert summary.students == sum(summary.by_fold.values()) == 2000
    assert 1300 < summary.by_fold[Fold.TRAIN] < 1500
    assert 130 < summary.by_fold[Fold.VALIDATION] < 270
    assert 310 < summary.by_fold[Fold.TEST] < 490


def test_reopened_with_another_key_it_says_so(tmp_path: Path) -> None:
    first = Vault(tmp_path, KEY)
    tokens = add(first, [record("a")])
    first.close()
    with pytest.raises(ValueError, match="32 bytes"):
        Vault(tmp_path, b"short")
    other = Vault(tmp_path, bytes(32))
    with pytest.raises(Corrupt, match="does not open"):
        other.read(tokens)
    assert other.token_of("a") is None
    other.close()


def test_swapped_records_do_not_open(vault: Vault, tmp_path: Path) -> None:
    one, two = add(vault, [record("a"), record("b", seed=1)])
    vault.close()
    swap(tmp_path / "vault", one, two)
    with pytest.raises(Corrupt, match="does not open"):
        vault.read([one])


def swap(directory: Path, one: str, two: str) -> None:
    database = sqlite3.connect(directory / "students.db")
    ((record_two,),) = database.execute("SELECT record FROM students WHERE token = ?", (two,))
    database.execute("UPDATE students SET record = ? WHERE token = ?", (record_two, one))
    database.commit()
    database.close()


# --- what the files show ------------------------------------------------------------------------


def test_files_hold_nothing_in_clear_and_belong_to_the_owner(vault: Vault, tmp_path: Path) -> None:
    skills = np.full(40, 0x4B434148, dtype=np.int32)  # "HACK", over and over
    add(
        vault,
        [StudentRecord(external_id="Zoë-Quartz-4711", skills=skills, correct=np.ones(40, np.int8))],
    )
    content = all_bytes(tmp_path)
    for clear in ("Zoë-Quartz-4711".encode(), b"4711", skills.tobytes()[:16], bytes([1] * 16)):
        assert clear not in content
    for path in (tmp_path / "vault").iterdir():
        assert path.stat().st_mode & 0o077 == 0, path.name


def test_record_sizes_do_not_tell_lengths(vault: Vault, tmp_path: Path) -> None:
    add(vault, [record("a", 1), record("b", 100)])
    database = sqlite3.connect(tmp_path / "vault" / "students.db")
    sizes = {size for (size,) in database.execute("SELECT length(record) FROM students")}
    database.close()
    assert len(sizes) == 1


def test_no_repr_shows_data(vault: Vault) -> None:
    student = record("secret-id")
    (token,) = add(vault, [student])
    for shown in (repr(vault), repr(student)):
        assert "secret-id" not in shown
        assert token not in shown


# --- erasure ----------------------------------------------------------------------------------


def test_erased_is_erased(vault: Vault, tmp_path: Path) -> None:
    keep, goes = add(vault, [record("keep", 50), record("goes", 300, seed=3)])
    database = sqlite3.connect(tmp_path / "vault" / "students.db")
    ((sealed,),) = database.execute("SELECT record FROM students WHERE token = ?", (goes,))
    database.close()
    keys = sqlite3.connect(tmp_path / "vault" / "keys.db")
    ((wrapped,),) = keys.execute("SELECT wrapped_key FROM wrapped_keys WHERE token = ?", (goes,))
    keys.close()
    pieces = [sealed[start : start + 24] for start in range(0, len(sealed) - 24, 24)]
    before = all_bytes(tmp_path)
    assert wrapped in before
    assert any(piece in before for piece in pieces)

    evidence = vault.erase(goes)

    after = all_bytes(tmp_path)
    assert goes.encode() not in after
    assert wrapped not in after
    assert not any(piece in after for piece in pieces)
    assert evidence.files >= 2
    assert evidence.searched_bytes > 0
    assert vault.token_of("goes") is None
    assert len(vault.read([keep])) == 1
    with pytest.raises(LookupError):
        vault.read([goes])
    with pytest.raises(LookupError):
        vault.erase(goes)


def test_an_erasure_beside_a_reader_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fedtrace.client.sqlite.BUSY_TIMEOUT_SECONDS", 0.1)
    vault = Vault(tmp_path / "vault", KEY)
    (token,) = add(vault, [record("a")])
    reader = sqlite3.connect(tmp_path / "vault" / "keys.db", isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM wrapped_keys").fetchall()
    with pytest.raises(TimeoutError, match="another process"):
        vault.erase(token)
    with pytest.raises(LookupError):
        vault.read([token])
    reader.close()
    with pytest.raises(LookupError):
        vault.erase(token)
    assert token.encode() not in all_bytes(tmp_path)
    vault.close()


def test_a_student_who_comes_back_after_erasure_is_somebody_new(vault: Vault) -> None:
    (token,) = add(vault, [record("a")])
    vault.erase(token)
    (new,) = add(vault, [record("a")])
    assert new != token


def test_an_erased_student_does_not_come_back_with_an_old_export(
    vault: Vault, tmp_path: Path
) -> None:
    keep, goes = add(vault, [record("keep"), record("goes")])
    hashed = vault._sealer.hash_of("goes")
    assert hashed in all_bytes(tmp_path)
    vault.erase(goes, external_id="goes")
    assert vault.is_erased("goes")
    assert not vault.is_erased("keep")
    assert add(vault, [record("goes"), record("keep"), record("goes")]) == (keep,)
    assert add(vault, [record("goes")]) == ()
    assert len(vault) == 1
    assert hashed not in all_bytes(tmp_path)
    assert vault.finish_erasure("goes").files >= 2


def keys_in(vault: Vault) -> int:
    with vault._engine.connect() as connection:
        return len(connection.execute(select(wrapped_keys)).all())


class Died(BaseException):
    """As final for the code under test as a power cut."""


@pytest.mark.parametrize("at", range(1, 20))  # every statement, commit and clean-up
def test_an_erasure_that_dies_anywhere_can_be_finished(
    at: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vault = Vault(tmp_path / "vault", KEY)
    (token,) = add(vault, [record("goes", 100)])
    count = 0

    def tick(*_: object) -> None:
        nonlocal count
        count += 1
        if count == at:
            raise Died

    engine = vault.files.engine
    event.listen(engine, "before_cursor_execute", tick)
    event.listen(engine, "commit", tick)
    monkeypatch.setattr("fedtrace.client.destruction.drop_deleted", tick)
    try:
        vault.erase(token, external_id="goes")
    except Died:
        assert count == at
    vault.close()
    monkeypatch.undo()

    again = Vault(tmp_path / "vault", KEY)
    had_key = keys_in(again)
    add(again, [record("goes", 100)])  # last night's export, before anybody has looked
    assert keys_in(again) == had_key
    left = again.token_of("goes")
    if left is None:
        assert again.is_erased("goes")
        again.finish_erasure("goes")
    else:
        again.erase(left, external_id="goes")
    assert token.encode() not in all_bytes(tmp_path)
    assert again.is_erased("goes")
    again.close()


# --- cohorts ----------------------------------------------------------------------------------


def whole_cohort(vault: Vault, fold: Fold | None = None, *, now: datetime = NOW) -> tuple[str, ...]:
    return vault.cohort(
        now=now,
        terms=Terms(purpose="adaptive_practice", legal_basis="school_official"),
        catalogue_digest=CATALOGUE,
        fold=fold,
    )


def test_a_cohort_is_sorted_by_fold_and_within_retention(vault: Vault) -> None:
    folds = {"a": Fold.TRAIN, "b": Fold.TRAIN, "c": Fold.TEST}
    a, b, c = add(vault, [record(name) for name in folds], folds=folds)
    (d,) = add(vault, [record("d")], retain_until=NOW, folds={"d": Fold.TRAIN})
    assert whole_cohort(vault, Fold.TRAIN) == tuple(sorted([a, b]))
    assert whole_cohort(vault) == tuple(sorted([a, b, c]))
    assert whole_cohort(vault, now=LATER) == ()
    assert vault.summary(NOW).past_retention == 1
    assert d not in whole_cohort(vault)


def cohort_by(vault: Vault, basis: LegalBasis) -> set[str]:
    terms = Terms(purpose="adaptive_practice", legal_basis=basis)
    return set(vault.cohort(now=NOW, terms=terms, catalogue_digest=CATALOGUE))


def test_consent_decides_by_legal_basis(vault: Vault, tmp_path: Path) -> None:
    yes, no, silent = add(vault, [record(name) for name in "abc"])
    for token, state in ((yes, ConsentState.GIVEN), (no, ConsentState.WITHDRAWN)):
        said = [consent_record(item=item, state=state) for item in Item]
        vault.consents.record({token: said}, request="0" * 32, now=NOW)
    assert cohort_by(vault, "consent") == {yes}
    assert cohort_by(vault, "school_official") == {yes, silent}
    assert [each.state for each in vault.consents.history(no)] == [ConsentState.WITHDRAWN] * 3
    assert vault.consents.history(silent) == ()
    content = all_bytes(tmp_path)
    assert b"guardian" not in content
    with pytest.raises(LookupError, match="no such student"):
        vault.consents.record({"f" * 32: [consent_record()]}, request="0" * 32, now=NOW)


def test_a_change_that_cannot_follow_changes_nothing(vault: Vault) -> None:
    one, two = add(vault, [record("a"), record("b")])
    asked, given = consent_record(state=ConsentState.REQUESTED), consent_record()
    vault.consents.record({two: [given]}, request="0" * 32, now=NOW)
    with pytest.raises(ValueError, match="is in force"):
        vault.consents.record({one: [given], two: [asked]}, request="1" * 32, now=NOW)
    assert vault.consents.history(one) == ()
    assert len(vault.journal) == 1


def test_consents_of_another_student_do_not_open(vault: Vault, tmp_path: Path) -> None:
    one, two = add(vault, [record("a"), record("b")])
    vault.consents.record(
        {one: [consent_record()], two: [consent_record(state=ConsentState.REFUSED)]},
        request="0" * 32,
        now=NOW,
    )
    database = sqlite3.connect(tmp_path / "vault" / "students.db")
    database.execute(
        "UPDATE consents SET history = (SELECT history FROM consents WHERE token = ?)", (one,)
    )
    database.commit()
    database.close()
    with pytest.raises(Corrupt, match="does not open"):
        cohort_by(vault, "school_official")


def test_nobody_under_a_hold_is_used(vault: Vault) -> None:
    one, two = add(vault, [record("a"), record("b")])
    hold = vault.holds.place(one, matter="litigation", now=NOW)
    assert cohort_by(vault, "school_official") == {two}
    assert vault.holds.is_held(one)
    assert not vault.holds.is_held(two)
    with pytest.raises(Refused, match=r"hold\.student"):
        vault.erase(one)
    assert len(vault.read([one])) == 1
    everybody = vault.holds.place(None, matter="records_request", now=NOW)
    assert cohort_by(vault, "school_official") == set()
    assert vault.holds.is_held(two)
    assert vault.holds.all() == (hold, everybody)
    assert (hold.scope, everybody.scope) == ("student", "school")
    assert one not in repr(hold)
    for each in (hold, everybody):
        vault.holds.lift(each.request)
    assert cohort_by(vault, "school_official") == {one, two}
    with pytest.raises(ValueError, match="no hold of this name"):
        vault.holds.lift(hold.request)


@pytest.mark.parametrize("name", ["students.db", "keys.db"])
def test_a_file_of_a_newer_program_is_not_opened(vault: Vault, tmp_path: Path, name: str) -> None:
    with closing(sqlite3.connect(tmp_path / "vault" / name)) as connection:
        connection.execute("PRAGMA user_version = 2")
    with pytest.raises(Corrupt, match=f"{name} has version 2, this program knows versions up to 1"):
        Vault(tmp_path / "vault", KEY)
