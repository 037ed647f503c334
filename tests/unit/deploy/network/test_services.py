"""Keeping processes and jobs alive, renewing certificates, and saying what is in the way."""

from __future__ import annotations

import ssl
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from cryptography import x509
from support.proxy import proxy_with_login

from fedtrace.deploy.network.control import RunStatus
from fedtrace.deploy.network.doctor import Check, examine
from fedtrace.deploy.network.errors import NetworkError
from fedtrace.deploy.network.hosting import admit
from fedtrace.deploy.network.jobs import Jobs
from fedtrace.deploy.network.keeping import Keeper
from fedtrace.deploy.network.node import connect, connection_of, connection_to
from fedtrace.deploy.network.processes import Command, Supervisor
from fedtrace.deploy.network.provisioning import ServerIdentity, provision_server, renew_server

NOW = datetime(2026, 9, 1, 8, tzinfo=UTC)
PLAN = "sha256:" + "a" * 64
FAILED = RunStatus(phase="finished", outcome="failed", details="it died")


class Clock:
    """Seconds that a test moves on."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


class ScriptedRuns:
    """A SuperLink whose runs end as they are told to."""

    def __init__(self) -> None:
        self.started: list[str] = []
        self.stopped: list[int] = []
        self.ends = RunStatus(phase="running", outcome="", details="")

    def start_run(self, fab: bytes, settings: dict[str, str]) -> int:
        assert fab == b"bundle"
        self.started.append(settings["plan-digest"])
        return len(self.started)

    def status(self, run_id: int) -> RunStatus:
        assert run_id == len(self.started)
        return self.ends

    def stop_run(self, run_id: int) -> None:
        self.stopped.append(run_id)


class ScriptedHome:
    """A machine on which a ServerApp is or is not, and a job is as far as it is told to be."""

    def __init__(self) -> None:
        self.works = True
        self.rounds = 0

    def has_serverapp(self) -> bool:
        return self.works

    def rounds_over(self, plan_digest: str) -> int:
        assert plan_digest == PLAN
        return self.rounds


@pytest.mark.system
def test_what_ends_is_started_again_ever_more_patiently(tmp_path: Path) -> None:
    command = Command(
        name="short", entry_point="os:getpid", arguments=(), environment={"PATH": sys.prefix}
    )
    clock = Clock()
    with Supervisor(tmp_path) as supervisor:
        keeper = Keeper(supervisor, clock=clock)
        child = supervisor.start(command)
        child.process.wait(30)
        pauses = []
        for _ in range(8):
            began = clock.seconds
            while not keeper.tick():
                clock.seconds += 0.5
            pauses.append(clock.seconds - began)
            supervisor.children[0].process.wait(30)
        assert pauses == [1, 2, 4, 8, 16, 32, 60, 60]
        clock.seconds += 1000  # it was well for a long time, and ends once more
        began = clock.seconds
        while not keeper.tick():
            clock.seconds += 0.5
        assert clock.seconds - began == 1
        assert len(supervisor.children) == 1


@pytest.mark.system
def test_with_one_that_ends_the_other_is_started_again(tmp_path: Path) -> None:
    def runs(name: str) -> Command:
        return Command(
            name=name,
            entry_point="os:getpid" if name == "gate" else "signal:pause",
            arguments=(),
            environment={"PATH": sys.prefix},
        )

    clock = Clock()
    with Supervisor(tmp_path) as supervisor:
        keeper = Keeper(supervisor, along={"gate": "node"}, clock=clock)
        for name in ("gate", "node", "bystander"):
            supervisor.start(runs(name))
        before = {child.command.name: child.process for child in supervisor.children}
        before["gate"].wait(30)
        assert keeper.tick() == ()
        clock.seconds += 1
        assert keeper.tick() == ("gate", "node")
        after = {child.command.name: child.process for child in supervisor.children}
        assert after["bystander"] is before["bystander"]
        assert after["node"] is not before["node"]
        assert before["node"].poll() is not None
        assert keeper.observed.restarts == {"gate": 1, "node": 1, "bystander": 0}


def test_a_job_that_fails_is_started_again_and_one_that_ended_is_not(tmp_path: Path) -> None:
    jobs, runs, home, now = Jobs(tmp_path / "jobs"), ScriptedRuns(), ScriptedHome(), NOW
    jobs.ask(PLAN)
    for failures in range(4):
        jobs.tick(runs, home, fab=lambda: b"bundle", now=now)
        assert len(runs.started) == failures + 1
        jobs.ask(PLAN)  # asking again while it runs changes nothing
        runs.ends = FAILED
        jobs.tick(runs, home, fab=lambda: b"bundle", now=now)
        (job,) = jobs.all()
        assert (job.state, job.failures, job.says) == ("waiting", failures + 1, "it died")
        assert job.due_at == now + timedelta(seconds=5 * 2**failures)
        jobs.tick(runs, home, fab=lambda: b"bundle", now=job.due_at - timedelta(seconds=1))
        assert len(runs.started) == failures + 1
        now = job.due_at
    runs.ends = RunStatus(phase="finished", outcome="completed", details="")
    for _ in range(3):
        jobs.tick(runs, home, fab=lambda: b"bundle", now=now)
    assert len(runs.started) == 5
    assert [job.state for job in Jobs(tmp_path / "jobs").all()] == ["over"]


def test_a_job_that_was_given_up_is_asked_for_no_more(tmp_path: Path) -> None:
    jobs, runs, home = Jobs(tmp_path / "jobs"), ScriptedRuns(), ScriptedHome()
    jobs.end(PLAN)
    assert jobs.all() == ()
    jobs.ask(PLAN)
    jobs.end(PLAN)
    jobs.tick(runs, home, fab=lambda: b"bundle", now=NOW)
    assert (runs.started, [job.state for job in jobs.all()]) == ([], ["over"])


def test_a_round_that_ended_makes_the_next_failure_the_first(tmp_path: Path) -> None:
    jobs, runs, home, now = Jobs(tmp_path / "jobs"), ScriptedRuns(), ScriptedHome(), NOW
    jobs.ask(PLAN)
    pauses = []
    for rounds in (0, 0, 3, 3, 4, 0, 4):  # 0 once more: the database could not be read
        jobs.tick(runs, home, fab=lambda: b"bundle", now=now)
        runs.ends, home.rounds = FAILED, rounds
        jobs.tick(runs, home, fab=lambda: b"bundle", now=now)
        (job,) = jobs.all()
        assert job.due_at is not None
        pauses.append((job.due_at - now).total_seconds())
        now = job.due_at
    assert pauses == [5, 10, 5, 10, 5, 10, 20]


def test_a_run_whose_process_was_killed_is_not_waited_for(tmp_path: Path) -> None:
    """Flower misses its heartbeat after a minute; whoever started the process sees it at once."""
    jobs, runs, home, now = Jobs(tmp_path / "jobs"), ScriptedRuns(), ScriptedHome(), NOW

    def look(phase: str, *, works: bool) -> None:
        nonlocal now
        now += timedelta(seconds=2)
        runs.ends, home.works = RunStatus(phase=phase, outcome="", details=""), works
        jobs.tick(runs, home, fab=lambda: b"bundle", now=now)

    jobs.ask(PLAN)
    for _ in range(10):  # its interpreter takes its time
        look("starting", works=False)
    for works in (True, False, False, True, False, False):
        look("running", works=works)
    assert runs.stopped == []
    look("running", works=False)
    assert runs.stopped == [1]
    (job,) = jobs.all()
    assert (job.state, job.failures) == ("waiting", 1)
    assert "was killed" in job.says
    for _ in range(3):
        look("running", works=False)
    assert len(runs.started) == 2


def test_a_run_that_was_stopped_because_nobody_works_on_it_is_never_taken_for_over(
    tmp_path: Path,
) -> None:
    """A crash between the two leaves the job waiting, and Flower a run that it ends itself."""

    class Unreachable(ScriptedRuns):
        def stop_run(self, run_id: int) -> None:
            raise NetworkError(f"run {run_id}: the SuperLink does not answer")

    jobs, runs, home = Jobs(tmp_path / "jobs"), Unreachable(), ScriptedHome()
    jobs.ask(PLAN)
    home.works = False
    for seconds in (0, 2):
        jobs.tick(runs, home, fab=lambda: b"bundle", now=NOW + timedelta(seconds=seconds))
    with pytest.raises(NetworkError):
        jobs.tick(runs, home, fab=lambda: b"bundle", now=NOW + timedelta(seconds=6))
    assert [job.state for job in jobs.all()] == ["waiting"]


def test_a_damaged_job_file_is_named(tmp_path: Path) -> None:
    (tmp_path / f"{'a' * 64}.json").write_text("{}")
    with pytest.raises(NetworkError, match="start the job again"):
        Jobs(tmp_path).all()


def names_in(path: Path) -> set[str]:
    certificate = x509.load_pem_x509_certificate(path.read_bytes())
    found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return {str(name.value) for name in found}


def test_a_certificate_is_renewed_for_other_names_or_before_it_ends(tmp_path: Path) -> None:
    identity = provision_server(tmp_path, hosts=["fed.example", "127.0.0.1"], now=NOW)
    ca = identity.ca_certificate.read_bytes()
    assert not renew_server(tmp_path, hosts=["fed.example", "127.0.0.1"], now=NOW)
    assert renew_server(tmp_path, hosts=["other.example", "127.0.0.1"], now=NOW)
    assert names_in(identity.certificate) == {"other.example", "127.0.0.1"}
    late = NOW + timedelta(days=370)
    assert renew_server(tmp_path, hosts=["other.example", "127.0.0.1"], now=late)
    renewed = x509.load_pem_x509_certificate(identity.certificate.read_bytes())
    assert renewed.not_valid_after_utc > late + timedelta(days=390)
    renewed.verify_directly_issued_by(x509.load_pem_x509_certificate(ca))
    assert identity.ca_certificate.read_bytes() == ca


def test_another_key_of_an_admitted_school_is_refused(tmp_path: Path) -> None:
    admit(tmp_path, "school-1", b"one")
    admit(tmp_path, "school-1", b"one")
    with pytest.raises(FileExistsError):
        admit(tmp_path, "school-1", b"two")


def test_a_connection_is_kept_private_and_read_back(tmp_path: Path) -> None:
    proxy = "http://user:secret@proxy.school:3128"
    connection = connection_to("school-1", "fed.example:8443", proxy)
    key = connect(tmp_path, connection, b"CA")
    again = connect(tmp_path, connection, b"CA")
    assert key == again
    assert connection_of(tmp_path) == connection
    assert (tmp_path / "network" / "node.json").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("server", "proxy"),
    [
        ("fed.example", None),
        ("fed.example:http", None),
        ("fed.example:70000", None),
        ("bad host:1", None),
        ("fed.example:1", "socks5://user:secret@h:1"),
    ],
)
def test_a_server_that_is_no_address(server: str, proxy: str | None) -> None:
    with pytest.raises(ValueError, match=r"HOST:PORT|1 to 65535|a name or an address") as error:
        connection_to("school-1", server, proxy)
    assert "secret" not in str(error.value)


def status_of(checks: tuple[Check, ...], name: str) -> Check:
    (found,) = (check for check in checks if check.name == name)
    return found


def test_the_doctor_says_what_to_repair(tmp_path: Path) -> None:
    checks = examine(tmp_path, now=NOW)
    assert "fedtrace school join" in status_of(checks, "connection").sentence
    assert {check.status for check in checks if check.name == "keys"} == {"FAIL"}
    assert all("backup" in check.sentence for check in checks if check.name == "keys")


def test_the_doctor_stops_where_the_way_ends(tmp_path: Path) -> None:
    ca = provision_server(tmp_path / "ca", hosts=["localhost"], now=NOW).ca_certificate
    connect(tmp_path, connection_to("s", "name.invalid:8443", None), ca.read_bytes())
    checks = examine(tmp_path, now=NOW)
    assert checks[-1].name == "name"
    assert "nslookup name.invalid" in checks[-1].sentence
    connect(tmp_path, connection_to("s", "localhost:1", None), ca.read_bytes())
    checks = examine(tmp_path, now=NOW)
    assert checks[-1].name == "port and certificate"
    assert "firewall" in checks[-1].sentence
    proxied = connection_to("s", "name.invalid:8443", "http://me:secret@127.0.0.1:1")
    connect(tmp_path, proxied, ca.read_bytes())
    checks = examine(tmp_path, now=NOW)
    assert checks[-1].status == "FAIL"
    assert "through proxy http://127.0.0.1:1" in checks[-1].sentence
    assert "secret" not in checks[-1].sentence


@pytest.mark.parametrize(
    ("off", "status", "said"),
    [
        (timedelta(hours=1), "FAIL", "ahead of the consortium's, more than 300 s: set it by NTP"),
        (timedelta(hours=-1), "FAIL", "behind the consortium's, more than 300 s: set it by NTP"),
        (timedelta(minutes=2), "WARN", "ahead of the consortium's: set it by NTP"),
        (timedelta(), "PASS", "the consortium's"),
    ],
)
def test_the_doctor_compares_the_clocks(
    off: timedelta, status: str, said: str, tmp_path: Path
) -> None:
    identity = provision_server(tmp_path / "ca", hosts=["localhost"], now=datetime.now(UTC))
    with https_server(identity) as port:
        there = connection_to("s", f"localhost:{port}", None)
        connect(tmp_path, there, identity.ca_certificate.read_bytes())
        checks = examine(tmp_path, now=datetime.now(UTC) + off)
    assert status_of(checks, "answer").status == "PASS"
    assert status_of(checks, "clock").status == status
    assert said in status_of(checks, "clock").sentence


@contextmanager
def https_server(identity: ServerIdentity) -> Iterator[int]:
    """A server that knows no page and, as every one does, says what time it is; yields its port."""
    with ThreadingHTTPServer(("127.0.0.1", 0), SimpleHTTPRequestHandler) as server:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(identity.certificate, identity.private_key)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


def test_the_doctor_says_that_the_proxy_does_not_take_the_login(tmp_path: Path) -> None:
    ca = provision_server(tmp_path / "ca", hosts=["localhost"], now=NOW).ca_certificate
    with proxy_with_login() as proxy:
        for login in ("it:wrong", "nobody:room-12"):
            proxied = connection_to("s", "fed.example:8443", proxy.url(login))
            connect(tmp_path, proxied, ca.read_bytes())
            said = examine(tmp_path, now=NOW)[-1]
            assert (said.name, said.status) == ("proxy", "FAIL")
            assert "does not take the one it was given" in said.sentence
            assert "school connect fed.example:8443 --proxy" in said.sentence
            assert login.partition(":")[2] not in said.sentence
        assert proxy.refused == ["fed.example:8443"] * 2
        assert proxy.opened == []
