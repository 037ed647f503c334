"""What released versions wrote is read by today's code, and means the same.

A school and its consortium are never upgraded in one moment. So a recording of every version is
played to today's code from both sides, and a job that was cut off under it is taken up again.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest
from support.consistency import check_consortium
from support.golden import (
    DIGESTS,
    FACTS,
    GOLDEN,
    KEPT_ROUND,
    Direct,
    Heard,
    SlowClock,
    homes_of,
    messages_of,
    order_of,
    round_of,
    sum_of,
    versions,
)

from fedtrace.client import bundle
from fedtrace.client.contribution import answer
from fedtrace.client.home import open_school
from fedtrace.deploy.enrolment.invites import read_invite
from fedtrace.deploy.workspace import Workspace
from fedtrace.governance.charter_history import read_charters
from fedtrace.governance.manifest import REFUSAL_TYPE, RefusalNotice
from fedtrace.governance.orders import ORDER_TYPE, open_order
from fedtrace.governance.signing import KeySigner, sign_envelope, unverified_payload
from fedtrace.server.acceptance import Accepted, Declined, examine
from fedtrace.server.consortium import PLANS_FOLDER, open_consortium
from fedtrace.server.ordering import expectation
from fedtrace.server.plans import PlanShelf
from fedtrace.server.round import run_job

FORMATS = {
    *("handed-shares", "manifest", "plan", "refusal", "revealed-shares", "round-order"),
    *("run-key", "sealed-shares", "survivors", "charter", "school-policy", "job-record"),
}
"""What a recording must hold at least."""

MASKED = {"manifest", "payload", "sealed", "shares"}
"""The parts of a contribution under secure sum."""

pytestmark = pytest.mark.parametrize("version", versions())


@pytest.fixture
def facts(version: str) -> dict[str, Any]:
    return dict(json.loads((GOLDEN / version / FACTS).read_text()))


@pytest.fixture
def homes(version: str, tmp_path: Path) -> Workspace:
    return homes_of(version, tmp_path)


@pytest.fixture
def installed(facts: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The code of today under the number of then: a plan names one number, and only that is run."""
    monkeypatch.setattr(bundle, "version", lambda name: facts[name])
    bundle.build_fab.cache_clear()
    yield
    bundle.build_fab.cache_clear()


def test_no_recording_was_changed_since_it_was_made(version: str) -> None:
    """A version that is out there wrote these bytes, whatever today's code would like to read."""
    lines = (GOLDEN / DIGESTS).read_text().splitlines()
    listed = {name: each for each, name in (line.split("  ") for line in lines)}
    found = {
        f"{version}/{path.name}": hashlib.sha256(path.read_bytes()).hexdigest()
        for path in (GOLDEN / version).iterdir()
    }
    assert found == {name: each for name, each in listed.items() if name.startswith(f"{version}/")}
    assert {name.split("/")[0] for name in listed} == set(versions())


def test_a_recording_holds_what_is_said_in_a_round(version: str, homes: Workspace) -> None:
    said = [part for each in messages_of(version) for part in _parts(each)]
    kept = [path.read_bytes() for path in homes.root.rglob("*.*") if path.is_file()]
    assert _formats([*said, *kept]) >= FORMATS


def test_todays_aggregator_adds_up_the_answers_of_then(
    version: str, homes: Workspace, facts: dict[str, Any]
) -> None:
    """It asks for the same bytes in every stage, takes every answer, and has the same sum."""
    assert sum_of(homes, round_of(messages_of(version), KEPT_ROUND)) == facts["sum"]


def test_todays_aggregator_takes_updates_and_refusals_of_then(
    version: str, homes: Workspace
) -> None:
    charter = read_charters(homes.consortium_home).current
    plans = PlanShelf(homes.consortium_home / PLANS_FOLDER)
    decided = []
    for each in messages_of(version):
        if each.stage == "contribute" and each.job != "distributed":
            signed = open_order(each.request["order"], charter.aggregator.public_key)
            plan = plans.open(signed.order.plan_digest, charter).plan
            expected = expectation(plan, signed, dict(charter.member_keys()))
            verdict = examine(each.school, each.reply, expected, frozenset())
            decided.append((each.job, type(verdict), getattr(verdict, "code", "")))
    assert set(decided) == {("usual", Accepted, ""), ("foreign", Declined, "R07")}


@pytest.mark.usefixtures("installed")
def test_todays_school_answers_the_aggregator_of_then(version: str, homes: Workspace) -> None:
    """In the middle of a round: the same bytes for all that does not need new randomness."""
    recorded = messages_of(version)
    before = [each for each in round_of(recorded, KEPT_ROUND) if each.stage == "contribute"]
    after = [each for each in recorded if each.job == "distributed" and each.is_after]
    stages = set()
    for name, home in homes.school_homes.items():
        with open_school(home) as school:
            for each in (*before, *after):
                if each.school != name:
                    continue
                reply = answer(each.request, school=school, now=each.now)
                stages.add(each.stage)
                if each.stage == "contribute" and each.is_after:  # noise and masks are new
                    assert set(reply) == set(each.reply) == MASKED
                    break
                assert reply == each.reply, (name, each.stage)
    assert stages == {"contribute", "agree", "reveal", "witness"}


@pytest.mark.usefixtures("installed")
def test_a_job_that_was_cut_off_under_an_old_version_is_finished(
    version: str, homes: Workspace, facts: dict[str, Any]
) -> None:
    last = next(each for each in messages_of(version) if each.is_after)
    with ExitStack() as opened:
        schools = {
            name: opened.enter_context(open_school(home))
            for name, home in homes.school_homes.items()
        }
        consortium = opened.enter_context(closing(open_consortium(homes.consortium_home)))
        transport = Direct(schools, SlowClock(last.now))
        plan_digest = facts["distributed"]["plan_digest"]
        outcome = run_job(
            consortium, plan_digest, transport, transport.clock, progress=lambda event: None
        )
    assert (outcome.reason, outcome.resumed) == (facts["distributed"]["reason"], 1)
    assert all(each.answered == homes.schools for each in outcome.rounds)
    check_consortium(homes)


def test_another_version_than_the_plan_names_answers_with_one_code(
    version: str, homes: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Why a job is ended on the version that it was signed for: docs/rolling-upgrade.md."""
    monkeypatch.setattr(bundle, "version", lambda name: "99.0" if name == "fedtrace" else "1")
    bundle.build_fab.cache_clear()
    after = [each for each in messages_of(version) if each.job == "distributed" and each.is_after]
    with open_school(homes.school_homes["school-1"]) as school:
        asked = next(each for each in after if each.school == school.name)
        refusal = answer(asked.request, school=school, now=asked.now)["refusal"]
        witnessed = next(e for e in after if e.school == school.name and e.stage == "witness")
        cosigned = answer(witnessed.request, school=school, now=witnessed.now)
    bundle.build_fab.cache_clear()
    notice = RefusalNotice.from_bytes(unverified_payload(refusal, REFUSAL_TYPE))
    assert notice.code == "R07"
    assert cosigned == witnessed.reply  # a school of any version watches over the log


def test_an_invite_of_then_is_read(version: str, facts: dict[str, Any]) -> None:
    made = next(iter(messages_of(version))).now
    assert read_invite(facts["invite"], now=made).host == "fedtrace.example.org"


def test_an_order_of_a_newer_format_is_refused(version: str, homes: Workspace) -> None:
    """By the code that says "ask whether both run the same release"; the sentence is the log's."""
    asked = next(each for each in messages_of(version) if each.stage == "contribute")
    order = order_of(asked.request).to_bytes().replace(b"round-order/1", b"round-order/2")
    key = homes.consortium_home / "keys" / "aggregator.pem"
    newer = sign_envelope(order, ORDER_TYPE, [KeySigner.from_pem(key.read_bytes())])
    with open_school(homes.school_homes["school-1"]) as school:
        reply = answer({**asked.request, "order": newer}, school=school, now=asked.now)
    notice = RefusalNotice.from_bytes(unverified_payload(reply["refusal"], REFUSAL_TYPE))
    assert (notice.code, notice.clause) == ("R14", "order")


def _parts(heard: Heard) -> tuple[bytes, ...]:
    return (*heard.request.values(), *heard.reply.values())


def _formats(parts: list[bytes]) -> set[str]:
    """The names of all formats in these bytes, inside of signed envelopes too."""
    found = set()
    for part in parts:
        inner = [base64.b64decode(each) for each in re.findall(rb'"payload": ?"([^"]+)"', part)]
        for content in (part, *inner):
            found |= {each.decode() for each in re.findall(rb'"fedtrace-([a-z-]+)/1"', content)}
    return found
