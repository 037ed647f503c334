"""The in-process federation: production server and client code, no network, no processes.

``InProcessGrid`` is Flower's own ``Grid`` port with the network taken out. The production
ServerApp talks to it as it talks to a SuperLink; every message is handed to the production
client code of the school it is addressed to. Two rounds take milliseconds instead of a minute,
so most integration tests and ``fedtrace simulate`` run on it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor

from flwr.app import Error, Message
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
        at_once: how many messages are on their way at the same time; each in a thread, where it is
            more than one.
    """

    def __init__(
        self, nodes: Mapping[int, Node], *, transport: Transport = deliver, at_once: int = 1
    ) -> None:
        self._nodes = dict(nodes)
        self._at_once = at_once
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
        pushed = list(messages)
        ids = []
        for message in pushed:
            self._sent += 1
            ids.append(f"message-{self._sent}")
            message.metadata.__dict__["_message_id"] = ids[-1]  # as Flower's own Grid does
        if self._at_once == 1:
            replies = [self._delivered(message) for message in pushed]
        else:
            with ThreadPoolExecutor(self._at_once) as threads:
                replies = list(threads.map(self._delivered, pushed))
        self._replies |= zip(ids, replies, strict=True)
        return ids

    def _delivered(self, message: Message) -> list[Message]:
        """What comes back for one message."""
        node_id = message.metadata.dst_node_id
        return list(self._transport(node_id, message, self._nodes[node_id])) or [_lost(message)]

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
