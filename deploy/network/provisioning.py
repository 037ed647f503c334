"""Keys and certificates of one consortium: its own CA, the server's certificate, node keys.

Everything secret is created with mode 0600 in directories with mode 0700, and never overwritten:
a second call with the same directory keeps what is there, because replacing a CA would lock out
every school that trusts it.
"""

from __future__ import annotations

import ipaddress
import os
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from fedtrace.deploy.network.errors import NetworkError

_CA_DAYS = 3650
_SERVER_DAYS = 397  # the longest that browsers accept; renew before a school year ends
_BACKDATED = timedelta(hours=1)  # clocks of schools are not in step
_RENEWED_BEFORE = timedelta(days=30)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerIdentity:
    """Files of the consortium's server: what it shows, what it keeps, whom schools trust."""

    ca_certificate: Path
    certificate: Path
    private_key: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeKey:
    """One school's key pair for Flower's node authentication (P-384, OpenSSH format)."""

    private_key: Path
    public_key: Path


def provision_server(directory: Path, *, hosts: Iterable[str], now: datetime) -> ServerIdentity:
    """Create the CA and a server certificate, or return those that are there.

    Args:
        directory: Where they are kept.
        hosts: DNS names and IP addresses under which schools reach the server; each becomes a
            subject alternative name, addresses as addresses and names as names.
        now: The time from which they are valid.

    Raises:
        ValueError: ``hosts`` is empty.
        NetworkError: schools trust a CA already, and its server's key is gone.
    """
    names = tuple(dict.fromkeys(hosts))
    if not names:
        raise ValueError("a server certificate needs at least one host name or IP address")
    identity = ServerIdentity(
        ca_certificate=directory / "ca.pem",
        certificate=directory / "server.pem",
        private_key=directory / "server.key",
    )
    if identity.private_key.exists():
        return identity
    if identity.ca_certificate.exists():
        raise NetworkError(
            f"{identity.private_key} is missing, and schools trust {identity.ca_certificate}: "
            "bring back server.key and ca.key from your store of secrets or a backup with keys. A "
            "new authority would lock out every school. Only where nobody was ever invited, remove "
            f"{directory} and begin again"
        )
    private_directory(directory)
    ca_key = ec.generate_private_key(ec.SECP384R1())
    ca = _certificate(_name("fedtrace consortium CA"), ca_key, issuer=None, now=now, hosts=())
    server_key = ec.generate_private_key(ec.SECP384R1())
    server = _certificate(_name(names[0]), server_key, issuer=(ca, ca_key), now=now, hosts=names)
    write_secret(directory / "ca.key", _pem(ca_key))
    identity.ca_certificate.write_bytes(ca.public_bytes(serialization.Encoding.PEM))
    identity.certificate.write_bytes(server.public_bytes(serialization.Encoding.PEM))
    write_secret(identity.private_key, _pem(server_key))
    return identity


def renew_server(
    directory: Path, *, hosts: Iterable[str], now: datetime, even_if_valid: bool = False
) -> bool:
    """Issue a new server certificate where the present one is for other names or ends soon.

    The CA stays, so no school has to do anything.

    Args:
        directory: made by `provision_server`.
        hosts: the names that schools use now.
        now: the time.
        even_if_valid: renew a certificate that could stay.

    Returns:
        Whether it was renewed: whoever shows it has to load it again.

    Raises:
        OSError: a file cannot be read or written; the present certificate stays.
        ValueError: a file there is damaged.
    """
    names = tuple(dict.fromkeys(hosts))
    path = directory / "server.pem"
    present = x509.load_pem_x509_certificate(path.read_bytes())
    shown = present.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    same = {str(name.value) for name in shown} == {str(_general_name(h).value) for h in names}
    if same and now < present.not_valid_after_utc - _RENEWED_BEFORE and not even_if_valid:
        return False
    ca = x509.load_pem_x509_certificate((directory / "ca.pem").read_bytes())
    ca_key, server_key = (
        serialization.load_pem_private_key((directory / name).read_bytes(), password=None)
        for name in ("ca.key", "server.key")
    )
    if not isinstance(ca_key, ec.EllipticCurvePrivateKey) or not isinstance(
        server_key, ec.EllipticCurvePrivateKey
    ):
        raise ValueError(f"the keys in {directory} are not elliptic-curve keys: restore a backup")
    renewed = _certificate(_name(names[0]), server_key, issuer=(ca, ca_key), now=now, hosts=names)
    staging = path.with_suffix(".new")
    staging.write_bytes(renewed.public_bytes(serialization.Encoding.PEM))
    staging.replace(path)
    return True


def provision_node(directory: Path) -> NodeKey:
    """Create a school's node key, or return the one that is there."""
    pair = NodeKey(private_key=directory / "node.key", public_key=directory / "node.pub")
    if pair.private_key.exists():
        return pair
    private_directory(directory)
    key = ec.generate_private_key(ec.SECP384R1())
    pair.public_key.write_bytes(
        key.public_key().public_bytes(
            serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
        )
    )
    write_secret(
        pair.private_key,
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.OpenSSH,
            serialization.NoEncryption(),
        ),
    )
    return pair


def provision_superexec_secret(path: Path) -> Path:
    """Create the secret that lets a superexec or a gate claim tasks, or keep the one there is."""
    if not path.exists():
        private_directory(path.parent)
        write_secret(path, secrets.token_hex(32).encode("ascii"))
    return path


def private_directory(path: Path) -> Path:
    """Create a directory that only its owner can enter."""
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.chmod(0o700)
    return path


def write_secret(path: Path, content: bytes) -> None:
    """Write a file that only its owner can read; it has that mode before it has content.

    Raises:
        FileExistsError: The file exists; a secret is never overwritten.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _certificate(
    subject: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    *,
    issuer: tuple[x509.Certificate, ec.EllipticCurvePrivateKey] | None,
    now: datetime,
    hosts: tuple[str, ...],
) -> x509.Certificate:
    """A CA certificate that signs itself (no issuer), or a server certificate for ``hosts``."""
    is_ca = issuer is None
    issuer_name, issuer_key = (subject, key) if issuer is None else (issuer[0].subject, issuer[1])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer_name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATED)
        .not_valid_after(now + timedelta(days=_CA_DAYS if is_ca else _SERVER_DAYS))
        .add_extension(
            x509.BasicConstraints(ca=is_ca, path_length=0 if is_ca else None), critical=True
        )
        .add_extension(_key_usage(is_ca=is_ca), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()),
            critical=False,
        )
    )
    if not is_ca:
        builder = builder.add_extension(
            x509.SubjectAlternativeName([_general_name(host) for host in hosts]), critical=False
        ).add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    return builder.sign(issuer_key, hashes.SHA384())


def _key_usage(*, is_ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not is_ca,
        key_cert_sign=is_ca,
        crl_sign=is_ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
