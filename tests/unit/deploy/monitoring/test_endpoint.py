"""Liveness, readiness and metrics: three paths, loopback only, and a view that may fail."""

from __future__ import annotations

import json
import logging
import socket
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families

from fedtrace.deploy.monitoring.endpoint import endpoint
from fedtrace.deploy.monitoring.metrics import counters, gauge, gauges
from fedtrace.deploy.network.errors import PortInUseError
from fedtrace.deploy.network.lines import JsonLines, shorten
from fedtrace.deploy.network.ports import free_ports


@dataclass
class Shown:
    """A view that shows what it is told."""

    alive: bool = True
    wrong: tuple[str, ...] = ()
    families: list[Metric] = field(default_factory=list)
    error: Exception | None = None

    def is_alive(self) -> bool:
        return self.alive

    def problems(self) -> tuple[str, ...]:
        return self.wrong

    def collect(self) -> Iterable[Metric]:
        if self.error is not None:
            raise self.error
        return self.families


@pytest.fixture
def shown() -> Shown:
    return Shown()


@pytest.fixture
def client(shown: Shown) -> Iterator[httpx.Client]:
    (port,) = free_ports(1)
    with (
        endpoint(port, shown),
        httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client,
    ):
        yield client


def test_a_service_manager_learns_whether_it_lives_and_works(
    client: httpx.Client, shown: Shown
) -> None:
    assert client.get("/live").status_code == 200
    assert (client.get("/ready").status_code, client.get("/ready").text) == (200, "ready\n")
    shown.alive, shown.wrong = False, ("front does not run", "superlink does not run")
    assert client.get("/live").status_code == 503
    assert client.get("/ready").status_code == 503
    assert client.get("/ready").text == "front does not run\nsuperlink does not run\n"


def test_metrics_are_prometheus_text(client: httpx.Client, shown: Shown) -> None:
    shown.families = [
        gauge("disk_free_bytes", "Free.", 12),
        gauges("process_up", "1 while it runs.", "process", {'a "b"\\c': 1}),
        counters("rounds", "Over.", ("plan", "result"), [(("p", "closed"), 3)]),
    ]
    answer = client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    samples = {
        sample.name: (sample.labels, sample.value)
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }
    assert samples["fedtrace_disk_free_bytes"] == ({}, 12)
    assert samples["fedtrace_process_up"] == ({"process": 'a "b"\\c'}, 1)
    assert samples["fedtrace_rounds_total"] == ({"plan": "p", "result": "closed"}, 3)


def test_nothing_else_is_answered_and_no_error_text_leaves(
    client: httpx.Client, shown: Shown, caplog: pytest.LogCaptureFixture
) -> None:
    for path in ("/", "/metrics/", "/metrics?x=1", "/../etc/passwd", "/v1/control/list-nodes"):
        assert client.get(path).status_code == 404
    for method in ("POST", "PUT", "DELETE"):
        assert client.request(method, "/metrics").status_code == 501
    shown.error = OSError("/srv/home/school.db is damaged")
    answer = client.get("/metrics")
    assert answer.status_code == 500
    assert "school.db" not in answer.text
    assert "school.db" in caplog.text


def test_it_listens_on_loopback_alone(client: httpx.Client) -> None:
    port = client.base_url.port
    assert port is not None
    others = {entry[4][0] for entry in socket.getaddrinfo(socket.gethostname(), None)}
    for address in others - {"127.0.0.1", "::1"}:
        if not str(address).startswith("127."):
            with socket.socket() as probe:
                probe.settimeout(1)
                assert probe.connect_ex((address, port)) != 0
    with pytest.raises(PortInUseError, match="health and metrics"):
        endpoint(port, Shown()).__enter__()


def test_a_log_line_is_one_object(caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("fedtrace.test")
    with caplog.at_level(logging.INFO):
        try:
            raise ValueError("what\nhappened")
        except ValueError:
            logger.exception("two\nlines of %s", "text")
    line = JsonLines().format(caplog.records[0])
    assert "\n" not in line
    read = json.loads(line)
    assert read["message"] == "two\nlines of text"
    assert (read["level"], read["logger"]) == ("error", "fedtrace.test")
    assert "ValueError: what\nhappened" in read["error"]


def test_a_log_that_is_too_long_is_cut_while_somebody_writes(tmp_path: Path) -> None:
    log = tmp_path / "gate.log"
    with log.open("ab", buffering=0) as writer:
        log.chmod(0o600)
        writer.write(b"x" * 100)
        assert not shorten(log, longest_bytes=100)
        writer.write(b"y")
        assert shorten(log, longest_bytes=100)
        writer.write(b"z")
    assert log.read_bytes() == b"z"
    before = tmp_path / "gate.log.1"
    assert before.read_bytes() == b"x" * 100 + b"y"
    assert before.stat().st_mode & 0o777 == 0o600
    assert not shorten(tmp_path / "missing.log")
