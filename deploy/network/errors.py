"""What can go wrong while processes are started, in sentences an operator can act on."""

from __future__ import annotations


class NetworkError(Exception):
    """A federation could not be started or kept running; the text says what to do."""


class UnreachableError(NetworkError):
    """The other side does not answer now; it may later."""


class PortInUseError(NetworkError):
    """Another program listens on the port that was asked for."""


class CertificateMismatchError(NetworkError):
    """The server's certificate is not for the host that a school was told to connect to."""


class NotReadyError(NetworkError):
    """A process ended early or was not ready by its deadline."""


class RunFailedError(NetworkError):
    """Flower reports that a run ended without finishing its work."""


class EngineError(NetworkError):
    """What a simulation was to run on is not installed, or does not start."""
