"""A server that holds every key of the consortium and asks whatever a script wants.

It can sign any order, write anything into the consortium's log and have it witnessed; what a
school answers then is the school's own code. Only the network is left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Self

from support.federation import Federation

from fedtrace.client.contribution import answer
from fedtrace.client.home import open_school
from fedtrace.client.school import School
from fedtrace.deploy.simulation.in_process import SystemClock
from fedtrace.governance.log.entries import Entry, RoundOpened
from fedtrace.governance.orders import RoundOrder, sign_order
from fedtrace.governance.plan import Plan
from fedtrace.server.consortium import Consortium, open_consortium
from fedtrace.server.ports import Reply, Request
from fedtrace.server.witnessing import WitnessedTransport


@dataclass
class HostileServer:
    """The consortium's side of an in-process federation, without its conscience.

    Attributes:
        federation: the homes, with nobody else working in them.
        plan: the plan that orders name where a script says nothing else.
    """

    federation: Federation
    plan: Plan
    schools: dict[str, School] = field(default_factory=dict)

    def __enter__(self) -> Self:
        self._open = ExitStack()
        self.consortium: Consortium = open_consortium(self.federation.workspace.consortium_home)
        self._open.callback(self.consortium.close)
        for name in self.federation.schools:
            self.schools[name] = self._open.enter_context(open_school(self.federation.home(name)))
        self._witnessed = WitnessedTransport(_Wire(self), self.consortium, SystemClock())
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def now(self) -> datetime:
        return SystemClock().now()

    def order(self, **changes: object) -> RoundOrder:
        """Round 1 of the plan, asked of all now, with changes."""
        kind = changes.get("kind", "train")
        values: dict[str, object] = {
            "kind": kind,
            "run_id": "run-hostile",
            "plan_digest": self.plan.digest(),
            "round": 1,
            "checkpoint_digest": self.plan.model.initial_parameters_digest,
            "previous_round_digest": None,
            "schools": self.federation.schools,
            "deadline": self.now() + timedelta(seconds=self.plan.rounds.deadline_seconds),
            "nonce": "0f" * 16,
            "privacy": self.plan.round_privacy("train" if kind == "train" else "evaluate"),
        }
        return RoundOrder.model_validate({**values, **changes})

    def initial(self) -> bytes:
        """The parameters that the plan's round 1 starts from."""
        return self.consortium.plans.initial_parameters(self.plan.digest())

    def write(self, entry: Entry) -> None:
        """Put anything into the consortium's log."""
        self.consortium.log.append(entry, now=self.now())

    def open_round(self, order: RoundOrder) -> None:
        """Log an order as an honest server does."""
        self.write(
            RoundOpened(
                plan_digest=order.plan_digest,
                run_id=order.run_id,
                round=order.round,
                kind=order.kind,
                order_digest=order.digest(),
                checkpoint_digest=order.checkpoint_digest,
                schools=order.schools,
            )
        )

    def send(self, school: str, envelope: bytes, **parts: bytes) -> Reply:
        """Send an order, whoever signed it, under a witnessed log; the school's answer."""
        request = {"order": envelope, "checkpoint": self.initial(), **parts}
        deadline = self.now() + timedelta(seconds=5)
        ((_, reply),) = self._witnessed.ask({school: request}, deadline=deadline)
        assert reply is not None
        return reply

    def ask(self, school: str, order: RoundOrder, *, logged: bool = True, **parts: bytes) -> Reply:
        """Log, sign and send an order."""
        if logged:
            self.open_round(order)
        return self.send(school, sign_order(order, self.consortium.aggregator), **parts)


@dataclass
class _Wire:
    """Carries every message at once, to the schools of one server."""

    server: HostileServer

    def connected(self) -> frozenset[str]:
        return frozenset(self.server.schools)

    def ask(
        self, requests: Mapping[str, Request], *, deadline: datetime
    ) -> Iterator[tuple[str, Reply | None]]:
        for name, request in requests.items():
            yield name, answer(request, school=self.server.schools[name], now=self.server.now())
