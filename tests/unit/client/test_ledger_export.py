"""The ledger outlives its database, and whatever happens in between, nothing is spent less."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.gate import NOW
from support.school_home import SCHOOL, new_school
from support.thoroughness import examples

from fedtrace.client.home import open_school
from fedtrace.client.ledger_export import EXPORT_TYPE, ExportedLedger, export_ledger, import_ledger
from fedtrace.client.school import School
from fedtrace.client.store import SchoolStore
from fedtrace.governance.ledger import PrivacyEvent
from fedtrace.governance.signing import (
    SignatureError,
    generate_key,
    sign_envelope,
    unverified_payload,
)

EVENT = PrivacyEvent(
    plan_digest="sha256:" + "a" * 64,
    run_id="run-1",
    round=1,
    kind="train",
    noise_multiplier=1.25,
    sampling_rate=0.3,
    count=1,
    trust_mode="distributed",
    student_year="2026/27",
)


def order(number: int) -> str:
    return f"sha256:{number:064x}"


def spend(store: SchoolStore, number: int, *, answered: bool) -> None:
    reservation = store.reserve(
        replace(EVENT, round=number),
        order_digest=order(number),
        checkpoint_digest=order(0),
        now=NOW + timedelta(seconds=number),
    )
    if answered:
        store.commit(reservation, reply={"payload": b"p"})


def again(school: School) -> School:
    """The same home after its database was lost."""
    home = school.home
    school.close()
    for path in home.glob("school.db*"):
        path.unlink()
    return open_school(home)


def test_a_node_that_is_set_up_anew_remembers_what_was_spent(tmp_path: Path) -> None:
    school = new_school(tmp_path / "home")
    spend(school.store, 1, answered=True)
    spend(school.store, 2, answered=False)
    before, file = school.store.ledger(), export_ledger(school)
    school = again(school)
    assert school.store.ledger() == ()
    spend(school.store, 3, answered=True)
    assert import_ledger(file, school) == 2
    assert import_ledger(file, school) == 0
    events = [entry.event for entry in school.store.ledger()]
    assert sorted(event.round for event in events) == [1, 2, 3]
    assert {entry.event for entry in before} <= set(events)
    states = {entry.event.round: entry.state for entry in school.store.ledger()}
    assert states == {1: "committed", 2: "abandoned", 3: "committed"}
    last = school.store.last_round(EVENT.plan_digest)
    assert last is not None
    assert last.round == 3  # rounds never go back, also not by an import
    school.close()


def test_only_a_schools_own_signed_ledger_is_taken(tmp_path: Path) -> None:
    with new_school(tmp_path / "home") as school:
        spend(school.store, 1, answered=True)
        ledger = ExportedLedger.from_bytes(unverified_payload(export_ledger(school), EXPORT_TYPE))
        stranger = sign_envelope(ledger.to_bytes(), EXPORT_TYPE, [generate_key()])
        with pytest.raises(SignatureError):
            import_ledger(stranger, school)
        other = ledger.model_copy(update={"school": "school-9"})
        foreign = sign_envelope(other.to_bytes(), EXPORT_TYPE, [school.signer])
        with pytest.raises(ValueError, match=f"ledger of school-9, this is {SCHOOL}"):
            import_ledger(foreign, school)
        assert len(school.store.ledger()) == 1


steps = st.lists(
    st.sampled_from(["reserve", "commit", "crash", "save", "lose the database"]), max_size=14
)


@examples(25)
@given(steps)
def test_no_order_of_crashes_and_restarts_spends_less_than_was_released(
    happened: list[str],
) -> None:
    """``lose the database`` is followed by taking in the newest file, which is the procedure."""
    with tempfile.TemporaryDirectory() as name:
        school = new_school(Path(name) / "home")
        released, saved, file, number, reservation = set(), set(), b"", 0, None
        for step in happened:
            if step == "reserve":
                number += 1
                reservation = school.store.reserve(
                    replace(EVENT, round=number),
                    order_digest=order(number),
                    checkpoint_digest=order(0),
                    now=NOW + timedelta(seconds=number),
                )
            elif step == "commit" and reservation is not None:
                school.store.commit(reservation, reply={"payload": b"p"})
                released.add(number)
                reservation = None
            elif step == "crash":
                home = school.home
                school.close()
                school, reservation = open_school(home), None
            elif step == "save":
                file, saved = export_ledger(school), set(released)
            elif step == "lose the database" and file and saved == released:
                school, reservation = again(school), None
                import_ledger(file, school)
            spent = {entry.event.round for entry in school.store.ledger()}
            assert released <= spent
        school.close()
