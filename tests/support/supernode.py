"""Flower's own SuperNode API in this process, with messages put into it as a SuperLink would.

Everything between the network and the Runtime API is Flower's code, so a test against it notices
when another version of Flower behaves differently. Only the connection to a SuperLink is ours.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Self

import uvicorn
from flwr.app import ConfigRecord, Message, RecordDict
from flwr.app.message import remove_content_from_message
from flwr.supercore.fab import Fab
from flwr.supercore.inflatable.inflatable_object import (
    get_all_nested_objects,
    get_object_tree,
    iterate_object_tree,
)
from flwr.supercore.inflatable.inflatable_utils import inflate_object_from_contents
from flwr.supercore.object_store import ObjectStoreFactory
from flwr.supercore.run import Run
from flwr.supercore.task_identity import TaskIdentity
from flwr.supernode import start_client_internal
from flwr.supernode.main import create_app
from flwr.supernode.nodestate import NodeStateFactory

from fedtrace.deploy.network.ports import LOOPBACK, free_ports

RUN_ID, NODE_ID = 7, 11
_START_SECONDS = 10.0


class InProcessSuperNode:
    """A SuperNode without a network.

    Args:
        secret: What a worker must know to be given a task.
        fab: The bundle that runs come with.
    """

    def __init__(self, *, secret: bytes, fab: bytes) -> None:
        self._fab = Fab(hashlib.sha256(fab).hexdigest(), fab, {})
        self._factory = NodeStateFactory(objectstore_factory=ObjectStoreFactory())
        self._factory.state().set_node_id(NODE_ID)
        (self.port,) = free_ports(1)
        self._server = uvicorn.Server(
            uvicorn.Config(
                create_app(state_factory=self._factory, superexec_auth_secret=secret),
                host=LOOPBACK,
                port=self.port,
                log_level="error",
                ws="none",
            )
        )
        self._thread = threading.Thread(target=self._server.run)
        TaskIdentity.run_id, TaskIdentity.task_id, TaskIdentity.node_id = RUN_ID, 1, 1

    @property
    def address(self) -> str:
        """Where the worker finds it."""
        return f"{LOOPBACK}:{self.port}"

    def __enter__(self) -> Self:
        self._thread.start()
        deadline = time.monotonic() + _START_SECONDS
        while not self._server.started and time.monotonic() < deadline:
            time.sleep(0.01)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.should_exit = True
        self._thread.join()

    def deliver(
        self,
        content: Mapping[str, bytes],
        *,
        ttl: float = 60.0,
        before_content: Callable[[], object] = lambda: None,
        before_confirmed: Callable[[], object] = lambda: None,
    ) -> None:
        """Let a message arrive that carries these bytes.

        ``before_content`` is called when the message is announced and its content on its way,
        ``before_confirmed`` when all of it is there and the SuperLink is told so.
        """

        def pull_object(_run: int, object_id: str) -> bytes:
            before_content()
            return objects[object_id]

        message = Message(
            RecordDict({"fedtrace": ConfigRecord(dict(content))}),
            dst_node_id=NODE_ID,
            message_type="train",
            ttl=ttl,
        )
        message.metadata.__dict__["_message_id"] = message.object_id
        objects: dict[str, bytes]
        objects = {key: each.deflate() for key, each in get_all_nested_objects(message).items()}
        tree = get_object_tree(message)
        start_client_internal._pull_and_store_message(
            state=self._factory.state(),
            object_store=self._factory.objectstore_factory.store(),
            node_config={},
            receive=lambda: (remove_content_from_message(message), tree),
            get_run=self._run,
            get_fab=lambda _hash, _run: self._fab,
            pull_object=pull_object,
            confirm_message_received=lambda _run, _object: before_confirmed(),
            trusted_entities=None,
        )

    def _run(self, run_id: int) -> Run:
        run = Run.create_empty(run_id=run_id)
        run.fab_hash = self._fab.hash_str
        return run

    def sent(self) -> Message:
        """The message that the SuperNode sends before it pulls again, waiting for it if need be."""
        headers: list[Message] = []
        contents: dict[str, bytes] = {}

        def send(message: Message, tree: object, _seconds: float) -> tuple[set[str], str]:
            headers.append(message)
            return set(_ids(tree)), "session"

        start_client_internal._push_messages(
            state=self._factory.state(),
            object_store=self._factory.objectstore_factory.store(),
            send=send,
            push_object=lambda _run, _session, key, content: contents.__setitem__(key, content),
        )
        message = inflate_object_from_contents(headers[-1].metadata.message_id, contents)
        assert isinstance(message, Message)
        return message


def _ids(tree: object) -> list[str]:
    return [each.object_id for each in iterate_object_tree(tree)]
