"""What stands between a school's node and its consortium, checked from the school's side.

The checks go outwards: this machine, its files, then the name, the port, the certificate and the
clock of the consortium. Where the way ends, what lies behind it is not guessed at.
"""

from __future__ import annotations

import platform
import shutil
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from importlib.metadata import version
from pathlib import Path
from typing import Literal

import httpx

from fedtrace.client.bundle import fab_digest
from fedtrace.client.files import require_private
from fedtrace.deploy.network.certificates import client_context, require_certificate
from fedtrace.deploy.network.errors import NetworkError
from fedtrace.deploy.network.installed import code_digest
from fedtrace.deploy.network.node import CA_FILE, Connection, connection_of, proxy_refusal

Status = Literal["PASS", "WARN", "FAIL"]

LEAST_FREE_GIB = 1.0
ENOUGH_FREE_GIB = 5.0
CLOCK_WARNING = timedelta(seconds=30)
CLOCK_LIMIT = timedelta(seconds=300)
"""Flower's node authentication accepts signatures that are so old, and no older."""

_SECRETS = ("keys/school.pem", "keys/log.pem", "keys/vault.key", "network/node.key")
_SECONDS = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing that was looked at.

    Attributes:
        name: a short one, for programs.
        status: WARN and FAIL say in the sentence what to do.
        sentence: what was found.
    """

    name: str
    status: Status
    sentence: str


def examine(home: Path, *, now: datetime | None = None) -> tuple[Check, ...]:
    """Everything, in the order in which a person would repair it.

    Args:
        home: the school's.
        now: this machine's clock; the real one if absent.
    """
    found = [_versions(), _code(), _disk(home), *_secrets(home)]
    try:
        connection = connection_of(home)
    except NetworkError as error:
        return (*found, _fail("connection", str(error)))
    return (*found, *_way_out(connection, home / "network" / CA_FILE, now or datetime.now(UTC)))


def _versions() -> Check:
    sentence = (
        f"Python {platform.python_version()}, fedtrace {version('fedtrace')}, "
        f"flwr {version('flwr')}, torch {version('torch')}"
    )
    return Check(name="versions", status="PASS", sentence=sentence)


def _code() -> Check:
    try:
        digest = code_digest()
    except OSError as error:
        return _fail("code", f"the installed code cannot be read: {error}")
    sentence = f"the installed code is {digest}; plans name it as fab_digest {fab_digest()}"
    return Check(name="code", status="PASS", sentence=sentence)


def _disk(home: Path) -> Check:
    free = shutil.disk_usage(home).free / 1024**3
    sentence = f"{free:.1f} GiB are free on the disk of {home}"
    if free < LEAST_FREE_GIB:
        return _fail("disk", f"{sentence}; a node needs {LEAST_FREE_GIB:g}: free some space")
    if free < ENOUGH_FREE_GIB:
        return Check(name="disk", status="WARN", sentence=f"{sentence}: free some space soon")
    return Check(name="disk", status="PASS", sentence=sentence)


def _secrets(home: Path) -> Iterator[Check]:
    """Keys that are missing, or that others on this machine can read."""
    wrong = 0
    for name in _SECRETS:
        try:
            require_private(home / name)
        except PermissionError as error:
            wrong += 1
            yield _fail("keys", str(error))
        except FileNotFoundError:
            wrong += 1
            yield _fail("keys", f"{home / name} is missing: restore it from your backup")
    if not wrong:
        yield Check(name="keys", status="PASS", sentence="every key is there, for its owner alone")


def _way_out(connection: Connection, ca_certificate: Path, now: datetime) -> Iterator[Check]:
    at = f"{connection.host}:{connection.port}"
    if connection.proxy is None:
        try:
            found = socket.getaddrinfo(connection.host, connection.port, type=socket.SOCK_STREAM)
        except OSError:
            sentence = (
                f"the name {connection.host} is not known here: check it with `nslookup "
                f"{connection.host}`, and the DNS server of this machine"
            )
            yield _fail("name", sentence)
            return
        address = found[0][4][0]
        yield Check(name="name", status="PASS", sentence=f"{connection.host} is {address}")
        try:
            require_certificate(connection.host, connection.port, ca_certificate=ca_certificate)
        except NetworkError as error:
            yield _fail("port and certificate", str(error))
            return
    try:
        answer = _knock(connection, ca_certificate)
    except httpx.ProxyError as error:
        change = f"; change it here with fedtrace school connect {at} --proxy URL"
        yield _fail("proxy", proxy_refusal(connection, error) + change)
        return
    except (httpx.HTTPError, ssl.SSLError) as error:
        way = f" through {_without_password(connection)}" if connection.proxy else ""
        yield _fail("answer", f"{at} does not answer{way} ({type(error).__name__}: {error})")
        return
    way = f" through {_without_password(connection)}" if connection.proxy else ""
    sentence = f"{at} answers{way}, with a certificate of this consortium"
    yield Check(name="answer", status="PASS", sentence=sentence)
    yield _clock(answer.headers.get("date"), now)


def _knock(connection: Connection, ca_certificate: Path) -> httpx.Response:
    """Any answer will do; the front answers 404 to what is none of its routes."""
    with httpx.Client(
        verify=client_context(ca_certificate),
        proxy=connection.proxy,
        trust_env=False,
        timeout=_SECONDS,
    ) as client:
        return client.get(f"https://{connection.host}:{connection.port}/")


def _clock(date: str | None, now: datetime) -> Check:
    if date is None:
        return Check(name="clock", status="WARN", sentence="the consortium did not say its time")
    apart = now - parsedate_to_datetime(date)
    sentence = f"this clock is {abs(apart.total_seconds()):.0f} s " + (
        "ahead of the consortium's" if apart > timedelta() else "behind the consortium's"
    )
    repair = ": set it by NTP (`timedatectl set-ntp true`)"
    if abs(apart) > CLOCK_LIMIT:
        return _fail("clock", f"{sentence}, more than {CLOCK_LIMIT.seconds} s{repair}")
    if abs(apart) > CLOCK_WARNING:
        return Check(name="clock", status="WARN", sentence=sentence + repair)
    return Check(name="clock", status="PASS", sentence=sentence)


def _without_password(connection: Connection) -> str:
    return f"proxy {httpx.URL(connection.proxy or '').copy_with(userinfo=b'')}"


def _fail(name: str, sentence: str) -> Check:
    return Check(name=name, status="FAIL", sentence=sentence)
