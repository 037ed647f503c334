"""Flower's SuperNode with three repairs.

**A run that ends while its message arrives is forgotten.** A SuperNode of flwr 1.41.0 announces a
message to the gate before its content has arrived. Where the run ends in between, as it does when
a consortium's process is killed, its loop drops the message and leaves the announcement
(``start_client_internal._pull_and_store_message``: its clean-up is for `Exception`, and
``RunNotRunningException`` is none). The gate claims it and waits for the content for up to two
hours, and for that long the school answers nobody.

**A line that breaks or stalls in a TLS handshake is tried again.** Flower gives up on every error
whose text has "ssl" in it (``http_retry._should_giveup``). That is right for a certificate and
wrong for a line: the SuperNode ends, its message is lost, and the school misses the round.

**A SuperNode that was killed takes its own place again.** A SuperLink lets a node connect that is
online already only when it has been silent for a minute. So this one says for the killed one that
it has gone (``DeactivateNode``), where it was a process of the same home on the same machine since
the same start: then it cannot be alive, as no home runs twice. A copy on another machine stays
refused while the school's own node is online.
"""

from __future__ import annotations

import json
import os
import socket
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
from flwr.proto.fleet_pb2 import ActivateNodeRequest, ActivateNodeResponse, DeactivateNodeRequest
from flwr.supercore.inflatable.inflatable_utils import pull_objects
from flwr.supercore.retry import RetryInvoker, make_simple_http_retry_invoker
from flwr.supercore.run import RunNotRunningException
from flwr.supernode import fleet_http_connection, start_client_internal
from flwr.supernode.cli import flower_supernode as flowers_own
from flwr.supernode.fleet_http_client import FleetHttpClient

from fedtrace.client.files import write_private

_LAST = "last-node.json"
_BOOT = Path("/proc/sys/kernel/random/boot_id")

_activate = FleetHttpClient.ActivateNode


class RunEndedError(Exception):
    """The run ended before the content of its message had arrived."""


def repair() -> None:
    """Change Flower's functions in this process; doing it twice changes nothing."""
    start_client_internal.pull_objects = _pull_objects
    fleet_http_connection.make_simple_http_retry_invoker = _retry_invoker
    FleetHttpClient.ActivateNode = _activate_again


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


def _activate_again(client: FleetHttpClient, request: ActivateNodeRequest) -> ActivateNodeResponse:
    """Called by Flower as its own function is; see there."""
    path = Path(os.environ["FLWR_HOME"]) / _LAST
    here = _here(path)
    try:
        answer: ActivateNodeResponse = _activate(client, request)
    except httpx.HTTPStatusError:
        if (node_id := _node_before(path, here)) is None:
            raise
        client.DeactivateNode(DeactivateNodeRequest(node_id=node_id))
        answer = _activate(client, request)
    if here is not None:
        last = {"node": answer.node_id, "here": here}
        write_private(path, json.dumps(last).encode(), replace=True)
    return answer


def _here(path: Path) -> str | None:
    """This home, on this machine, since it was started; None where the system does not say."""
    try:
        return f"{_BOOT.read_text().strip()} {socket.gethostname()} {path.resolve()}"
    except OSError:
        return None


def _node_before(path: Path, here: str | None) -> int | None:
    """The id of the node that ran here before, or None where it was not here."""
    try:
        last = json.loads(path.read_bytes())
        return int(last["node"]) if here is not None and last["here"] == here else None
    except (OSError, ValueError, LookupError, TypeError):
        return None


def flower_supernode() -> None:
    """Run a SuperNode: the entry point of its process, by the name that Flower gives it."""
    repair()
    flowers_own()
