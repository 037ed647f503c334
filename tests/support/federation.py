"""A small consortium as a deployment makes it, and a wire on which messages can go wrong.

Every home is made by the production steps: keys, charter, CSV import, plans that all have signed.
Only the network is left out, so what a test injects is what a network or a school could do.
"""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from flwr.app import ConfigRecord, Error, Message, RecordDict
from support.homes import CATALOGUE, MAPPING, SKILLS

from fedtrace.client.app import RECORD, request_in
from fedtrace.client.home import open_school
from fedtrace.client.keys import load_keys
from fedtrace.deploy.planning import Job, draft_plan
from fedtrace.deploy.simulation.grid import SERVER_NODE_ID, Node
from fedtrace.deploy.simulation.in_process import run_in_process
from fedtrace.deploy.workspace import Workspace, activate_plan, create_workspace, validity
from fedtrace.governance.canonical import digest
from fedtrace.governance.manifest import MANIFEST_TYPE, Manifest, sign_manifest
from fedtrace.governance.orders import ORDER_TYPE, RoundOrder, sign_order
from fedtrace.governance.plan import Plan, TrustMode
from fedtrace.governance.signing import KeySigner, Signer, unverified_payload
from fedtrace.models.simulator import simulate_schools
from fedtrace.server.outcome import JobOutcome
from fedtrace.server.ports import Clock

SCHOOLS = 3
STUDENTS = 15
MIN_STUDENTS = 8
ROUNDS = 3
EPSILON = 8.0


@dataclass(frozen=True, kw_only=True)
class Federation:
    """Homes, and the plans that a test can run.

    Attributes:
        workspace: where the homes are.
        plans: by name: ``usual``; ``foreign``, made for other code than is installed;
            ``distributed``, under secure sum; two of three schools are its quorum.
    """

    workspace: Workspace
    plans: Mapping[str, Plan]

    @property
    def schools(self) -> tuple[str, ...]:
        return self.workspace.schools

    @property
    def parameters(self) -> int:
        """The size of the model, the same in every plan."""
        return self.plans["usual"].model.parameters

    def home(self, school: str) -> Path:
        return self.workspace.school_homes[school]

    def signer(self, school: str) -> Signer:
        """The key with which a school signs what it sends."""
        return load_keys(self.home(school) / "keys").signer

    def aggregator(self) -> Signer:
        """The key with which orders are signed."""
        pem = self.workspace.consortium_home / "keys" / "aggregator.pem"
        return KeySigner.from_pem(pem.read_bytes())

    def run(
        self, plan: str = "usual", *, wire: Wire | None = None, clock: Clock | None = None
    ) -> JobOutcome:
        """Run the job of a plan from wherever it stands."""
        return run_in_process(
            self.workspace,
            self.plans[plan].digest(),
            progress=lambda event: None,
            clock=clock,
            transport=wire or Wire(self),
        )


@contextmanager
def copy_of(template: Federation, root: Path) -> Iterator[Federation]:
    """A copy that a test may spoil; gone when the block ends."""
    shutil.copytree(template.workspace.root, root)
    yield Federation(workspace=Workspace(root=root, schools=template.schools), plans=template.plans)
    shutil.rmtree(root)


def build_federation(root: Path, *, tables: Path, now: datetime) -> Federation:
    """Make the homes, import simulated students, and let all accept the plans.

    Args:
        root: of the workspace.
        tables: where the schools' CSV files go: they are the schools' own and not part of a home.
        now: the time of the first entries.
    """
    simulated = simulate_schools(
        schools=SCHOOLS, students_per_school=STUDENTS, skills=SKILLS, seed=1, answers_per_student=10
    )
    names = tuple(school.name for school in simulated)
    workspace = create_workspace(root, schools=names, max_epsilon=EPSILON, now=now)
    tables.mkdir(parents=True)
    for school in simulated:
        with (tables / f"{school.name}.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["student", "order", "skill", "correct"])
            for student, order, skill, correct in school.rows():
                writer.writerow([student, order, CATALOGUE.skills[skill], correct])
        with open_school(workspace.school_homes[school.name]) as opened:
            opened.import_csv(tables / f"{school.name}.csv", MAPPING, CATALOGUE, now=now)
    plans = {
        "usual": accept(workspace, "usual", now=now),
        "foreign": accept(workspace, "foreign", now=now, fab_digest=digest(b"another bundle")),
        "distributed": accept(workspace, "distributed", now=now, trust_mode="distributed"),
    }
    return Federation(workspace=workspace, plans=plans)


def accept(
    workspace: Workspace,
    name: str,
    *,
    now: datetime,
    fab_digest: str | None = None,
    trust_mode: TrustMode = "local",
    schema_fingerprint: str | None = None,
) -> Plan:
    """Draft a plan, and have it signed and accepted by all."""
    valid_from, valid_until = validity(now)
    plan, initial = draft_plan(
        Job(
            name=name,
            schools=workspace.schools,
            minimum_per_round=2,
            catalogue=CATALOGUE,
            planned_students=SCHOOLS * STUDENTS,
            architecture="shared-logistic-2",
            trust_mode=trust_mode,
            epsilon=EPSILON,
            rounds=ROUNDS,
            deadline_seconds=60,
            seed=1,
        ),
        valid_from=valid_from,
        valid_until=valid_until,
    )
    data = plan.data.model_copy(update={"min_students": MIN_STUDENTS})
    app = plan.app.model_copy(update={"fab_digest": fab_digest or plan.app.fab_digest})
    fingerprint = schema_fingerprint or plan.model.schema_fingerprint
    model = plan.model.model_copy(update={"schema_fingerprint": fingerprint})
    plan = plan.model_copy(update={"data": data, "app": app, "model": model})
    activate_plan(workspace, plan, catalogue=CATALOGUE, initial_parameters=initial, now=now)
    return plan


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """One message on its way to one school."""

    school: str
    message: Message
    node: Node
    order: RoundOrder

    @property
    def request(self) -> Mapping[str, bytes]:
        return request_in(self.message)

    def handed_over(self, **parts: bytes) -> Message:
        """The school's own answer, to the message as it was sent or with parts replaced."""
        if not parts:
            return self.node(self.message)
        content = RecordDict({RECORD: ConfigRecord({**self.request, **parts})})
        return self.node(Message(content=content, metadata=self.message.metadata))

    def answer(self, parts: Mapping[str, bytes]) -> Message:
        """An answer with exactly these parts, whoever made them."""
        return Message(RecordDict({RECORD: ConfigRecord(dict(parts))}), reply_to=self.message)

    def failed(self, code: int) -> Message:
        """What Flower itself reports where no answer of the school will come."""
        return Message(Error(code=code), reply_to=self.message)


Fault = Callable[[Delivery], Iterable[Message]]
"""What becomes of one message: the answers that arrive, none or several."""


@dataclass
class Wire:
    """The transport of the in-process federation: remembers every byte, and breaks on demand.

    Attributes:
        federation: whose messages these are.
        faults: (school, round) -> what happens to that message; all others arrive.
        sent: every part of every message, both ways, in order.
    """

    federation: Federation
    faults: Mapping[tuple[str, int], Fault] = field(default_factory=dict)
    sent: list[bytes] = field(default_factory=list)

    def __call__(self, node_id: int, message: Message, node: Node) -> Iterable[Message]:
        school = self.federation.schools[node_id - SERVER_NODE_ID - 1]
        self.sent.extend(parts_of(message).values())
        if "order" not in request_in(message):  # to the school as a witness; faults are in rounds
            answer = node(message)
            self.sent.extend(parts_of(answer).values())
            yield answer
            return
        order = order_in(message)
        delivery = Delivery(school=school, message=message, node=node, order=order)
        fault = self.faults.get((school, order.round))
        for answer in fault(delivery) if fault else [delivery.handed_over()]:
            self.sent.extend(parts_of(answer).values())
            yield answer


def order_in(message: Message) -> RoundOrder:
    """The order that a message carries, whoever signed it."""
    return RoundOrder.from_bytes(unverified_payload(request_in(message)["order"], ORDER_TYPE))


def parts_of(message: Message) -> dict[str, bytes]:
    """The bytes that a message carries, by name; empty where it reports an error."""
    return dict(request_in(message))


def resigned_order(order: RoundOrder, signer: Signer, **changes: object) -> bytes:
    """The order with changes, signed by whoever."""
    return sign_order(order.model_copy(update=changes), signer)


def resigned_answer(
    parts: Mapping[str, bytes], payload: bytes, signer: Signer, **changes: object
) -> dict[str, bytes]:
    """An answer whose manifest fits another payload, signed by whoever."""
    manifest = Manifest.from_bytes(unverified_payload(parts["manifest"], MANIFEST_TYPE))
    fitting = {"update_digest": digest(payload), "payload_bytes": len(payload), **changes}
    return {
        "manifest": sign_manifest(manifest.model_copy(update=fitting), signer),
        "payload": payload,
    }


@dataclass(frozen=True)
class LaterClock:
    """The machine's clock, set wrong by some time."""

    inner: Clock
    ahead: timedelta

    def now(self) -> datetime:
        return self.inner.now() + self.ahead
