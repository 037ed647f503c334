"""A consortium in a folder, and schools that answer as a script says: no training, no network.

The schools sign real manifests over made-up updates that depend only on school, round and
checkpoint, so that two runs of the same job can be compared bit for bit.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from support.logs import public
from support.witnesses import MemoryStore

from fedtrace.governance.canonical import digest
from fedtrace.governance.charter import Charter, Member
from fedtrace.governance.ledger import PrivacyEvent
from fedtrace.governance.log.cosignature import Ed25519Cosigner
from fedtrace.governance.log.witness import Witness
from fedtrace.governance.manifest import Manifest, RefusalNotice, sign_manifest, sign_refusal
from fedtrace.governance.orders import ORDER_TYPE, RoundOrder
from fedtrace.governance.plan import Plan
from fedtrace.governance.plan_signing import sign_plan
from fedtrace.governance.refusals import RefusalCode
from fedtrace.governance.signing import Signer, generate_key, unverified_payload
from fedtrace.governance.witnessing import school_origin
from fedtrace.server.codec import checkpoint_spec, encode, histograms_spec, update_spec
from fedtrace.server.consortium import Consortium, initialise_consortium, open_consortium
from fedtrace.server.ports import Reply, Request

START = datetime(2026, 9, 1, 8, 0, tzinfo=UTC)
PARAMETERS = 8
FINGERPRINT = digest(b"schema")
CATALOGUE = b'{"skills":["adding","halving"]}'

Fault = Callable[[str, RoundOrder, Reply], Iterable[Reply | None]]
"""(school, order, honest reply) -> what arrives instead."""


class ManualClock:
    """Time that passes only when told."""

    def __init__(self, now: datetime = START) -> None:
        self.time = now

    def now(self) -> datetime:
        return self.time

    def pass_seconds(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)


def cheap_epsilon(events: Sequence[PrivacyEvent], delta: float) -> float:
    """An accountant for tests of the server: every release costs 0.1, as if it were exact."""
    return 0.1 * sum(event.count for event in events)


def counting_entropy() -> Callable[[int], bytes]:
    """Random bytes that two runs of a test share."""
    calls = 0

    def draw(count: int) -> bytes:
        nonlocal calls
        calls += 1
        return hashlib.sha256(str(calls).encode()).digest()[:count]

    return draw


def initial_parameters(parameters: int = PARAMETERS) -> bytes:
    return encode(np.linspace(-1, 1, parameters, dtype=np.float32), checkpoint_spec(parameters))


def make_plan(
    schools: Iterable[str],
    *,
    rounds: int = 3,
    minimum: int = 2,
    parameters: int = PARAMETERS,
    deadline_seconds: int = 60,
    noise_multiplier: float = 1.0,
    **aggregation: object,
) -> Plan:
    """A plan over made-up schools; ``aggregation`` replaces fields of that section."""
    values = _plan_values(tuple(schools), rounds, minimum, parameters, aggregation)
    values["rounds"]["deadline_seconds"] = deadline_seconds
    values["privacy"]["noise_multiplier"] = noise_multiplier
    values["evaluation"]["noise_multiplier"] = noise_multiplier
    return Plan.model_validate_json(json.dumps(values))


def _plan_values(
    schools: tuple[str, ...],
    rounds: int,
    minimum: int,
    parameters: int,
    aggregation: Mapping[str, object],
) -> dict[str, Any]:
    return {
        "name": "pilot",
        "purpose": "learning_research",
        "commercial_use": False,
        "legal_basis": "school_official",
        "valid_from": START.isoformat(),
        "valid_until": (START + timedelta(days=300)).isoformat(),
        "schools": {"members": schools, "minimum_per_round": minimum},
        "data": {
            "fields": [{"name": "skill", "category": "assessment", "transform": "catalogue_id"}],
            "max_sequence": 100,
            "min_students": 5,
            "skills": 2,
            "skill_catalogue_digest": digest(CATALOGUE),
        },
        "model": {
            "architecture": "pfa",
            "hidden_size": 1,
            "embedding_size": 1,
            "parameters": parameters,
            "schema_fingerprint": FINGERPRINT,
            "initial_parameters_digest": digest(initial_parameters(parameters)),
        },
        "app": {"fab_digest": digest(b"bundle")},
        "rounds": {"count": rounds, "deadline_seconds": 60},
        "privacy": {
            "clipping_norm": 0.5,
            "noise_multiplier": 1.0,
            "sampling_rate": 0.5,
            "unit": "student",
            "adjacency": "add-or-remove-one",
            "trust_mode": "local",
            "delta": 1e-5,
            "planned_students": 60,
            "epsilon_job": 8.0,
            "epsilon_student_year": 10.0,
        },
        "aggregation": {
            "optimiser": "adam",
            "learning_rate": 0.1,
            "momentum": 0.9,
            "second_momentum": 0.999,
            "stability": 1e-8,
            "average_last": 2,
            **aggregation,
        },
        "evaluation": {"noise_multiplier": 1.0, "bins": 4},
        "retention": {"updates": "P0D", "checkpoints": "P90D", "model": "P3Y", "log": "P10Y"},
        "release": {"to": "members", "minimum_rounds": 1},
        "oversight": {"may_stop": ["school", "privacy_officer"]},
        "terms": {"no_reidentification": True, "no_redisclosure": True},
    }


@dataclass
class World:
    """A consortium, its schools' keys and the plan that they all signed."""

    home: Path
    plan: Plan
    keys: Mapping[str, Signer]
    plan_digest: str
    log_keys: Mapping[str, Ed25519PrivateKey]
    clock: ManualClock = field(default_factory=ManualClock)
    witnesses: dict[str, Witness] = field(default_factory=dict)

    def witness(self, school: str, request: Request) -> dict[str, bytes]:
        """What an honest school says about the log."""
        if school not in self.witnesses:
            log = self._charter().log
            self.witnesses[school] = Witness(
                MemoryStore(),
                logs={log.origin: log.public_key},
                cosigners=[self.cosigner(school)],
            )
        response = self.witnesses[school].add_checkpoint(
            request["add-checkpoint"], now=self.clock.now()
        )
        return {"status": b"%d" % response.status, "body": response.body, "latest": b""}

    def cosigner(self, school: str) -> Ed25519Cosigner:
        """What a school cosigns the consortium's log with."""
        return Ed25519Cosigner(school_origin(self._charter(), school), self.log_keys[school])

    def _charter(self) -> Charter:
        return _charter((self.home / "charter.json").read_bytes())

    def open(self) -> Consortium:
        """The consortium as a fresh process would open it."""
        return open_consortium(self.home, accountant=cheap_epsilon, entropy=counting_entropy())

    def transport(self, fault: Fault | None = None) -> ScriptedTransport:
        return ScriptedTransport(world=self, fault=fault or (lambda school, order, reply: [reply]))


@lru_cache(maxsize=4)
def _charter(content: bytes) -> Charter:
    return Charter.from_bytes(content)


def build_world(
    home: Path, schools: int = 3, *, witness_quorum: int | None = None, **plan_options: object
) -> World:
    names = [f"school-{number:03d}" for number in range(1, schools + 1)]
    keys = {name: generate_key() for name in names}
    log_keys = {name: Ed25519PrivateKey.generate() for name in names}
    members = [
        Member(
            name=name,
            public_key=key.public_key,
            log_public_key=public(log_keys[name]),
        )
        for name, key in keys.items()
    ]
    plan = make_plan(names, **plan_options)  # type: ignore[arg-type]
    consortium = initialise_consortium(
        home,
        name="valley",
        members=members,
        threshold=2,
        now=START,
        witness_quorum=witness_quorum,
        accountant=cheap_epsilon,
    )
    consortium.activate_plan(
        sign_plan(plan, list(keys.values())[:2]),
        catalogue=CATALOGUE,
        initial_parameters=initial_parameters(plan.model.parameters),
        now=START,
    )
    consortium.close()
    return World(home=home, plan=plan, keys=keys, log_keys=log_keys, plan_digest=plan.digest())


@dataclass
class ScriptedTransport:
    """Hands every request to a scripted school and lets a fault change what arrives."""

    world: World
    fault: Fault
    absent: frozenset[str] = frozenset()
    asked: list[tuple[int, str]] = field(default_factory=list)
    orders: list[bytes] = field(default_factory=list)

    def connected(self) -> frozenset[str]:
        return frozenset(self.world.keys) - self.absent

    def ask(
        self, requests: Mapping[str, Request], *, deadline: datetime
    ) -> Iterator[tuple[str, Reply | None]]:
        for school, request in requests.items():
            if "order" not in request:
                if school not in self.absent:
                    yield school, self.world.witness(school, request)
                continue
            order = self._order(request["order"])
            self.asked.append((order.round, school))
            if school in self.absent:
                continue
            for reply in self.fault(school, order, honest_reply(self.world, school, request)):
                yield school, reply
        if self.absent & set(requests):
            self.world.clock.time = deadline

    def _order(self, envelope: bytes) -> RoundOrder:
        if envelope not in self.orders:
            self.orders.append(envelope)
        return order_in(envelope)


@lru_cache(maxsize=64)
def order_in(envelope: bytes) -> RoundOrder:
    """The order in an envelope; that the aggregator signed it is the gate's business."""
    return RoundOrder.from_bytes(unverified_payload(envelope, ORDER_TYPE))


@lru_cache(maxsize=64)
def order_digest(order: RoundOrder) -> str:
    return order.digest()


def honest_reply(world: World, school: str, request: Request) -> dict[str, bytes]:
    """What an honest school sends: made up, but signed and within all bounds."""
    order = order_in(request["order"])
    return signed_reply(world, school, order, payload_of(world, school, order))


def payload_of(world: World, school: str, order: RoundOrder) -> bytes:
    seed = hashlib.sha256(f"{school}{order.round}{order.checkpoint_digest}".encode()).digest()
    rng = np.random.default_rng(int.from_bytes(seed[:8], "little"))
    if order.kind == "evaluate":
        bins = world.plan.evaluation.bins
        counts = rng.uniform(1, 3, (2, bins)) + np.array([[2, 1, 0, 0], [0, 0, 1, 2]])
        return encode(counts, histograms_spec(bins))
    update = rng.normal(size=world.plan.model.parameters).astype(np.float32)
    return encode(update, update_spec(world.plan.model.parameters))


def signed_reply(
    world: World,
    school: str,
    order: RoundOrder,
    payload: bytes,
    /,
    *,
    signer: Signer | None = None,
    **changes: object,
) -> dict[str, bytes]:
    """A reply over ``payload``; ``changes`` replaces fields of the manifest."""
    manifest = Manifest(
        school=school,
        plan_digest=order.plan_digest,
        run_id=order.run_id,
        round=order.round,
        kind=order.kind,
        order_digest=order_digest(order),
        nonce=order.nonce,
        update_digest=digest(payload),
        payload_bytes=len(payload),
        schema_fingerprint=world.plan.model.schema_fingerprint,
    ).model_copy(update=changes)
    return {
        "manifest": sign_manifest(manifest, signer or world.keys[school]),
        "payload": payload,
    }


def refusal(
    world: World, school: str, order: RoundOrder, code: RefusalCode, /, **changes: object
) -> dict[str, bytes]:
    notice = RefusalNotice(
        school=school,
        plan_digest=order.plan_digest,
        run_id=order.run_id,
        round=order.round,
        code=code,
        clause="node.switch",
    ).model_copy(update=changes)
    return {"refusal": sign_refusal(notice, world.keys[school])}
