"""Flower's SuperNode with four repairs.

**A run that ends while its message arrives is forgotten.** A SuperNode of flwr 1.41.0 announces a
message to the gate before its content has arrived. Where the run ends in between, as it does when
a consortium's process is killed, its loop drops the message and leaves the announcement
(``start_client_internal._pull_and_store_message``: its clean-up is for `Exception`, and
``RunNotRunningException`` is none). The gate claims it and waits for the content for up to two
hours, and for that long the school answers nobody.

**It asks for nothing before it has answered.** Flower's loop waits for some reply, not for that to
the message which it pulled. After one that came late, such as to a message of a run that has ended,
every reply leaves when the message after it arrives, which is a round too late.

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
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import httpx
from flwr.app import Message
from flwr.proto.fleet_pb2 import ActivateNodeRequest, ActivateNodeResponse, DeactivateNodeRequest
from flwr.proto.message_pb2 import ObjectTree
from flwr.supercore.retry import RetryInvoker, make_simple_http_retry_invoker
from flwr.supercore.run import RunNotRunningException
from flwr.supercore.utils import get_flwr_home
from flwr.supernode import fleet_http_connection, start_client_internal
from flwr.supernode.cli import flower_supernode as flowers_own
from flwr.supernode.fleet_http_client import FleetHttpClient

from fedtrace.client.files import write_private

_LAST = "last-node.json"
_BOOT = Path("/proc/sys/kernel/random/boot_id")

_activate = FleetHttpClient.ActivateNode
_pull = start_client_internal._pull_and_store_message
_push = start_client_internal._push_messages

T = TypeVar("T")


class RunEndedError(Exception):
    """The run ended before the content of its message had arrived."""


def repair() -> None:
    """Change Flower's functions in this process; doing it twice changes nothing."""
    at_a_time = _OneAtATime()
    start_client_internal._pull_and_store_message = at_a_time.pull
    start_client_internal._push_messages = at_a_time.push
    fleet_http_connection.make_simple_http_retry_invoker = _retry_invoker
    FleetHttpClient.ActivateNode = _activate_again


class _OneAtATime:
    """Flower's loop, message by message: what is pulled is answered before the next."""

    def __init__(self) -> None:
        self._order = ""

    def pull(
        self,
        *,
        receive: Callable[[], tuple[Message, ObjectTree] | None],
        pull_object: Callable[[int, str], bytes],
        confirm_message_received: Callable[[int, str], None],
        **others: object,
    ) -> int | None:
        """Called by Flower as its own function is; see there."""

        def received() -> tuple[Message, ObjectTree] | None:
            found = receive()
            self._order = found[0].metadata.message_id if found else ""
            return found

        run_id: int | None = _pull(
            receive=received,
            pull_object=_cleaned_up(pull_object),
            confirm_message_received=_cleaned_up(confirm_message_received),
            **others,
        )
        return run_id

    def push(
        self,
        *,
        send: Callable[[Message, ObjectTree, float], tuple[set[str], str]],
        **others: object,
    ) -> None:
        """Called by Flower as its own function is; see there."""
        answered = set()

        def sent(message: Message, tree: ObjectTree, seconds: float) -> tuple[set[str], str]:
            answered.add(message.metadata.reply_to_message_id)
            return send(message, tree, seconds)

        while self._order not in answered:
            _push(send=sent, **others)


def _cleaned_up(ask: Callable[[int, str], T]) -> Callable[[int, str], T]:
    """A request whose failure Flower cleans up after, where the run has ended as well."""

    def asked(run_id: int, object_id: str) -> T:
        try:
            return ask(run_id, object_id)
        except RunNotRunningException as error:
            raise RunEndedError("its run has ended") from error

    return asked


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
    path = get_flwr_home() / _LAST
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
        with suppress(OSError):  # without it a killed one's place is free after a minute
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
