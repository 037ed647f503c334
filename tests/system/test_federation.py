"""Three schools over real TLS, in the processes and with the options of a deployment.

One federation serves all tests of this file, in order: what outsiders can reach, a bundle that no
school has signed, a whole job, and at the end a school that dies in the middle of a round.
"""

import io
import ipaddress
import json
import socket
import ssl
import time
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import pytest
from support.homes import Homes, make_homes

from fedtrace.client.bundle import PLAN_DIGEST_KEY, build_fab
from fedtrace.deploy.network.certificates import client_context
from fedtrace.deploy.network.control import Control
from fedtrace.deploy.network.federation import Federation, FederationSettings
from fedtrace.deploy.network.nursery import federation_nursery
from fedtrace.server.registry import ModelRegistry

pytestmark = [pytest.mark.system, pytest.mark.timeout(400)]

DEADLINE_SECONDS = 20
WHOLE_JOB, FOREIGN_BUNDLE, DYING_SCHOOL, SUMMED_JOB = range(4)


@pytest.fixture(scope="module")
def homes(tmp_path_factory: pytest.TempPathFactory) -> Homes:
    return make_homes(
        tmp_path_factory.mktemp("homes"),
        now=datetime.now(UTC),
        rounds=(3, 1, 1),
        deadline_seconds=DEADLINE_SECONDS,
        summed_rounds=2,
    )


@pytest.fixture(scope="module")
def federation(homes: Homes, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federation]:
    settings = FederationSettings(
        directory=tmp_path_factory.mktemp("network"),
        consortium_home=homes.consortium,
        school_homes=homes.schools,
    )
    with (
        federation_nursery(len(homes.schools)) as nursery,
        Federation(settings, now=datetime.now(UTC), nursery=nursery) as running,
    ):
        yield running
    assert psutil.Process().children(recursive=True) == []
    assert processes_that_mention(settings.directory) == []


def processes_that_mention(directory: Path) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            if any(str(directory) in part for part in process.cmdline()):
                found.append(process)
        except psutil.Error:
            continue
    return found


def steps(homes: Homes, kind: str) -> list[Any]:
    """The progress lines of one kind, of all runs so far."""
    path = homes.consortium / "progress.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    return [step for step in map(json.loads, lines) if step["kind"] == kind]


def speak(federation: Federation, request_line: bytes, *, body: bytes = b"") -> bytes:
    """What the front answers to these bytes, sent as a school could send them."""
    host, port = federation.front_address
    request = (
        request_line
        + b" HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n"
        + b"content-type: application/protobuf\r\n"
        + b"content-length: %d\r\n\r\n" % len(body)
        + body
    )
    context = client_context(federation.ca_certificate)
    with (
        socket.create_connection((host, port), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname=host) as secure,
    ):
        secure.sendall(request)
        answer = b""
        while part := secure.recv(65536):
            answer += part
    return answer


@pytest.mark.parametrize(
    "path",
    [
        b"/v1/control/list-runs",
        b"/v1/control/list-nodes",
        b"/v1/control/start-run",
        b"/v1/runtime/acquire-task",
        b"/v1/fleet/register-node",
        b"/v1/fleet/../control/list-runs",
        b"/v1/fleet/%2e%2e/control/list-runs",
        b"/v1/fleet/pull-messages/../../control/list-runs",
        b"/v1/fleet/pull-messages?/../../control/list-runs",
        b"//v1/control/list-runs",
        b"https://localhost/v1/control/list-runs",
        b"/docs",
        b"/openapi.json",
        b"/health",
    ],
)
def test_nothing_but_the_fleet_api_can_be_reached(federation: Federation, path: bytes) -> None:
    assert speak(federation, b"POST " + path).startswith(b"HTTP/1.1 404 ")
    assert speak(federation, b"GET " + path).startswith(b"HTTP/1.1 404 ")


def test_the_fleet_api_answers_only_registered_nodes(federation: Federation) -> None:
    assert speak(federation, b"POST /v1/fleet/pull-messages").startswith(b"HTTP/1.1 401 ")


def test_two_requests_in_one_are_one(federation: Federation) -> None:
    """A second request that hides in the body of the first is a body and nothing else."""
    hidden = b"POST /v1/control/list-runs HTTP/1.1\r\nhost: localhost\r\n\r\n"
    answer = speak(federation, b"POST /v1/fleet/get-run", body=hidden)
    assert answer.count(b"HTTP/1.1 ") == 1
    assert not answer.startswith(b"HTTP/1.1 200 ")


def test_old_tls_is_not_spoken(federation: Federation) -> None:
    host, port = federation.front_address
    context = client_context(federation.ca_certificate)
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_2
    with (
        socket.create_connection((host, port), timeout=10) as plain,
        pytest.raises(ssl.SSLError),
    ):
        context.wrap_socket(plain, server_hostname=host)


def test_a_bundle_that_no_school_has_signed_is_refused_by_all(
    federation: Federation, homes: Homes
) -> None:
    foreign = io.BytesIO(build_fab())
    with zipfile.ZipFile(foreign, "a") as archive:
        archive.writestr("fedtrace/client/app.py", "raise SystemExit('taken over')")
    with Control(f"127.0.0.1:{federation.superlink_port}", federation.ca_certificate) as operator:
        run = operator.start_run(foreign.getvalue(), {PLAN_DIGEST_KEY: homes.plans[FOREIGN_BUNDLE]})
        federation.wait(run, seconds=120)
    refusals = {(step["school"], step["detail"]) for step in steps(homes, "school.refused")}
    assert refusals == {(school, "R07") for school in homes.schools}
    assert not steps(homes, "update.received")


def test_a_job_runs_to_its_model_and_nobody_looks_outside(
    federation: Federation, homes: Homes
) -> None:
    seen: set[str] = set()

    def look(_status: object) -> None:
        for process in psutil.Process().children(recursive=True):
            try:
                for connection in process.net_connections(kind="inet"):
                    seen.update(end.ip for end in (connection.laddr, connection.raddr) if end)
            except psutil.Error:
                continue

    run = federation.start_run(homes.plans[WHOLE_JOB])
    started = time.monotonic()
    federation.wait(run, seconds=240, tick=look)
    print(f"\n3 rounds and an evaluation: {time.monotonic() - started:.1f} s")
    assert len(steps(homes, "round.closed")) == 3
    assert len(steps(homes, "update.received")) == 4 * len(homes.schools)
    assert len(steps(homes, "model.released")) == 1
    assert list(ModelRegistry(homes.consortium / "models").names())
    assert seen
    assert all(ipaddress.ip_address(address).is_loopback for address in seen)


def test_a_finished_job_is_not_run_again(federation: Federation, homes: Homes) -> None:
    before = len(steps(homes, "round.opened"))
    federation.wait(federation.start_run(homes.plans[WHOLE_JOB]), seconds=120)
    assert len(steps(homes, "round.opened")) == before


def test_a_job_under_secure_sum(federation: Federation, homes: Homes) -> None:
    closed, received = (len(steps(homes, k)) for k in ("round.closed", "update.received"))
    run = federation.start_run(homes.plans[SUMMED_JOB])
    started = time.monotonic()
    federation.wait(run, seconds=360)
    print(f"\n2 rounds and an evaluation under secure sum: {time.monotonic() - started:.1f} s")
    assert len(steps(homes, "round.closed")) == closed + 2
    assert len(steps(homes, "update.received")) == received + 3 * len(homes.schools)
    assert steps(homes, "evaluation.closed")[-1]["round"] == 3


def test_a_school_that_dies_in_a_round_is_named_and_the_round_closes(
    federation: Federation, homes: Homes
) -> None:
    opened = len(steps(homes, "round.opened"))
    closed = len(steps(homes, "round.closed"))
    run = federation.start_run(homes.plans[DYING_SCHOOL])
    started = time.monotonic()

    def kill_once_opened(_status: object) -> None:
        victim = "school-3-gate" in {child.command.name for child in federation.children}
        if victim and len(steps(homes, "round.opened")) > opened:
            federation.kill_school("school-3")

    federation.wait(run, seconds=240, tick=kill_once_opened)
    assert time.monotonic() - started < 4 * DEADLINE_SECONDS
    assert "school-3" in {step["school"] for step in steps(homes, "school.missing")}
    assert len(steps(homes, "round.closed")) == closed + 1
