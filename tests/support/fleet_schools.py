"""Schools that speak Flower's Fleet API over TLS to a real server, many in one process.

Each is a real node: its own key, admitted by the consortium, its own connection and heartbeat.
What it answers is scripted (`support.scripted_schools`), so a school costs a thread or two here
and nothing is trained: what is measured is the server.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_ssh_private_key
from flwr.app import Message
from flwr.app.message import remove_content_from_message
from flwr.proto.message_pb2 import ObjectTree
from flwr.supercore.inflatable.inflatable_object import (
    get_all_nested_objects,
    get_object_tree,
    no_object_id_recompute,
)
from flwr.supercore.inflatable.inflatable_utils import (
    pull_and_inflate_object_from_tree,
    push_objects,
)
from flwr.supercore.run import RunNotRunningException
from flwr.supernode.fleet_http_connection import http_request_response
from support.scripted_schools import World, honest_reply

from fedtrace.client.app import reply_with, request_in
from fedtrace.deploy.network.supernode import repair
from fedtrace.server.ports import Reply, Request
from fedtrace.server.readiness import ASKED

_PAUSE_SECONDS = 0.2

Answer = Callable[[str, Request], Reply | None]
"""(school, request) -> what it sends; None for nothing, ever."""


def honest(world: World) -> Answer:
    """What an honest school says: that it has the plan, its cosignature, or its update."""

    def answer(school: str, request: Request) -> Reply:
        if "order" in request:
            return honest_reply(world, school, request)
        if "add-checkpoint" in request:
            return world.witness(school, request)
        return {ASKED: b"yes"}

    return answer


class FleetSchool:
    """One school, connected while the context lasts.

    Args:
        name: of the school.
        address: ``host:port`` of the server's public port.
        ca_certificate: what the school pins, PEM.
        key: its node's private key, OpenSSH format.
        answer: what it says.
    """

    def __init__(
        self, name: str, address: str, ca_certificate: bytes, key: Path, answer: Answer
    ) -> None:
        self.name, self._answer = name, answer
        self._address, self._ca = address, ca_certificate
        self._key = load_ssh_private_key(key.read_bytes(), password=None)
        self._ending = threading.Event()
        self.connected = threading.Event()
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        repair()

    def start(self) -> None:
        """Connect, in a thread of its own."""
        self._thread.start()

    @property
    def gone(self) -> bool:
        """Whether it went away without being told to, as a process that crashed."""
        return not self._ending.is_set() and not self._thread.is_alive()

    def stop(self) -> None:
        """Go away after the answer that is being given."""
        self._ending.set()

    def join(self) -> None:
        """Wait until it is gone."""
        self._thread.join(30)

    def _work(self) -> None:
        if not isinstance(self._key, ec.EllipticCurvePrivateKey):
            raise TypeError("a node's key is one on an elliptic curve")
        with http_request_response(
            self._address,
            insecure=False,
            root_certificates=self._ca,
            authentication_keys=(self._key, self._key.public_key()),
        ) as (node, receive, send, _run, _fab, pull, push, confirm):
            self.connected.set()
            while not self._ending.is_set():
                received = receive()
                if received is None:
                    self._ending.wait(_PAUSE_SECONDS)
                    continue
                with suppress(RunNotRunningException):  # there is the next one
                    self._answered(node, received[0], received[1], send, pull, push, confirm)

    def _answered(
        self,
        node: int,
        announced: Message,
        tree: ObjectTree,
        send: Callable[[Message, ObjectTree, float], tuple[set[str], str]],
        pull: Callable[[int, str], bytes],
        push: Callable[[int, str, str, bytes], None],
        confirm: Callable[[int, str], None],
    ) -> None:
        """Fetch one message and send what the school says to it."""
        run_id = announced.metadata.run_id
        message = pull_and_inflate_object_from_tree(
            tree,
            lambda object_id: pull(run_id, object_id),
            lambda object_id: confirm(run_id, object_id),
            return_type=Message,
        )
        message.metadata.__dict__["_message_id"] = tree.object_id
        said = self._answer(self.name, request_in(message))
        if said is None:
            return
        reply = reply_with(message, said)
        reply.metadata.__dict__["_src_node_id"] = node
        reply.metadata.__dict__["_message_id"] = reply.object_id
        with no_object_id_recompute():
            wanted, session = send(remove_content_from_message(reply), get_object_tree(reply), 0.0)
            push_objects(
                get_all_nested_objects(reply),
                lambda object_id, content: push(run_id, session, object_id, content),
                object_ids_to_push=wanted,
            )
