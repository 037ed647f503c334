"""Flower's SuperNode with two repairs.

**A run that ends while its message arrives is forgotten.** A SuperNode of flwr 1.41.0 announces a
message to the gate before its content has arrived. Where the run ends in between, as it does when
a consortium's process is killed, its loop drops the message and leaves the announcement
(``start_client_internal._pull_and_store_message``: its clean-up is for `Exception`, and
``RunNotRunningException`` is none). The gate claims it and waits for the content for up to two
hours, and for that long the school answers nobody.

**A line that breaks or stalls in a TLS handshake is tried again.** Flower gives up on every error
whose text has "ssl" in it (``http_retry._should_giveup``). That is right for a certificate and
wrong for a line: the SuperNode ends, its message is lost, and the school misses the round.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator

from flwr.supercore.inflatable.inflatable_utils import pull_objects
from flwr.supercore.retry import RetryInvoker, make_simple_http_retry_invoker
from flwr.supercore.run import RunNotRunningException
from flwr.supernode import fleet_http_connection, start_client_internal
from flwr.supernode.cli import flower_supernode as flowers_own


class RunEndedError(Exception):
    """The run ended before the content of its message had arrived."""


def repair() -> None:
    """Change Flower's functions in this process; doing it twice changes nothing."""
    start_client_internal.pull_objects = _pull_objects
    fleet_http_connection.make_simple_http_retry_invoker = _retry_invoker


def _pull_objects(
    object_ids: list[str], pull_object_fn: Callable[[str], bytes]
) -> dict[str, bytes]:
    """Called by Flower as its own function is; see there."""
    try:
        contents: dict[str, bytes] = pull_objects(object_ids, pull_object_fn=pull_object_fn)
    except RunNotRunningException as error:
        raise RunEndedError("its run has ended") from error
    return contents


def _retry_invoker() -> RetryInvoker:
    """Called by Flower as its own function is; see there."""
    invoker = make_simple_http_retry_invoker()
    gives_up = invoker.should_giveup
    invoker.should_giveup = lambda error: not _is_of_the_line(error) and gives_up(error)
    return invoker


def _is_of_the_line(error: BaseException) -> bool:
    """Whether a connection broke or stalled, and not what the two sides said to each other."""
    broken = TimeoutError, ConnectionError, ssl.SSLEOFError
    return any(isinstance(each, broken) for each in _causes(error))


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def flower_supernode() -> None:
    """Run a SuperNode: the entry point of its process, by the name that Flower gives it."""
    repair()
    flowers_own()
