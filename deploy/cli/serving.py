"""The long-running side: what serves, what connects, and what looks whether that works."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, closing, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedtrace.deploy.cli.documents import naming, read_catalogue, read_document
from fedtrace.deploy.cli.options import ConsortiumHome, Home, Json
from fedtrace.deploy.cli.output import (
    ExitCode,
    plain_errors,
    print_checks,
    print_json,
    print_lines,
    say_next,
)
from fedtrace.deploy.network.lines import LogFormat, configure_logging

if TYPE_CHECKING:
    from fedtrace.deploy.monitoring.endpoint import View
    from fedtrace.deploy.network.hosting import ConsortiumService
    from fedtrace.deploy.network.node import SchoolService

_TICK_SECONDS = 1.0
_WAITING_SECONDS = 5.0  # between two looks whether the consortium has approved


Metrics = Annotated[
    int | None,
    typer.Option(
        "--metrics",
        min=1,
        max=65535,
        metavar="PORT",
        help="Answer /live, /ready and /metrics (Prometheus) on 127.0.0.1 at this port.",
    ),
]
Logs = Annotated[
    LogFormat, typer.Option("--log-format", help="Of the service's own lines and its processes'.")
]


def serve(home: ConsortiumHome, metrics: Metrics = None, log_format: Logs = LogFormat.TEXT) -> None:
    """Run the consortium's server until Ctrl-C or SIGTERM: one public TLS port, all jobs.

    What ends is started again. Invites, approvals, jobs and certificates are looked after while it
    runs; nothing has to be stopped for them.
    """
    from fedtrace.deploy.enrolment.founding import is_founded
    from fedtrace.deploy.enrolment.routes import authority_digest
    from fedtrace.deploy.network.address import read_address
    from fedtrace.deploy.network.hosting import ConsortiumService
    from fedtrace.server.consortium import open_consortium

    with plain_errors():
        address = read_address(home)
        if is_founded(home):
            open_consortium(home).close()  # what is wrong with it is said before anything starts
        configure_logging(log_format)
        with (
            ConsortiumService(home, address, _clock) as service,
            _endpoint(metrics, lambda: _consortium_view(home, service)),
        ):
            print_lines(f"serving at {address.hosts[0]}:{address.port}")
            print_lines(f"its authority: {authority_digest(service.ca_certificate.read_bytes())}")
            if not is_founded(home):
                say_next(
                    f"fedtrace consortium invite SCHOOL --home {home}, for each school; there is "
                    "no charter yet"
                )
            while True:
                service.tick()
                time.sleep(_TICK_SECONDS)


def activate(
    envelopes: Annotated[
        list[Path],
        typer.Argument(help="The signed plan; several if signed apart.", metavar="PLAN.dsse.json"),
    ],
    home: ConsortiumHome,
    catalogue: Annotated[Path, typer.Option(help="The plan's catalogue.json.")],
    initial: Annotated[Path, typer.Option(help="The plan's NAME.initial.safetensors.")],
) -> None:
    """Put a plan into force that enough members have signed; the log says so from now on."""
    from fedtrace.governance.agreement import merge_agreements
    from fedtrace.governance.plan import PLAN_TYPE
    from fedtrace.governance.signing import unverified_payload
    from fedtrace.server.consortium import PLANS_FOLDER, open_consortium
    from fedtrace.server.plans import PLAN_FILE

    with plain_errors():
        signed_apart = []
        for path in envelopes:
            content = read_document(path)
            with naming(path):
                unverified_payload(content, PLAN_TYPE)
            signed_apart.append(content)
        with closing(open_consortium(home)) as consortium:
            signed = consortium.activate_plan(
                merge_agreements(signed_apart, PLAN_TYPE, consortium.charter),
                catalogue=read_catalogue(catalogue).to_json(),
                initial_parameters=read_document(initial),
                now=datetime.now(UTC),
            )
    print_lines(
        f"{signed.plan.name} is active, {signed.digest}\nsigned by {', '.join(signed.signers)}"
    )
    whole = home / PLANS_FOLDER / signed.digest.removeprefix("sha256:") / PLAN_FILE
    say_next(
        f"send {whole}, with all signatures, to every school, which runs fedtrace school accept; "
        f"then fedtrace consortium start {signed.plan.name} --home {home}"
    )


def withdraw(
    envelopes: Annotated[
        list[Path],
        typer.Argument(
            help="The signed revocation; several if signed apart.",
            metavar="PLAN.revocation.dsse.json",
        ),
    ],
    home: ConsortiumHome,
) -> None:
    """Take back a plan that enough members have revoked; its job ends and nothing is released.

    A job that runs logs it before it asks for anything else; at most the round that is open is
    still answered. It cannot be undone.
    """
    from fedtrace.deploy.cli.plan_life import revocation_in
    from fedtrace.governance.agreement import merge_agreements
    from fedtrace.governance.charter_history import read_charters
    from fedtrace.governance.revocation import REVOCATION_TYPE
    from fedtrace.server.consortium import PLANS_FOLDER, open_consortium
    from fedtrace.server.plans import PlanShelf

    with plain_errors():
        charters = read_charters(home)
        apart = [revocation_in(path) for path in envelopes]
        merged = merge_agreements(apart, REVOCATION_TYPE, charters.current)
        shelf = PlanShelf(home / PLANS_FOLDER)
        signed = shelf.revoke(merged, charters)
        plan_digest = signed.revocation.plan_digest
        try:
            with closing(open_consortium(home)) as consortium:
                consortium.revocation_of(plan_digest, now=datetime.now(UTC))
            said = "the log says so from now on"
        except BlockingIOError:
            said = "the job that runs will log it before it asks for anything else"
    print_lines(
        f"{plan_digest} is revoked, {signed.revocation.reason}\n"
        f"signed by {', '.join(signed.signers)}\n{said}"
    )
    say_next(f"fedtrace consortium status --home {home}")


def start(
    plan: Annotated[str, typer.Argument(help="The plan's digest, or its name.", metavar="PLAN")],
    home: ConsortiumHome,
) -> None:
    """Have the server run the job of an active plan; a job that was broken off goes on."""
    from fedtrace.deploy.network.hosting import job_folder
    from fedtrace.deploy.network.jobs import Jobs
    from fedtrace.server.consortium import find_plan

    with plain_errors():
        digest = find_plan(home, plan).digest
        Jobs(job_folder(home)).ask(digest)
    print_lines(f"the job of {digest} was asked for")
    say_next(f"fedtrace consortium status --home {home}")


def abandon(
    plan: Annotated[str, typer.Argument(help="The plan's digest, or its name.", metavar="PLAN")],
    home: ConsortiumHome,
) -> None:
    """Give up a job whose rounds are in the log and no longer in the database, for good.

    For a consortium that was restored from a backup older than its log. Nothing of the job is
    asked again, no model is released, and nobody gets back what was spent.
    """
    from fedtrace.deploy.network.hosting import job_folder
    from fedtrace.deploy.network.jobs import Jobs
    from fedtrace.server.consortium import find_plan, open_consortium
    from fedtrace.server.lost import abandon as give_up

    with plain_errors():
        signed = find_plan(home, plan)
        with closing(open_consortium(home)) as consortium:
            closed = give_up(consortium, signed.digest, now=datetime.now(UTC))
        Jobs(job_folder(home)).end(signed.digest)
    print_lines(
        f"{closed.run_id} of {signed.plan.name} is over after round {closed.rounds}: "
        f"{closed.reason.replace('_', ' ')}\nwhat its students were charged stays charged"
    )
    say_next(
        "to train again, copy the plan under another name and have it signed: this plan is never "
        "run again"
    )


def status(home: ConsortiumHome, json: Json = False) -> None:
    """Say how the server is, which schools are connected, and how far the jobs are.

    Exit code 0: all is well; 1: something needs a person.
    """
    from fedtrace.deploy.network.status import consortium_status

    with plain_errors():
        found = consortium_status(home, now=datetime.now(UTC))
    if json:
        print_json(found.as_json())
    else:
        print_lines("\n".join(found.lines()))
    raise typer.Exit(ExitCode.WARNING if found.problems else ExitCode.DONE)


def connect(
    server: Annotated[str, typer.Argument(help="HOST:PORT of the consortium.", metavar="SERVER")],
    home: Home,
    proxy: Annotated[
        str | None, typer.Option(help="http://[USER:PASSWORD@]HOST:PORT of the school's proxy.")
    ] = None,
) -> None:
    """Change where a node that has joined finds its consortium, or the proxy on the way.

    Keys, and the certificate authority that is trusted, stay as they are.
    """
    from fedtrace.deploy.network.node import reconnect

    with plain_errors():
        connection = reconnect(home, server, proxy)
    print_lines(f"{connection.school} connects to {connection.host}:{connection.port}")
    say_next(f"start fedtrace school run --home {home} again; fedtrace school doctor tries the way")


def run(home: Home, metrics: Metrics = None, log_format: Logs = LogFormat.TEXT) -> None:
    """Run the school's node until Ctrl-C or SIGTERM: it connects outwards and accepts nothing.

    After ``fedtrace school join`` it waits for the approval first. What ends is started again; a
    consortium that is away is waited for.
    """
    from fedtrace.client.home import open_school
    from fedtrace.deploy.network.node import SchoolService

    with plain_errors():
        _wait_for_charter(home)
        open_school(home).close()  # what is wrong with the home is said before anything starts
        configure_logging(log_format)
        with (
            SchoolService(home) as service,
            _endpoint(metrics, lambda: _school_view(home, service)),
        ):
            print_lines("the gate is ready")
            connected = False
            while True:
                service.tick()
                if not connected and service.is_connected():
                    connected = True
                    print_lines("connected to the consortium")
                time.sleep(_TICK_SECONDS)


def _clock() -> datetime:
    return datetime.now(UTC)


def _endpoint(port: int | None, view: Callable[[], View]) -> AbstractContextManager[object]:
    """Health and metrics where they are wanted."""
    from fedtrace.deploy.monitoring.endpoint import endpoint

    return nullcontext() if port is None else endpoint(port, view())


def _consortium_view(home: Path, service: ConsortiumService) -> View:
    from fedtrace.deploy.monitoring.consortium import ConsortiumView

    return ConsortiumView(home, service, _clock)


def _school_view(home: Path, service: SchoolService) -> View:
    from fedtrace.deploy.monitoring.school import SchoolView

    return SchoolView(home, service, _clock)


def _wait_for_charter(home: Path) -> None:
    """A school that asked to join becomes a member as soon as the charter names it."""
    from fedtrace.client.home import is_home
    from fedtrace.deploy.enrolment.joining import become_member, charters_in, joining_of, standing
    from fedtrace.deploy.enrolment.policies import placed_policy
    from fedtrace.deploy.network.errors import UnreachableError

    joining = joining_of(home)
    if joining is None or is_home(home):
        return
    said = ""
    while True:
        policy = placed_policy(home)  # also while waiting: it may be edited, and must stay readable
        try:
            found = standing(home, joining)
            news = f"{joining.invite.consortium} says: {found.state}"
            charters = charters_in(found)
            if found.state == "approved" and charters is None:
                news += "; its charter does not name this school yet"
        except UnreachableError as error:
            charters, news = None, str(error)
        if news != said:
            print_lines(news)
            said = news
        if charters is not None:
            become_member(home, charters, policy, now=datetime.now(UTC))
            digest = charters.current.digest()
            print_lines(f"{joining.invite.school} is a member under the charter {digest}")
            return
        time.sleep(_WAITING_SECONDS)


def doctor(home: Home, json: Json = False) -> None:
    """Check everything between this node and the consortium, and say what to repair.

    Exit code 0: all is well; 1: something needs attention; 2: the node cannot work.
    """
    from fedtrace.deploy.network.doctor import examine

    with plain_errors():
        checks = examine(home)
    if json:
        print_json([{"name": c.name, "status": c.status, "sentence": c.sentence} for c in checks])
    else:
        print_checks((check.status, check.sentence) for check in checks)
    found = {check.status for check in checks}
    raise typer.Exit(
        ExitCode.BAD_INPUT
        if "FAIL" in found
        else ExitCode.WARNING
        if "WARN" in found
        else ExitCode.DONE
    )
