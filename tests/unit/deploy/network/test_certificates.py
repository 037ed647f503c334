import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from fedtrace.deploy.network.certificates import require_certificate
from fedtrace.deploy.network.errors import CertificateMismatchError, NetworkError
from fedtrace.deploy.network.ports import free_ports
from fedtrace.deploy.network.provisioning import ServerIdentity, provision_server


@contextmanager
def tls_server(identity: ServerIdentity) -> Iterator[int]:
    """A server that completes handshakes and says nothing; yields its port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(identity.certificate, identity.private_key)
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    with (
                        connection,
                        suppress(OSError),
                        context.wrap_socket(connection, server_side=True) as secure,
                    ):
                        secure.recv(1)

        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
    thread.join()


def identity_for(directory: Path, *hosts: str, now: datetime | None = None) -> ServerIdentity:
    return provision_server(directory, hosts=hosts, now=now or datetime.now(UTC))


def test_the_right_certificate(tmp_path: Path) -> None:
    identity = identity_for(tmp_path, "localhost")
    with tls_server(identity) as port:
        require_certificate("localhost", port, ca_certificate=identity.ca_certificate)


def test_a_certificate_for_another_host_is_refused_with_its_names(tmp_path: Path) -> None:
    identity = identity_for(tmp_path, "fed.county.example", "192.0.2.7")
    expected = r"does not hold for localhost.*it is for fed\.county\.example, 192\.0\.2\.7"
    with tls_server(identity) as port, pytest.raises(CertificateMismatchError, match=expected):
        require_certificate("localhost", port, ca_certificate=identity.ca_certificate)


def test_a_certificate_of_another_ca(tmp_path: Path) -> None:
    ours = identity_for(tmp_path / "ours", "localhost")
    theirs = identity_for(tmp_path / "theirs", "localhost")
    with (
        tls_server(theirs) as port,
        pytest.raises(CertificateMismatchError, match="Nothing was sent"),
    ):
        require_certificate("localhost", port, ca_certificate=ours.ca_certificate)


@pytest.mark.parametrize(
    ("made", "why"), [(timedelta(days=-500), "expired"), (timedelta(hours=3), "not yet valid")]
)
def test_a_certificate_that_does_not_hold_now_says_what_this_clock_says(
    made: timedelta, why: str, tmp_path: Path
) -> None:
    """Either the clock of this machine is wrong or the server's certificate is."""
    identity = identity_for(tmp_path, "localhost", now=datetime.now(UTC) + made)
    expected = rf"{why}.*clock says {datetime.now(UTC):%Y-%m-%d}.*NTP.*consortium renew"
    with tls_server(identity) as port, pytest.raises(CertificateMismatchError, match=expected):
        require_certificate("localhost", port, ca_certificate=identity.ca_certificate)


def test_nobody_there(tmp_path: Path) -> None:
    identity = identity_for(tmp_path, "localhost")
    (port,) = free_ports(1)
    with pytest.raises(NetworkError, match=rf"Nothing answers at localhost:{port}.*firewall"):
        require_certificate("localhost", port, ca_certificate=identity.ca_certificate)
