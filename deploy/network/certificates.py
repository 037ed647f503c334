"""Trying the server's certificate before a school's processes depend on it.

Flower's own sentence for a wrong certificate is a stack trace after its retries; this one names
the host, the names in the certificate, and what to do.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509

from fedtrace.deploy.network.errors import CertificateMismatchError, NetworkError

_TIMEOUT_SECONDS = 5.0
_OUT_OF_TIME = (9, 10)  # OpenSSL: not yet valid, expired


def client_context(ca_certificate: Path) -> ssl.SSLContext:
    """TLS for a client that trusts this consortium's CA and no other."""
    return client_context_of(ca_certificate.read_bytes())


def client_context_of(authority: bytes) -> ssl.SSLContext:
    """The same from the certificate itself, PEM."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_verify_locations(cadata=authority.decode("ascii", "replace"))
    return context


def require_certificate(host: str, port: int, *, ca_certificate: Path) -> None:
    """Connect once as a school would and check that the certificate is for ``host``.

    Raises:
        CertificateMismatchError: It is for other names, expired, or of another CA.
        NetworkError: Nothing answers there, or it does not speak TLS.
    """
    context = client_context(ca_certificate)
    try:
        with (
            socket.create_connection((host, port), timeout=_TIMEOUT_SECONDS) as plain,
            context.wrap_socket(plain, server_hostname=host),
        ):
            return
    except ssl.SSLCertVerificationError as error:
        if error.verify_code in _OUT_OF_TIME:
            raise CertificateMismatchError(
                f"The server at {host}:{port} shows a certificate that does not hold at this time "
                f"({error.verify_message}), and this machine's clock says "
                f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC. If that is wrong, set it by NTP "
                "(`timedatectl set-ntp true`); if it is right, the consortium has to look at its "
                "server: `fedtrace consortium renew`. Nothing was sent."
            ) from error
        names = ", ".join(_names_shown(host, port)) or "no name at all"
        raise CertificateMismatchError(
            f"The server at {host}:{port} shows a certificate that does not hold for {host} "
            f"({error.verify_message}); it is for {names}. Connect under one of these names, or "
            f"have the consortium issue a certificate for {host}. Nothing was sent."
        ) from error
    except ssl.SSLError as error:
        raise NetworkError(
            f"The server at {host}:{port} does not complete a TLS 1.3 handshake "
            f"({error.reason or 'no reason given'}). Check that this is the consortium's address."
        ) from error
    except OSError as error:
        raise NetworkError(
            f"Nothing answers at {host}:{port} ({error.strerror or 'timed out'}). Check the "
            f"address, and that the firewall lets this machine connect out to it."
        ) from error


def _names_shown(host: str, port: int) -> tuple[str, ...]:
    """The names in the certificate that the server shows; nothing is trusted, only reported."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with (
        contextlib.suppress(OSError, ValueError, x509.ExtensionNotFound),
        socket.create_connection((host, port), timeout=_TIMEOUT_SECONDS) as plain,
        context.wrap_socket(plain, server_hostname=host) as secure,
    ):
        shown = x509.load_der_x509_certificate(secure.getpeercert(binary_form=True) or b"")
        names = shown.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        return tuple(str(name.value) for name in names)
    return ()
