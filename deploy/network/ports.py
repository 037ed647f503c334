"""TCP ports on this machine: choosing free ones and saying clearly when one is taken."""

from __future__ import annotations

import contextlib
import errno
import socket

from fedtrace.deploy.network.errors import NetworkError, PortInUseError

LOOPBACK = "127.0.0.1"


def free_ports(count: int) -> tuple[int, ...]:
    """``count`` different ports that nobody listens on at this moment.

    All sockets are held open until every port is known, so no port is handed out twice.
    """
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind((LOOPBACK, 0))
        return tuple(each.getsockname()[1] for each in sockets)


def require_free(port: int, purpose: str, *, host: str = LOOPBACK) -> None:
    """Make sure that ``purpose`` can listen on ``host:port``.

    Raises:
        PortInUseError: Something listens there already.
        NetworkError: The operating system does not allow it for another reason.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the servers do
        try:
            probe.bind((host, port))
            probe.listen(1)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise PortInUseError(
                    f"Port {port} on {host} is in use, so {purpose} cannot listen there. "
                    f"Stop the program that uses it (`ss -ltnp 'sport = :{port}'` names it) "
                    f"or choose another port."
                ) from error
            raise NetworkError(
                f"Port {port} on {host} cannot be used for {purpose}: {error.strerror}. "
                f"Choose a port between 1024 and 65535."
            ) from error


def accepts(port: int, *, host: str = LOOPBACK, timeout_seconds: float = 0.5) -> bool:
    """Whether something answers on ``host:port``."""
    try:
        with socket.create_connection((host, port), timeout=timeout_seconds):
            return True
    except OSError:
        return False
