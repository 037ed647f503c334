"""How much the federation itself costs: schools that answer at once, and one real contribution."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np
from flwr.app import Message
from support.federation import Delivery, Federation, Wire, build_federation
from support.measurement import Measurement, spread
from support.scripted_schools import World, build_world, order_in, signed_reply

from fedtrace.client.app import reply_with, request_in
from fedtrace.deploy.simulation.grid import SERVER_NODE_ID, InProcessGrid, Node
from fedtrace.deploy.workspace import Workspace
from fedtrace.governance.log.note import parse_note
from fedtrace.governance.log.witness import parse_add_checkpoint
from fedtrace.server.codec import encode, histograms_spec, update_spec
from fedtrace.server.round import run_job
from fedtrace.server.transport import GridTransport

SCHOOLS = 100
ROUNDS = 10
REPETITIONS = 5
GOAL_SECONDS = 1.0


def run() -> list[Measurement]:
    """A job of 100 schools and 10 rounds, and a contribution of the production client."""
    return [_many_schools(), _contribution()]


def _many_schools() -> Measurement:
    """Wall-clock seconds of `run_job`, with the real aggregator: signatures, store, log, checks.

    The schools only sign: contributions that are always the same, and every checkpoint that they
    are shown, without looking at it. An evaluation follows the ten rounds.
    """
    seconds = []
    with _folder() as name:
        for number in range(REPETITIONS):
            world = build_world(Path(name) / f"{number}", schools=SCHOOLS, rounds=ROUNDS)
            seconds.append(_job_seconds(world))
    return Measurement(
        name=f"in-process job, {SCHOOLS} schools x {ROUNDS} rounds",
        value=median(seconds),
        unit="s",
        spread=spread(seconds),
        baseline=f"goal of {GOAL_SECONDS:g} s",
        ratio=GOAL_SECONDS / median(seconds),
    )


def _job_seconds(world: World) -> float:
    names = dict(enumerate(world.keys, SERVER_NODE_ID + 1))
    payloads = _payloads(world)
    nodes = {node: _node(world, school, payloads) for node, school in names.items()}
    # The schools' deadlines are those of the machine's clock, which Flower's side goes by.
    world.clock.time = datetime.now(UTC)
    with closing(world.open()) as consortium:
        start = time.perf_counter()
        outcome = run_job(
            consortium,
            world.plan_digest,
            GridTransport(InProcessGrid(nodes), names),
            world.clock,
            progress=lambda event: None,
        )
        seconds = time.perf_counter() - start
    if [len(each.answered) for each in outcome.rounds] != [SCHOOLS] * ROUNDS:
        raise RuntimeError("a round went without some school, so this measures another job")
    return seconds


def _payloads(world: World) -> dict[str, bytes]:
    """What every school sends, by the kind of round."""
    size, bins = world.plan.model.parameters, world.plan.evaluation.bins
    return {
        "train": encode(np.ones(size, np.float32), update_spec(size)),
        "evaluate": encode(np.ones((2, bins)), histograms_spec(bins)),
    }


def _node(world: World, school: str, payloads: Mapping[str, bytes]) -> Node:
    cosigner = world.cosigner(school)

    def node(message: Message) -> Message:
        request = request_in(message)
        if "order" not in request:
            note = parse_add_checkpoint(request["add-checkpoint"]).note
            line = cosigner.cosign(parse_note(note)[0], now=world.clock.now())
            return reply_with(message, {"status": b"200", "body": f"{line}\n".encode()})
        order = order_in(request["order"])
        payload = payloads[order.kind]
        return reply_with(message, signed_reply(world, school, order, payload))

    return node


def _contribution() -> Measurement:
    """Seconds from a message to its answer at a small school, ledger and log on the disk.

    The first round is left out: a school asks the accountant about the whole job there.
    """
    seconds: list[float] = []
    with _folder() as name:
        folder = Path(name)
        template = build_federation(
            folder / "template", tables=folder / "tables", now=datetime.now(UTC)
        )
        for number in range(REPETITIONS):
            root = folder / f"{number}"
            shutil.copytree(template.workspace.root, root)
            workspace = Workspace(root=root, schools=template.schools)
            federation = Federation(workspace=workspace, plans=template.plans)
            faults = {(s, r): partial(_timed, seconds) for s in federation.schools for r in (2, 3)}
            federation.run(wire=Wire(federation, faults=faults))
    return Measurement(
        name="contribution of the real client, 15 students, shared-logistic-2",
        value=median(seconds),
        unit="s",
        spread=spread(seconds),
    )


def _timed(seconds: list[float], delivery: Delivery) -> list[Message]:
    start = time.perf_counter()
    answer = delivery.handed_over()
    seconds.append(time.perf_counter() - start)
    return [answer]


_folder: Callable[[], tempfile.TemporaryDirectory[str]] = partial(
    tempfile.TemporaryDirectory, prefix="fedtrace-bench-"
)
