"""The signed plans that a log names: dropped, exchanged, signed by others, or not kept to."""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Callable
from pathlib import Path

from support.logs import Story, key_of, plan_of
from support.tampering.tools import Tampering, retell, swapped_entry

from fedtrace.governance.log.entries import PlanActivated, PlanRevoked, RoundClosed, RoundOpened
from fedtrace.governance.plan_signing import sign_plan
from fedtrace.governance.signing import KeySigner

SCHOOLS = ("school-1", "school-2", "school-3")


def change_plans(demo: Path, change: Callable[[bytes], bytes]) -> None:
    """Change every copy of the plan."""
    for path in demo.rglob("plan.dsse.json"):
        path.write_bytes(change(path.read_bytes()))


def signed_by(*names: str, epsilon_job: str = "8") -> bytes:
    """The story's plan, or one of another epsilon, signed by these."""
    plan = plan_of(SCHOOLS, epsilon_job=epsilon_job)
    return sign_plan(plan, [KeySigner(key_of(name)) for name in names])


def a_plan_dropped(demo: Path) -> None:
    for folder in demo.rglob("plans"):
        shutil.rmtree(folder)


def a_plan_swapped_for_another_that_all_signed(demo: Path) -> None:
    change_plans(demo, lambda _envelope: signed_by(*SCHOOLS, epsilon_job="9"))


def one_copy_of_a_plan_swapped(demo: Path) -> None:
    path = next((demo / "schools" / "school-2").rglob("plan.dsse.json"))
    path.write_bytes(signed_by(*SCHOOLS, epsilon_job="9"))


def a_plans_epsilon_raised(demo: Path) -> None:
    def raised(envelope: bytes) -> bytes:
        parsed = json.loads(envelope)
        payload = base64.b64decode(parsed["payload"])
        higher = payload.replace(b'"epsilon_job":8', b'"epsilon_job":9')
        assert higher != payload
        return json.dumps({**parsed, "payload": base64.b64encode(higher).decode()}).encode()

    change_plans(demo, raised)


def a_plan_with_signatures_of_strangers(demo: Path) -> None:
    change_plans(demo, lambda _envelope: signed_by("school-1", "school-8", "school-9"))


def a_plan_that_is_no_json(demo: Path) -> None:
    change_plans(demo, lambda envelope: envelope[:-1])


def a_log_that_allows_more_than_was_signed(demo: Path) -> None:
    retell(demo, lambda story: swapped_entry(story, PlanActivated, epsilon_job="9"))


def a_log_that_names_a_member_that_did_not_sign(demo: Path) -> None:
    def forget(story: Story) -> None:
        story.plan_signers = SCHOOLS[:2]  # enough, and the log tells of all three

    retell(demo, forget)


def revoked(story: Story, *, signed_by: tuple[str, ...]) -> None:
    """The log ends with a revocation by two members; these signed it."""
    told = PlanRevoked(plan_digest=story.plan.digest(), signers=SCHOOLS[:2], reason="mistake")
    story.consortium.append(told)
    story.revocation_signers = signed_by


def a_log_that_names_a_member_that_did_not_revoke(demo: Path) -> None:
    retell(demo, lambda story: revoked(story, signed_by=("school-2", "school-3")))


def a_revocation_dropped(demo: Path) -> None:
    retell(demo, lambda story: revoked(story, signed_by=SCHOOLS[:2]))
    for path in demo.rglob("revocation.dsse.json"):
        path.unlink()


def a_log_with_another_delta(demo: Path) -> None:
    retell(demo, lambda story: swapped_entry(story, PlanActivated, delta="0.0001"))


def a_log_with_another_trust_mode(demo: Path) -> None:
    retell(demo, lambda story: swapped_entry(story, PlanActivated, trust_mode="distributed"))


def a_round_with_another_clipping_norm(demo: Path) -> None:
    retell(demo, lambda story: swapped_entry(story, RoundClosed, clipping_norm="2"))


def a_round_that_asks_a_school_beyond_the_plan(demo: Path) -> None:
    retell(
        demo, lambda story: swapped_entry(story, RoundOpened, schools=(*SCHOOLS[:2], "school-4"))
    )


TAMPERINGS: tuple[Tampering, ...] = (
    Tampering(act=a_plan_dropped, fails=("plans.signed",)),
    Tampering(act=a_plan_swapped_for_another_that_all_signed, fails=("plans.signed",)),
    Tampering(act=one_copy_of_a_plan_swapped, fails=("plans.signed",)),
    Tampering(act=a_plans_epsilon_raised, fails=("plans.signed",)),
    Tampering(act=a_plan_with_signatures_of_strangers, fails=("plans.signed",)),
    Tampering(act=a_plan_that_is_no_json, fails=("plans.signed",)),
    Tampering(act=a_log_that_names_a_member_that_did_not_sign, fails=("plans.signed",)),
    Tampering(act=a_log_that_names_a_member_that_did_not_revoke, fails=("plans.signed",)),
    Tampering(act=a_revocation_dropped, fails=("plans.signed",)),
    Tampering(act=a_log_that_allows_more_than_was_signed, fails=("plans.terms",)),
    Tampering(act=a_log_with_another_delta, fails=("plans.terms",)),
    Tampering(act=a_log_with_another_trust_mode, fails=("plans.terms",)),
    Tampering(act=a_round_with_another_clipping_norm, fails=("plans.terms",)),
    Tampering(act=a_round_that_asks_a_school_beyond_the_plan, fails=("plans.terms",)),
)
