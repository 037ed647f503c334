import socket

import pytest

from fedtrace.deploy.network.errors import NetworkError, PortInUseError
from fedtrace.deploy.network.ports import accepts, free_ports, require_free


def test_free_ports_are_different_and_free() -> None:
    ports = free_ports(20)
    assert len(set(ports)) == 20
    for port in ports:
        require_free(port, "a test")


def test_a_port_in_use_is_named_with_what_to_do() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        assert accepts(port)
        with pytest.raises(
            PortInUseError, match=rf"Port {port} on 127\.0\.0\.1 is in use.*Stop the"
        ):
            require_free(port, "the front")
    assert not accepts(port)


def test_an_address_of_another_machine() -> None:
    with pytest.raises(NetworkError, match="cannot be used for the front"):
        require_free(9100, "the front", host="192.0.2.1")
