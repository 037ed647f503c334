"""A consortium of three schools and one order that school-1 may answer.

Every test of a refusal changes one thing in a `Scene` that is otherwise allowed, so that what is
refused is refused for that one thing. Keys are fixed: signing is deterministic.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cache, partial
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fedtrace.governance.charter import Aggregator, Charter, LogKey, Member
from fedtrace.governance.decision import admit, decide
from fedtrace.governance.facts import (
    AnsweredRound,
    CheckpointFacts,
    Decision,
    Denied,
    Rules,
    SchoolState,
)
from fedtrace.governance.ledger import LedgerEntry, PrivacyEvent, round_event, would_exceed
from fedtrace.governance.orders import RoundOrder, sign_order
from fedtrace.governance.plan import Plan, load_toml
from fedtrace.governance.plan_signing import SignedPlan, open_plan, sign_plan
from fedtrace.governance.policy import SchoolPolicy, load_policy_toml
from fedtrace.governance.signing import KeySigner, Signer
from fedtrace.governance.witnessing import LogView

POLICIES = Path(__file__).resolve().parents[2] / "deploy" / "policies"
PLAN_TOML = (POLICIES / "example-plan.toml").read_text(encoding="utf-8")
POLICY_TOML = (POLICIES / "example-school-policy.toml").read_text(encoding="utf-8")

NOW = datetime(2026, 10, 5, 9, 0, tzinfo=UTC)
SCHOOLS = ("school-1", "school-2", "school-3")

OTHER_DIGEST = "sha256:" + "9" * 64
MODEL_DIGEST = "sha256:" + "7" * 64
RECORD_DIGEST = "sha256:" + "6" * 64

SEEN = LogView(witnessed=True, plan_activated=True, order_opened=True)
"""What a school's copy of the log says about an order that was logged before any round closed."""


@cache
def signer(name: str) -> Signer:
    """The key of ``name``, always the same one."""
    seed = name.encode("ascii").ljust(32, b".")
    return KeySigner(Ed25519PrivateKey.from_private_bytes(seed))


@cache
def charter(*, threshold: int = 2) -> Charter:
    """Three members, an aggregator and a log."""
    return Charter(
        consortium="county",
        threshold=threshold,
        aggregator=Aggregator(name="aggregator", public_key=signer("aggregator").public_key),
        log=LogKey(origin="county.example/log", public_key=signer("log").public_key),
        members=tuple(
            Member(
                name=name,
                public_key=signer(name).public_key,
                log_public_key=signer(f"{name}-log").public_key,
            )
            for name in SCHOOLS
        ),
    )


EXAMPLE_PLAN = load_toml(PLAN_TOML)
EXAMPLE_POLICY = load_policy_toml(POLICY_TOML)


def plan_with(changes: Mapping[str, Any] | None = None) -> Plan:
    """The example plan with values changed by path, ``{"privacy.delta": 1e-6}``."""
    if not changes:
        return EXAMPLE_PLAN
    return Plan.model_validate_json(json.dumps(_changed(EXAMPLE_PLAN, changes)))


def policy_with(changes: Mapping[str, Any] | None = None) -> SchoolPolicy:
    """The example policy with values changed by path."""
    if not changes:
        return EXAMPLE_POLICY
    return SchoolPolicy.model_validate_json(json.dumps(_changed(EXAMPLE_POLICY, changes)))


def order_for(plan: Plan, changes: Mapping[str, Any] | None = None) -> RoundOrder:
    """Round 1 of a plan, asked now of all schools."""
    values: dict[str, Any] = {
        "kind": "train",
        "run_id": "run-1",
        "plan_digest": plan.digest(),
        "round": 1,
        "checkpoint_digest": plan.model.initial_parameters_digest,
        "previous_round_digest": None,
        "schools": SCHOOLS,
        "deadline": NOW + timedelta(seconds=plan.rounds.deadline_seconds),
        "nonce": "0f" * 16,
    }
    values |= changes or {}
    values.setdefault("privacy", plan.round_privacy(values["kind"]))
    return RoundOrder(**values)


def later_round(round_number: int, **changes: Any) -> dict[str, Any]:
    """Changes that turn round 1 into a later one with its own model."""
    return {
        "round": round_number,
        "checkpoint_digest": MODEL_DIGEST,
        "previous_round_digest": RECORD_DIGEST,
        **changes,
    }


def healthy_state(plan: Plan) -> SchoolState:
    """A school that has not answered anything yet and can."""
    return SchoolState(
        installed_fab_digest=plan.app.fab_digest,
        schema_fingerprint=plan.model.schema_fingerprint,
        kill_switch=False,
        log_healthy=True,
        free_bytes=10_000_000_000,
        eligible_students=50,
        ledger=(),
        last_round=None,
        log=SEEN,
        promises=frozenset(),
        newest_record_at=None,
    )


def never_exceeds(
    already: object, new_events: object, *, budget_epsilon: float, delta: float
) -> bool:
    """A budget without end."""
    return False


def linear_epsilon(events: Sequence[PrivacyEvent], delta: float) -> float:
    """An accountant for tests: 0.1 a release, infinite without noise; adds up exactly."""
    if any(event.noise_multiplier == 0 for event in events):
        return float("inf")
    return 0.1 * sum(event.count for event in events)


@dataclass(frozen=True, kw_only=True)
class Scene:
    """One order at one school, with what the test changes."""

    plan: Plan = field(default_factory=plan_with)
    policy: SchoolPolicy = field(default_factory=policy_with)
    threshold: int = 2
    plan_signers: tuple[str, ...] = SCHOOLS
    order: Mapping[str, Any] = field(default_factory=dict)
    order_signer: str = "aggregator"
    state: Mapping[str, Any] = field(default_factory=dict)
    checkpoint: Mapping[str, Any] = field(default_factory=dict)
    has_plan: bool = True
    exceeds: Any = never_exceeds
    now: datetime = NOW

    @property
    def rules(self) -> Rules:
        """Charter and policy."""
        return Rules(charter=charter(threshold=self.threshold), policy=self.policy)

    def known_log(self, order: RoundOrder) -> Mapping[str, Any]:
        """A log in which the round before a later one left the model that tests send."""
        if order.round == 1 or "log" in self.state:
            return {}
        return {"log": replace(SEEN, closed_with=MODEL_DIGEST)}

    def signed_plan(self) -> SignedPlan:
        """The plan as the school verified it when it was installed."""
        envelope = sign_plan(self.plan, [signer(name) for name in self.plan_signers])
        return open_plan(envelope, charter(threshold=1))

    def decide(self) -> Decision:
        """Play it: from the order's bytes to the decision."""
        order = order_for(self.plan, self.order)
        admitted = admit(sign_order(order, signer(self.order_signer)), self.rules)
        if isinstance(admitted, Denied):
            return admitted
        facts = CheckpointFacts(
            digest=order.checkpoint_digest,
            dtype="float32",
            shape=(self.plan.model.parameters,),
            finite=True,
            norm=1.0,
        )
        return decide(
            admitted,
            replace(facts, **self.checkpoint),
            rules=self.rules,
            plan=self.signed_plan() if self.has_plan else None,
            state=replace(healthy_state(self.plan), **self.known_log(order), **self.state),
            exceeds=self.exceeds,
            now=self.now,
        )


def _changed(document: Plan | SchoolPolicy, changes: Mapping[str, Any]) -> dict[str, Any]:
    values = document.model_dump(mode="json")
    for path, value in changes.items():
        *sections, key = path.split(".")
        here = values
        for section in sections:
            here = here[section]
        here[key] = value
    return values


TENTH_A_ROUND = partial(would_exceed, epsilon=linear_epsilon)
"""Each release costs epsilon 0.1."""


def answered(round_number: int, **changes: Any) -> AnsweredRound:
    """A round that the school answered with the model `later_round` names."""
    last = AnsweredRound(
        round=round_number,
        kind="train",
        order_digest=OTHER_DIGEST,
        checkpoint_digest=MODEL_DIGEST,
        reply_stored=True,
        used_orders=frozenset({OTHER_DIGEST}),
    )
    return replace(last, **changes)


def spent_elsewhere(count: int) -> dict[str, Any]:
    """In the second round, with so many releases under another plan."""
    return {"last_round": answered(1), "ledger": entries(count, plan_digest=OTHER_DIGEST)}


def entries(count: int, *, plan_digest: str, year: str = "2026/27") -> tuple[LedgerEntry, ...]:
    """A ledger with that many training rounds of one plan."""
    plan = plan_with()
    return tuple(
        LedgerEntry(
            event=round_event(
                plan,
                plan_digest=plan_digest,
                run_id="run-0",
                round_number=number,
                kind="train",
                year=year,
            ),
            state="committed",
        )
        for number in range(1, count + 1)
    )
