"""The long-running side: what serves, what connects, and what looks whether that works."""

from __future__ import annotations

import hashlib
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from fedtrace.deploy.cli.options import Home, Json
from fedtrace.deploy.cli.output import (
    ExitCode,
    plain_errors,
    print_checks,
    print_json,
    print_lines,
    say_next,
)

ConsortiumHome = Annotated[Path, typer.Option("--home", help="The consortium's home folder.")]

_TICK_SECONDS = 1.0


def serve(
    home: ConsortiumHome,
    host: Annotated[
        list[str], typer.Option("--host", help="A name under which schools connect; repeatable.")
    ],
    port: Annotated[int, typer.Option(min=1, max=65535, help="The one public port.")] = 8443,
    listen: Annotated[str, typer.Option(help="The address to listen on.")] = "0.0.0.0",  # noqa: S104
) -> None:
    """Run the consortium's server until Ctrl-C or SIGTERM: one public TLS port, all jobs.

    What ends is started again. Jobs, admitted schools and certificates are looked after while it
    runs; nothing has to be stopped for them.
    """
    from fedtrace.deploy.network.hosting import ConsortiumService, HostSettings
    from fedtrace.server.consortium import open_consortium

    with plain_errors():
        open_consortium(home).close()  # what is wrong with the home is said before anything starts
        settings = HostSettings(home=home, hosts=tuple(host), listen=listen, port=port)
        with ConsortiumService(settings, lambda: datetime.now(UTC)) as service:
            print_lines(f"serving at {host[0]}:{port}; schools need {service.ca_certificate}")
            print_lines(f"its fingerprint: {fingerprint(service.ca_certificate)}")
            while True:
                service.tick()
                time.sleep(_TICK_SECONDS)


def admit(
    school: Annotated[str, typer.Argument(help="A member's name.", metavar="SCHOOL")],
    key: Annotated[Path, typer.Argument(help="Its node.pub.", metavar="NODE.pub")],
    home: ConsortiumHome,
) -> None:
    """Let a school's node connect; a running server notices by itself."""
    from fedtrace.deploy.network.control import load_node_key
    from fedtrace.deploy.network.hosting import admit as admit_node
    from fedtrace.server.consortium import read_charter

    with plain_errors():
        members = read_charter(home).member_keys()
        if school not in members:
            raise ValueError(
                f"the charter does not name {school}; its members are {', '.join(sorted(members))}"
            )
        load_node_key(school, key)
        admit_node(home, school, key.read_bytes())
    print_lines(f"the node of {school} may connect")


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
    ca: Annotated[Path, typer.Option("--ca", help="The consortium's ca.pem.")],
    fingerprint_: Annotated[
        str | None,
        typer.Option("--fingerprint", help="Of ca.pem, as the consortium told it to you."),
    ] = None,
    proxy: Annotated[
        str | None, typer.Option(help="http://[USER:PASSWORD@]HOST:PORT of the school's proxy.")
    ] = None,
) -> None:
    """Tell the node where its consortium is, and make the key that it connects with."""
    from fedtrace.client.home import school_name
    from fedtrace.deploy.network.node import connect as connect_node
    from fedtrace.deploy.network.node import connection_to

    with plain_errors():
        shown = fingerprint(ca)
        if fingerprint_ is not None and fingerprint_ != shown:
            raise ValueError(
                f"{ca} has the fingerprint {shown}, not {fingerprint_}: it is another "
                "consortium's, or was changed on its way. Nothing was written."
            )
        connection = connection_to(school_name(home), server, proxy)
        key = connect_node(home, connection, ca.read_bytes())
    print_lines(f"the node's public key is {key.public_key}\nits consortium's CA is {shown}")
    say_next(
        f"send {key.public_key} to the consortium; when it has admitted the node, fedtrace school "
        f"doctor --home {home}, then fedtrace school run --home {home}"
    )


def run(home: Home) -> None:
    """Run the school's node until Ctrl-C or SIGTERM: it connects outwards and accepts nothing.

    What ends is started again; a consortium that is away is waited for.
    """
    from fedtrace.client.home import open_school
    from fedtrace.deploy.network.node import SchoolService

    with plain_errors():
        open_school(home).close()  # what is wrong with the home is said before anything starts
        with SchoolService(home) as service:
            print_lines("the gate is ready")
            connected = False
            while True:
                service.tick()
                if not connected and service.is_connected():
                    connected = True
                    print_lines("connected to the consortium")
                time.sleep(_TICK_SECONDS)


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


def fingerprint(certificate: Path) -> str:
    """SHA-256 over a PEM certificate's DER form, as ``sha256:<hex>``.

    Raises:
        ValueError: it is no certificate.
        OSError: it cannot be read.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding

    try:
        found = x509.load_pem_x509_certificate(certificate.read_bytes())
    except ValueError as error:
        raise ValueError(f"{certificate} is not a certificate in PEM form") from error
    return f"sha256:{hashlib.sha256(found.public_bytes(Encoding.DER)).hexdigest()}"
