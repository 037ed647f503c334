"""What the operator is told; the API itself is tried in tests/system."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from fedtrace.deploy.network.control import Control
from fedtrace.deploy.network.errors import NetworkError
from fedtrace.deploy.network.ports import free_ports
from fedtrace.deploy.network.provisioning import provision_node, provision_server


@pytest.fixture
def control(tmp_path: Path) -> Iterator[Control]:
    identity = provision_server(tmp_path, hosts=["localhost"], now=datetime.now(UTC))
    with Control(f"127.0.0.1:{free_ports(1)[0]}", identity.ca_certificate) as connection:
        yield connection


def test_a_superlink_that_does_not_answer(control: Control, tmp_path: Path) -> None:
    with pytest.raises(NetworkError, match=r"does not answer \(ConnectError\).*superlink\.log"):
        control.status(1)
    with pytest.raises(NetworkError, match="does not answer"):
        control.register("school-1", provision_node(tmp_path / "node").public_key)


@pytest.mark.parametrize(
    "key", [ed25519.Ed25519PrivateKey.generate(), ec.generate_private_key(ec.SECP256R1())]
)
def test_a_key_of_another_kind_is_not_registered(
    control: Control,
    tmp_path: Path,
    key: ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey,
) -> None:
    path = tmp_path / "node.pub"
    path.write_bytes(key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH))
    with pytest.raises(NetworkError, match=r"node\.pub is not a P-384 public key.*school-1"):
        control.register("school-1", path)


def test_a_file_that_is_no_key(control: Control, tmp_path: Path) -> None:
    path = tmp_path / "node.pub"
    path.write_text("hello")
    with pytest.raises(NetworkError, match="is not a P-384 public key"):
        control.register("school-1", path)
