"""All that the gate needs from Flower's private interfaces, in one place.

A SuperNode with ``--isolation process`` offers its tasks on a Runtime API on loopback. Flower's
own worker starts a new interpreter a task, unpacks the bundle and imports what is in it; ours
claims a task, reads message and bundle as bytes, and sends one message back. Written for
flwr 1.41.0 and pinned to it; ``tests/unit/client/test_flower.py`` fails where another version
would behave differently.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from flwr.app import Context, Message
from flwr.common.constant import SubStatus
from flwr.proto.runtime_pb2 import AcquireTaskRequest, SendTaskHeartbeatRequest
from flwr.supercore.constant import TaskType
from flwr.supercore.heartbeat import HeartbeatSender
from flwr.supercore.inflatable.inflatable_utils import pull_and_inflate_object_from_tree
from flwr.supercore.interceptors import (
    RuntimeTokenHttpInterceptor,
    RuntimeVersionHttpInterceptor,
    SuperExecAuthHttpInterceptor,
)
from flwr.supercore.runtime import RuntimeHttpClient
from flwr.supernode.runtime.run_clientapp import pull_task_input, push_message, push_task_output

from fedtrace.client.bundle import digest_of

logger = logging.getLogger(__name__)

_CLAIM_METHODS = ("/flwr.proto.Runtime/AcquireTask",)
_COMPONENT = "flwr-clientapp"  # the name under which SuperNodes know workers of our kind

# A task can be claimed a moment before its message has arrived in full. Flower then waits 1 s
# before it looks again, twice as long each further time; that second was most of a round.
pull_and_inflate_object_from_tree.__kwdefaults__["initial_backoff"] = 0.05


class SuperNodeUnreachableError(ConnectionError):
    """The SuperNode does not answer; it may be starting, or it is gone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One message that this worker has claimed.

    Attributes:
        message: What the server sent, with the node and run that it belongs to.
        context: Flower's own record of the node; handed back unchanged.
        fab_digest: ``sha256:<hex>`` of the bundle's bytes as they arrived, computed here.
    """

    message: Message
    context: Context
    fab_digest: str


@dataclass(slots=True)
class ClaimedTask:
    """A task while it is being worked on; ``reply`` ends it."""

    task: Task
    _client: RuntimeHttpClient

    def reply(self, message: Message) -> None:
        """Hand the one answer to the SuperNode, which carries it to the server.

        Raises:
            SuperNodeUnreachableError: It could not be handed over.
        """
        with _translated():
            push_message(self._client, message, self.task.context)
            push_task_output(self._client, self.task.context, SubStatus.COMPLETED, details="")


class SuperNode:
    """The Runtime API of the SuperNode on this machine.

    Args:
        address: ``host:port`` on loopback.
        secret_file: The secret that the SuperNode was started with; only its holder gets tasks.
    """

    def __init__(self, address: str, secret_file: Path) -> None:
        self._address = address
        self._claims = RuntimeHttpClient.from_server_address(
            address,
            insecure=True,  # plain HTTP, and only ever on loopback
            root_certificates=None,
            interceptors=[
                RuntimeVersionHttpInterceptor(component_name=_COMPONENT),
                SuperExecAuthHttpInterceptor(
                    master_secret=secret_file.read_bytes(), protected_methods=_CLAIM_METHODS
                ),
            ],
        )

    @contextmanager
    def claim(self) -> Iterator[ClaimedTask | None]:
        """Claim the oldest waiting task and keep it alive inside the ``with`` block.

        Yields:
            The task, or None where nothing waits.

        Raises:
            SuperNodeUnreachableError: The SuperNode does not answer.
        """
        with _translated():
            found = self._claims.AcquireTask(
                AcquireTaskRequest(supported_task_types=[TaskType.CLIENT_APP])
            )
        if not found.token:
            yield None
            return
        client = RuntimeHttpClient.from_server_address(
            self._address,
            insecure=True,
            root_certificates=None,
            interceptors=[
                RuntimeVersionHttpInterceptor(component_name=_COMPONENT),
                RuntimeTokenHttpInterceptor(found.token),
            ],
        )
        heartbeat = HeartbeatSender(lambda: _is_alive(client))
        heartbeat.start()
        try:
            with _translated():
                message, context, _run, fab = pull_task_input(client)
            task = Task(message=message, context=context, fab_digest=digest_of(fab.content))
            yield ClaimedTask(task, client)
        finally:
            heartbeat.stop()
            client.close()

    def close(self) -> None:
        """End the connection."""
        self._claims.close()


def _is_alive(client: RuntimeHttpClient) -> bool:
    """Tell the SuperNode that work goes on; a lost task is noticed when its reply is pushed."""
    try:
        client.SendTaskHeartbeat(SendTaskHeartbeatRequest())
    except httpx.HTTPError:
        logger.warning("the SuperNode did not take a heartbeat")
        return False
    return True


@contextmanager
def _translated() -> Iterator[None]:
    """Turn the transport's errors into the one that callers know."""
    try:
        yield
    except httpx.HTTPError as error:
        raise SuperNodeUnreachableError(str(error)) from error
