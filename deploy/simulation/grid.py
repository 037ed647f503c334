"""The in-process federation: production server and client code, no network, no processes.

``InProcessGrid`` is Flower's own ``Grid`` port with the network taken out. The production
ServerApp talks to it as it talks to a SuperLink; every message is handed to the production
client code of the school it is addressed to. Two rounds take milliseconds instead of a minute,
so most integration tests and ``fedtrace simulate`` run on it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from flwr.app import Error, Message
from flwr.app.metadata import Metadata
from flwr.common.constant import ErrorCode
from flwr.serverapp import Grid
from flwr.supercore.run import Run
from flwr.supercore.task_identity import TaskIdentity

Node = Callable[[Message], Message]
"""A school's side of the wire: one message in, one reply out."""

Transport = Callable[[int, Message, Node], Iterable[Message]]
"""Delivers one message to one node and yields what comes back; the place to inject faults."""

SERVER_NODE_ID = 1


def deliver(node_id: int, message: Message, node: Node) -> Iterable[Message]:  # noqa: ARG001
    """A network without faults: every message arrives and every reply comes back once."""
    yield node(message)


class InProcessGrid(Grid):  # type: ignore[misc]  # Flower is not followed by mypy
    """Flower's Grid over plain function calls.

    Args:
        nodes: node id -> that school's client code.
        transport: how a message travels; the default loses nothing.
    """

    def __init__(self, nodes: Mapping[int, Node], *, transport: Transport = deliver) -> None:
        self._nodes = dict(nodes)
        self._transport = transport
        self._replies: dict[str, list[Message]] = {}
        self._sent = 0
        # Message() reads these process-wide identifiers; in a deployment the task sets them.
        TaskIdentity.run_id, TaskIdentity.task_id, TaskIdentity.node_id = 1, 1, SERVER_NODE_ID

    def set_run(self, run: Run) -> None:
        """Not used: an in-process federation is its own run."""

    @property
    def run(self) -> Run:
        """The one run of this process."""
        return Run.create_empty(run_id=1)

    def create_message(
        self,
        content: object,
        message_type: str,
        dst_node_id: int,
        group_id: str,
        ttl: float | None = None,
    ) -> Message:
        """A message to one node; see ``flwr.serverapp.Grid``."""
        return Message(
            content=content,
            message_type=message_type,
            dst_node_id=dst_node_id,
            group_id=group_id,
            ttl=ttl,
        )

    def get_node_ids(self) -> Iterable[int]:
        """The schools that are connected: all of them."""
        return list(self._nodes)

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """Deliver every message at once and keep the replies for ``pull_messages``."""
        ids = []
        for message in messages:
            self._sent += 1
            message_id = f"message-{self._sent}"
            node_id = message.metadata.dst_node_id
            arriving = Message(content=message.content, metadata=_numbered(message, message_id))
            replies = list(self._transport(node_id, arriving, self._nodes[node_id]))
            self._replies[message_id] = replies or [_lost(arriving)]
            ids.append(message_id)
        return ids

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """The replies to these messages that were not pulled before.

        A SuperLink reports a message that nobody answered once its time is over. Here nothing
        arrives later, so a lost message is reported at once and nobody waits for a deadline.
        """
        replies: list[Message] = []
        for message_id in message_ids:
            replies.extend(self._replies.pop(message_id, []))
        return replies

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> Iterable[Message]:
        """Push, then pull once: in one process nothing arrives later."""
        del timeout
        return self.pull_messages(self.push_messages(messages))


def _lost(message: Message) -> Message:
    """What Flower reports where no reply to a message will come."""
    return Message(Error(code=ErrorCode.MESSAGE_UNAVAILABLE), reply_to=message)


def _numbered(message: Message, message_id: str) -> Metadata:
    """The message's metadata with the id that a SuperLink would have given it."""
    sent = message.metadata
    return Metadata(
        run_id=sent.run_id,
        message_id=message_id,
        src_node_id=sent.src_node_id,
        dst_node_id=sent.dst_node_id,
        reply_to_message_id="",
        group_id=sent.group_id,
        created_at=sent.created_at,
        ttl=sent.ttl,
        message_type=sent.message_type,
        src_task_id=sent.src_task_id,
        dst_task_id=sent.dst_task_id,
    )
