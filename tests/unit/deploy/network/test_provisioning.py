import ipaddress
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_ssh_private_key, load_ssh_public_key
from cryptography.x509.verification import PolicyBuilder, ServerVerifier, Store, VerificationError

from fedtrace.deploy.network.errors import NetworkError
from fedtrace.deploy.network.provisioning import (
    ServerIdentity,
    provision_node,
    provision_server,
    provision_superexec_secret,
    write_secret,
)

NOW = datetime(2026, 9, 1, tzinfo=UTC)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def load(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


@pytest.fixture
def identity(tmp_path: Path) -> ServerIdentity:
    return provision_server(tmp_path / "server", hosts=["schools.example", "10.1.2.3"], now=NOW)


def verifier(identity: ServerIdentity, subject: x509.DNSName | x509.IPAddress) -> ServerVerifier:
    store = Store([load(identity.ca_certificate)])
    return (
        PolicyBuilder().store(store).time(NOW + timedelta(days=90)).build_server_verifier(subject)
    )


def test_the_certificate_holds_for_its_names_and_addresses(identity: ServerIdentity) -> None:
    server = load(identity.certificate)
    verifier(identity, x509.DNSName("schools.example")).verify(server, [])
    verifier(identity, x509.IPAddress(ipaddress.ip_address("10.1.2.3"))).verify(server, [])


def test_and_for_no_other(identity: ServerIdentity) -> None:
    with pytest.raises(VerificationError):
        verifier(identity, x509.DNSName("other.example")).verify(load(identity.certificate), [])


def test_secrets_are_private(identity: ServerIdentity, tmp_path: Path) -> None:
    key = provision_node(tmp_path / "node")
    secret = provision_superexec_secret(tmp_path / "exec" / "secret")
    for path in (identity.private_key, tmp_path / "server/ca.key", key.private_key, secret):
        assert mode(path) == 0o600
        assert mode(path.parent) == 0o700
    assert len(secret.read_bytes()) == 64


def test_node_keys_are_p384_in_openssh_format(tmp_path: Path) -> None:
    pair = provision_node(tmp_path)
    private = load_ssh_private_key(pair.private_key.read_bytes(), None)
    assert isinstance(private, ec.EllipticCurvePrivateKey)
    assert private.curve.name == "secp384r1"
    assert private.public_key() == load_ssh_public_key(pair.public_key.read_bytes())


def test_a_second_call_keeps_what_is_there(identity: ServerIdentity, tmp_path: Path) -> None:
    before = identity.certificate.read_bytes()
    again = provision_server(tmp_path / "server", hosts=["other.example"], now=NOW)
    assert again == identity
    assert identity.certificate.read_bytes() == before
    node = provision_node(tmp_path / "node").private_key.read_bytes()
    assert provision_node(tmp_path / "node").private_key.read_bytes() == node
    secret = provision_superexec_secret(tmp_path / "secret").read_bytes()
    assert provision_superexec_secret(tmp_path / "secret").read_bytes() == secret


def test_a_secret_is_never_overwritten(tmp_path: Path) -> None:
    write_secret(tmp_path / "s", b"first")
    with pytest.raises(FileExistsError):
        write_secret(tmp_path / "s", b"second")
    assert (tmp_path / "s").read_bytes() == b"first"


def test_a_server_without_a_name(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least one host name"):
        provision_server(tmp_path, hosts=[], now=NOW)


def test_no_second_authority_is_made_beside_the_one_that_schools_trust(
    identity: ServerIdentity,
) -> None:
    """A home restored without its keys would otherwise lock out every school."""
    folder, trusted = identity.ca_certificate.parent, identity.ca_certificate.read_bytes()
    kept = identity.private_key.read_bytes()
    identity.private_key.unlink()
    with pytest.raises(NetworkError, match="A new authority would lock out"):
        provision_server(folder, hosts=["schools.example"], now=NOW)
    assert identity.ca_certificate.read_bytes() == trusted
    write_secret(identity.private_key, kept)
    assert provision_server(folder, hosts=["schools.example"], now=NOW) == identity
