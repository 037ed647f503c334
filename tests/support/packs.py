"""Homes whose logs tell of everything that a pack's report can be asked for."""

from __future__ import annotations

from pathlib import Path

from support.logs import Story, key_of, plan_of, tell_story

from fedtrace.governance.canonical import digest
from fedtrace.governance.log.entries import (
    AccessGiven,
    CohortRemoved,
    ConsentChanged,
    Entry,
    HoldLifted,
    HoldPlaced,
    KillSwitchChanged,
    OrderRefused,
    PlanAccepted,
    PlanActivated,
    PlanRevoked,
    PolicyChanged,
    RecordErased,
    SchoolRefused,
    UpdateRejected,
)
from fedtrace.governance.plan import Plan
from fedtrace.governance.plan_signing import sign_plan
from fedtrace.governance.refusals import RefusalCode
from fedtrace.governance.signing import KeySigner

PLAN: Plan = plan_of(("school-1", "school-2", "school-3"))
ENVELOPE = sign_plan(PLAN, [KeySigner(key_of(name)) for name in ("school-1", "school-2")])
"""The plan of every story, signed by two members of three."""


def told() -> Story:
    """A job of two rounds under `PLAN`."""
    story = tell_story()
    logs = [story.consortium, *story.schools.values()]
    for log in logs:
        log[:] = [_under_the_plan(entry) for entry in log]
    return story


def eventful() -> Story:
    """The same, and once of everything else that can happen."""
    story = told()
    plan = PLAN.digest()
    story.schools["school-1"] += [
        _consent(),
        RecordErased(request="2" * 32, token_digest=digest(b"token")),
        HoldPlaced(request="3" * 32, scope="student", matter="records_request"),
        HoldPlaced(request="4" * 32, scope="school", matter="litigation"),
        HoldLifted(request="3" * 32),
        CohortRemoved(request="6" * 32, cohort_root=digest(b"cohort")),
        AccessGiven(request="5" * 32, kind="cohort"),
        AccessGiven(request="7" * 32, kind="everything"),
        KillSwitchChanged(on=True),
        PolicyChanged(policy_digest=digest(b"another policy")),
        OrderRefused(
            code=RefusalCode.R17, clause="kill_switch", plan_digest=plan, run_id="run-1", round=2
        ),
    ]
    closing = story.consortium[-2:]
    del story.consortium[-2:]
    story.consortium += [
        SchoolRefused(
            code=RefusalCode.R17,
            digest=digest(b"notice"),
            plan_digest=plan,
            run_id="run-1",
            round=3,
            kind="evaluate",
            school="school-1",
        ),
        UpdateRejected(
            check="A05",
            plan_digest=plan,
            run_id="run-1",
            round=3,
            kind="evaluate",
            school="school-1",
        ),
        *closing,
        PlanRevoked(plan_digest=plan, signers=("school-1", "school-2"), reason="mistake"),
    ]
    return story


def write_homes(story: Story, root: Path) -> Path:
    """Every home, with the plan as homes keep it."""
    story.write(root)
    for home in (root / "consortium", *(root / "schools").iterdir()):
        story.keep_plan(home, ENVELOPE)
    return root


def _consent() -> ConsentChanged:
    return ConsentChanged(
        request="1" * 32,
        students="20-49",
        requested="0",
        given="20-49",
        refused="1-9",
        withdrawn="0",
        expired="0",
    )


def _under_the_plan(entry: Entry) -> Entry:
    if isinstance(entry, PlanActivated | PlanAccepted):
        return entry.model_copy(
            update={"plan_digest": PLAN.digest(), "signers": ("school-1", "school-2")}
        )
    if "plan_digest" in type(entry).model_fields:
        return entry.model_copy(update={"plan_digest": PLAN.digest()})
    return entry
