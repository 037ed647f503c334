"""Twenty-two ways in which a server that holds all of the consortium's keys is refused.

One script a code. Whatever the server tries, the school answers with exactly that code and nothing
else, its own log says so, and no student has paid for it; where a script gets as far as training
(R21), the round counts as spent and still nothing leaves.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import pytest
from support.federation import Federation, accept
from support.hostile import HostileServer
from support.tree import ROOT

from fedtrace.client import trainer
from fedtrace.client.checkpoint import write_tensor
from fedtrace.client.home import change_policy, open_school
from fedtrace.client.store import SchoolStore
from fedtrace.deploy.simulation.in_process import SystemClock
from fedtrace.governance.canonical import digest
from fedtrace.governance.log.entries import (
    OrderRefused,
    PlanRevoked,
    RoundClosed,
    UpdateReceived,
    decimal,
)
from fedtrace.governance.manifest import REFUSAL_TYPE, RefusalNotice
from fedtrace.governance.orders import ORDER_TYPE, sign_order
from fedtrace.governance.plan import Plan
from fedtrace.governance.refusals import RefusalCode
from fedtrace.governance.signing import generate_key, sign_envelope, verify_envelope
from fedtrace.models.interactions import Interactions
from fedtrace.server.ports import Reply

SCHOOL = "school-2"
MODEL = digest(b"a model that nobody knows")


@dataclass(frozen=True, kw_only=True)
class Script:
    """One attempt.

    Attributes:
        attempt: what the server does; returns what the school answered.
        clause: on which the refusal must rest.
        prepare: what the school, or all of them, did before the server starts; the plan to ask
            under, or None for the usual one.
        spends: privacy that the attempt itself may cost, in releases.
    """

    attempt: Callable[[HostileServer], Reply]
    clause: str
    prepare: Callable[[Federation], Plan | None] = lambda federation: None
    spends: int = 0


def just_ask(server: HostileServer) -> Reply:
    return server.ask(SCHOOL, server.order())


def with_order(**changes: object) -> Callable[[HostileServer], Reply]:
    """An order that is the plan's but for this."""
    return lambda server: server.ask(SCHOOL, server.order(**changes))


def narrowing(**changes: object) -> Callable[[Federation], None]:
    """The school has changed its policy, and the server goes on as before."""

    def prepare(federation: Federation) -> None:
        home = federation.home(SCHOOL)
        with open_school(home) as school:
            policy = school.rules.policy
        change_policy(home, policy.model_copy(update=changes), now=SystemClock().now())

    return prepare


def smaller_budget(federation: Federation) -> None:
    with open_school(federation.home(SCHOOL)) as school:
        bounds = school.rules.policy.privacy
    narrowing(privacy=bounds.model_copy(update={"max_epsilon_job": 1.0}))(federation)


def revoked(federation: Federation) -> None:
    narrowing(revoked_plans=(federation.plans["usual"].digest(),))(federation)


def stopped(federation: Federation) -> None:
    store = SchoolStore(federation.home(SCHOOL) / "school.db")
    store.set_kill_switch(True)
    store.close()


def held(federation: Federation) -> None:
    with open_school(federation.home(SCHOOL)) as school:
        school.vault.holds.place(None, matter="litigation", now=SystemClock().now())


def plan_for_another_model(federation: Federation) -> Plan:
    now = SystemClock().now()
    return accept(federation.workspace, "reshaped", now=now, schema_fingerprint=MODEL)


def plan_taken_back(server: HostileServer) -> Reply:
    """A plan that its members revoked, which the log has to say, asked for all the same."""
    plan_digest = server.plan.digest()
    signers = server.federation.schools[:2]
    server.write(PlanRevoked(plan_digest=plan_digest, signers=signers, reason="incident"))
    return just_ask(server)


def plan_of_nobody(server: HostileServer) -> Reply:
    """A plan that the server made for itself."""
    return with_order(plan_digest=MODEL)(server)


def hidden_order(server: HostileServer) -> Reply:
    """An order that is kept out of the log, so that no auditor sees it."""
    return server.ask(SCHOOL, server.order(), logged=False)


def order_by_a_stranger(server: HostileServer) -> Reply:
    return server.send(SCHOOL, sign_order(server.order(), generate_key()))


def late_order(server: HostileServer) -> Reply:
    return with_order(deadline=server.now() - timedelta(seconds=1))(server)


def order_from_the_future(server: HostileServer) -> Reply:
    return with_order(deadline=server.now() + timedelta(days=1))(server)


def answered_round(server: HostileServer) -> Reply:
    """The round again, to see the same students through other noise, for another purpose."""
    assert "payload" in just_ask(server)
    return with_order(kind="evaluate", nonce="ab" * 16)(server)


def less_noise(server: HostileServer) -> Reply:
    weaker = server.order().privacy.model_copy(update={"noise_multiplier": 0.01})
    return with_order(privacy=weaker)(server)


def alone(server: HostileServer) -> Reply:
    """Only this school, so that the sum is its own."""
    return with_order(schools=(SCHOOL,))(server)


def order_with_a_wish(server: HostileServer) -> Reply:
    """A field that no order has."""
    order = server.order().to_bytes()
    wish = order[:-1] + b',"send":"rows"}'
    return server.send(SCHOOL, sign_envelope(wish, ORDER_TYPE, [server.consortium.aggregator]))


def another_model(server: HostileServer) -> Reply:
    """A model made to show what one student does to it, under the honest order."""
    model = write_tensor("parameters", np.ones(server.plan.model.parameters, dtype=np.float32))
    return server.ask(SCHOOL, server.order(), checkpoint=model)


def unsound_model(server: HostileServer) -> Reply:
    """A model that is not a number, and a log that says that round 1 left it."""
    nan = np.full(server.plan.model.parameters, np.nan, dtype=np.float32)
    model = write_tensor("parameters", nan)
    privacy = server.order().privacy
    server.write(
        RoundClosed(
            plan_digest=server.plan.digest(),
            run_id="run-hostile",
            round=1,
            kind="train",
            inputs=(),
            output_digest=digest(model),
            rule="sgd",
            clipping_norm=decimal(privacy.clipping_norm),
            noise_multiplier=decimal(privacy.noise_multiplier),
            sampling_rate=decimal(privacy.sampling_rate),
        )
    )
    order = server.order(round=2, checkpoint_digest=digest(model), previous_round_digest=MODEL)
    return server.ask(SCHOOL, order, checkpoint=model)


def forgotten_answer(server: HostileServer) -> Reply:
    """The log tells of an answer that the school does not know: it was restored, or is lied to."""
    server.write(
        UpdateReceived(
            plan_digest=server.plan.digest(),
            run_id="run-before",
            round=1,
            kind="train",
            school=SCHOOL,
            digest=MODEL,
        )
    )
    return just_ask(server)


class BrokenSums:
    """An engine whose clipping does nothing."""

    name = "broken"

    def clipped_sum(self, students: Interactions, *, clipping_norm: float) -> np.ndarray:
        return np.full(10_000, 10.0 * clipping_norm)


def broken_engine(server: HostileServer) -> Reply:
    """The one code that is a defect and no attack: a model that the engine fails to clip."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainer, "student_sums", lambda model, spec: BrokenSums())
        return just_ask(server)


def unmasked(server: HostileServer) -> Reply:
    """A contribution under secure sum in a group of keys that the server made up."""
    return server.ask(SCHOOL, server.order(), keys=b"{}\n{}\n{}")


def summed(federation: Federation) -> Plan:
    return federation.plans["distributed"]


def foreign(federation: Federation) -> Plan:
    return federation.plans["foreign"]


SCRIPTS: dict[str, Script] = {
    "R01": Script(attempt=plan_of_nobody, clause="order.plan_digest"),
    "R02": Script(attempt=hidden_order, clause="log.round_opened"),
    "R03": Script(attempt=late_order, clause="order.deadline"),
    "R04": Script(attempt=just_ask, prepare=revoked, clause="policy.revoked_plans"),
    "R04 of the members": Script(attempt=plan_taken_back, clause="log.plan_revoked"),
    "R05": Script(attempt=just_ask, prepare=narrowing(purposes=()), clause="policy.purposes"),
    "R06": Script(attempt=just_ask, prepare=narrowing(fields=("skill",)), clause="policy.fields"),
    "R07": Script(attempt=just_ask, prepare=foreign, clause="plan.app.fab_digest"),
    "R08": Script(
        attempt=just_ask, prepare=plan_for_another_model, clause="plan.model.schema_fingerprint"
    ),
    "R09": Script(attempt=order_by_a_stranger, clause="charter.aggregator"),
    "R10": Script(attempt=answered_round, clause="order.round", spends=1),
    "R11": Script(
        attempt=just_ask, prepare=smaller_budget, clause="policy.privacy.max_epsilon_job"
    ),
    "R12": Script(attempt=less_noise, clause="order.privacy"),
    "R13": Script(attempt=alone, clause="plan.schools.minimum_per_round"),
    "R14": Script(attempt=order_with_a_wish, clause="order"),
    "R15": Script(attempt=another_model, clause="order.checkpoint_digest"),
    "R16": Script(attempt=unsound_model, clause="order.checkpoint_digest"),
    "R17": Script(attempt=just_ask, prepare=stopped, clause="policy.kill_switch"),
    "R18": Script(attempt=just_ask, prepare=held, clause="hold.school"),
    "R19": Script(attempt=order_from_the_future, clause="order.deadline"),
    "R20": Script(attempt=forgotten_answer, clause="node.rollback"),
    "R21": Script(attempt=broken_engine, clause="plan.privacy.clipping_norm", spends=1),
    "R22": Script(attempt=unmasked, prepare=summed, clause="secure_sum.keys"),
}
"""What must end in the code that its name begins with.

R10 pays for the honest answer before, R21 for having trained.
"""


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_hostile_server_is_refused(federation: Federation, name: str) -> None:
    code, script = name[:3], SCRIPTS[name]
    plan = script.prepare(federation) or federation.plans["usual"]
    with HostileServer(federation=federation, plan=plan) as server:
        school = server.schools[SCHOOL]
        reply = script.attempt(server)

        assert set(reply) == {"refusal"}, "something left the school beside the refusal"
        member = school.rules.charter.member_keys()[SCHOOL]
        signed = verify_envelope(reply["refusal"], REFUSAL_TYPE, {SCHOOL: member}, 1)
        notice = RefusalNotice.from_bytes(signed.payload)
        assert (str(notice.code), notice.clause) == (code, script.clause)

        last = school.log.entry(len(school.log) - 1).entry
        assert isinstance(last, OrderRefused)
        assert (str(last.code), last.clause) == (code, script.clause)
        assert len(school.store.ledger()) == script.spends


def test_every_refusal_has_a_script_and_a_runbook() -> None:
    assert {name[:3] for name in SCRIPTS} == {str(code) for code in RefusalCode}
    page = (ROOT / "docs" / "refusal-codes.md").read_text(encoding="utf-8")
    for name, script in SCRIPTS.items():
        section = re.split(rf"^## {name[:3]}$", page, flags=re.MULTILINE)[1].split("\n## ")[0]
        assert "What to do:" in section
        assert f"`{script.clause}`" in section
