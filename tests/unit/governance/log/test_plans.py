"""The log against the signed plans that it names: what is missing, and what a plan limits."""

from __future__ import annotations

from typing import Any

import pytest
from support.gate import plan_with
from support.logs import Story, key_of, tell_story

from fedtrace.governance.charter_history import CharterHistory
from fedtrace.governance.log.entries import Entry, PlanActivated, RoundClosed
from fedtrace.governance.log.plans import check_plans
from fedtrace.governance.log.verify import Line
from fedtrace.governance.plan import Plan
from fedtrace.governance.plan_signing import sign_plan
from fedtrace.governance.signing import KeySigner

SCHOOLS = ("school-1", "school-2", "school-3")


def under(changes: dict[str, Any]) -> tuple[Story, bytes]:
    """A story of two rounds, all of it under a plan of that kind, which all schools signed."""
    story = tell_story()
    values = story.plan.model_dump(mode="json", exclude_none=True)
    base = {f"{part}.{key}": v for part in ("privacy", "rounds") for key, v in values[part].items()}
    plan: Plan = plan_with({**base, "schools.minimum_per_round": 1, **changes})
    old, new = story.plan.digest(), plan.digest()
    for log in (story.consortium, *story.schools.values()):
        log[:] = [_of_plan(entry, old, new) for entry in log]
    story.plan = plan
    return story, sign_plan(plan, [KeySigner(key_of(name)) for name in SCHOOLS])


def _of_plan(entry: Entry, old: str, new: str) -> Entry:
    named = getattr(entry, "plan_digest", None) == old
    return entry.model_copy(update={"plan_digest": new}) if named else entry


def checked(story: Story, *envelopes: bytes, whole: bool = True) -> list[Line]:
    found = {story.plan.digest(): envelopes}
    return list(
        check_plans(
            story.consortium,
            story.schools,
            found,
            revocations={},
            charters=CharterHistory(versions=(story.charter,)),
            whole=whole,
        )
    )


AGREED = {"evaluation.noise_multiplier": 2.5}


def test_what_keeps_to_its_plan_passes() -> None:
    lines = checked(*under(AGREED))
    assert [(each.status, each.check) for each in lines] == [
        ("PASS", "plans.signed"),
        ("PASS", "plans.terms"),
    ]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"rounds.count": 1}, "closed 2 training rounds"),
        ({"evaluation.noise_multiplier": 2.6}, "tells of noise 2.5"),
        ({"privacy.noise_multiplier": 3.0}, "the schools signed 3.0"),
        ({"privacy.sampling_rate": 0.4}, "tells of sampling 0.5"),
        ({"schools.members": SCHOOLS[:2]}, "asked school-3"),
    ],
)
def test_what_goes_beyond_its_plan_fails(changes: dict[str, Any], words: str) -> None:
    lines = checked(*under({**AGREED, **changes}))
    assert [each.status for each in lines] == ["PASS", "FAIL"]
    assert words in lines[1].sentence


def test_a_round_of_too_few_schools_fails() -> None:
    story, envelope = under({**AGREED, "schools.minimum_per_round": 3})
    at = next(i for i, each in enumerate(story.consortium) if isinstance(each, RoundClosed))
    closed = story.consortium[at]
    assert isinstance(closed, RoundClosed)
    story.consortium[at] = closed.model_copy(update={"inputs": closed.inputs[:2]})
    assert "closed with 2 schools" in checked(story, envelope)[1].sentence


@pytest.mark.parametrize(("whole", "status"), [(True, "FAIL"), (False, "WARN")])
def test_a_missing_plan_is_named(whole: bool, status: str) -> None:
    story = tell_story()
    (line,) = checked(story, whole=whole)
    assert (line.status, line.check) == (status, "plans.signed")
    assert story.plan.digest() in line.sentence
    assert "export" in line.sentence


def test_every_copy_must_be_the_signed_one() -> None:
    story, envelope = under(AGREED)
    alone = sign_plan(story.plan, [KeySigner(key_of("school-1"))])
    lines = checked(story, envelope, alone)
    assert (lines[0].status, lines[0].check) == ("FAIL", "plans.signed")


def test_a_schools_copy_names_plans_that_it_takes_no_part_in() -> None:
    story, envelope = under(AGREED)
    activated = next(each for each in story.consortium if isinstance(each, PlanActivated))
    other = activated.model_copy(update={"plan_digest": "sha256:" + "d" * 64})
    story.consortium.append(other)
    found = {story.plan.digest(): (envelope,)}

    def status(*, copied: bool) -> str:
        lines = check_plans(
            story.consortium,
            story.schools,
            found,
            revocations={},
            charters=CharterHistory(versions=(story.charter,)),
            whole=False,
            copied=copied,
        )
        return next(each.status for each in lines if each.check == "plans.signed")

    assert status(copied=True) == "PASS"
    assert status(copied=False) == "WARN"
    found.clear()
    assert status(copied=True) == "WARN"  # its own plan is missing too
