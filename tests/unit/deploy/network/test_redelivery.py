"""Lost orders are handed out again, seen at Flower's own state and handlers."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from flwr.app import ConfigRecord, Message, RecordDict
from flwr.app.message import remove_content_from_message
from flwr.common.constant import SUPERLINK_NODE_ID
from flwr.proto.fleet_pb2 import PullMessagesRequest
from flwr.proto.message_pb2 import ConfirmMessageReceivedRequest
from flwr.proto.node_pb2 import Node
from flwr.server.superlink.linkstate.sql_linkstate import SqlLinkState
from flwr.supercore.constant import NOOP_FEDERATION_ID, TaskType
from flwr.supercore.inflatable.inflatable_object import get_all_nested_objects, get_object_tree
from flwr.supercore.task_identity import TaskIdentity
from flwr.superlink.servicer.fleet import fleet_handlers
from support.superlink import repaired_state

from fedtrace.deploy.network import redelivery

pytestmark = pytest.mark.filterwarnings(  # flwr's alembic.ini
    "ignore:.*path_separator:DeprecationWarning"
)

HEARTBEAT_SECONDS = 30.0
DEADLINE_SECONDS = 3600.0


@dataclass
class SuperLink:
    """A SuperLink's state with one running job and one school's node, as its handlers see it."""

    state: SqlLinkState
    run: int
    node: int

    def order(self, *, seconds: float = DEADLINE_SECONDS) -> Message:
        """Post an order with its content, as a ServerApp does."""
        TaskIdentity.run_id, TaskIdentity.task_id = self.run, 1
        TaskIdentity.node_id = SUPERLINK_NODE_ID
        content = RecordDict({"fedtrace": ConfigRecord({"order": b"round 1"})})
        message = Message(content, self.node, "train", ttl=seconds)
        self.put(message)
        return message

    def arrived(self) -> Message:
        """Post an order that the school's node gets and confirms."""
        order = self.order()
        assert self.pulled() == [order.object_id]
        self.confirm(order)
        return order

    def put(self, message: Message, *, leave_out: int = 0) -> None:
        """Announce a message and upload its content, or all but the last parts of it."""
        message.metadata.__dict__["_message_id"] = message.object_id
        session = self.state.start_session(self.run)
        stored, missing = self.state.store_message_and_object_tree(
            remove_content_from_message(message), get_object_tree(message), session
        )
        assert stored
        objects = get_all_nested_objects(message)
        for name in missing[: len(missing) - leave_out]:
            assert self.state.store_object(self.run, session, name, objects[name].deflate())

    def pulled(self) -> list[str]:
        """What the school's node gets when it asks for work."""
        request = PullMessagesRequest(node=Node(node_id=self.node))
        answer = fleet_handlers.pull_messages(request, self.state, self.state.object_store)
        return [each.metadata.message_id for each in answer.messages_list]

    def confirm(self, order: Message) -> None:
        fleet_handlers.confirm_message_received(
            ConfirmMessageReceivedRequest(
                node=Node(node_id=self.node), run_id=self.run, message_object_id=order.object_id
            ),
            self.state,
            self.state.object_store,
        )

    def has_content(self, order: Message) -> bool:
        return all(self.state.get_object(self.run, name) for name in get_all_nested_objects(order))

    def start_node_again(self) -> None:
        """Its process was killed; the one that is started in its place connects."""
        self.state.deactivate_node(self.node)
        assert self.state.activate_node(self.node, HEARTBEAT_SECONDS)

    def replies(self, order: Message) -> list[Message]:
        """What the ServerApp gets when it asks for the answer."""
        found: list[Message] = self.state.get_message_res({order.object_id}, self.run)
        return found


def answer_to(order: Message, content: bytes = b"update") -> Message:
    return Message(RecordDict({"fedtrace": ConfigRecord({"payload": content})}), reply_to=order)


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SqlLinkState]:
    with repaired_state(tmp_path_factory.mktemp("superlink")) as made:
        yield made


@pytest.fixture
def superlink(state: SqlLinkState) -> Iterator[SuperLink]:
    run = state.create_run(
        *(None, None, None, {}, NOOP_FEDERATION_ID, None, None, TaskType.SERVER_APP)
    )
    (info,) = state.get_run_info(run_ids=[run])
    task = info.primary_task_id
    assert task is not None
    assert state.claim_task(task)
    assert state.activate_task(task)
    node = state.create_node("owner", "owner", str(run).encode(), HEARTBEAT_SECONDS)
    assert state.activate_node(node, HEARTBEAT_SECONDS)
    yield SuperLink(state, run, node)
    state.cleanup_run(run)


def test_an_order_that_never_arrived_comes_again_at_the_next_pull(superlink: SuperLink) -> None:
    order = superlink.order()
    assert superlink.pulled() == [order.object_id]
    assert superlink.pulled() == [order.object_id]
    assert superlink.has_content(order)


def test_an_order_that_arrived_does_not(superlink: SuperLink) -> None:
    """Nor would it to a copy of the school's home that asks while the school is at work."""
    order = superlink.arrived()
    superlink.confirm(order)
    assert superlink.pulled() == []


def test_but_comes_again_with_its_content_to_a_process_that_took_its_place(
    superlink: SuperLink,
) -> None:
    order = superlink.arrived()
    superlink.start_node_again()
    assert superlink.pulled() == [order.object_id]
    assert superlink.has_content(order)
    superlink.confirm(order)
    assert superlink.pulled() == []


def test_an_order_that_takes_its_school_down_is_left_at_that(superlink: SuperLink) -> None:
    """Each attempt is paid for."""
    order = superlink.order()
    for _ in range(redelivery.MOST_ARRIVALS):
        assert superlink.pulled() == [order.object_id]
        superlink.confirm(order)
        superlink.start_node_again()
    assert superlink.pulled() == []
    redelivery.forget_expired(superlink.state)
    assert superlink.pulled() == []
    superlink.put(answer_to(order))  # by the process that is there, at last
    assert len(superlink.replies(order)) == 1
    superlink.state.delete_messages({order.object_id})
    redelivery.forget_expired(superlink.state)
    assert not redelivery._arrivals


def test_a_new_order_comes_first(superlink: SuperLink) -> None:
    first = superlink.order()
    superlink.pulled()
    second = superlink.order()
    assert [superlink.pulled(), superlink.pulled()] == [[second.object_id], [first.object_id]]


def test_an_answered_order_does_not_come_again(superlink: SuperLink) -> None:
    order = superlink.arrived()
    superlink.put(answer_to(order))
    superlink.start_node_again()
    assert superlink.pulled() == []
    (reply,) = superlink.replies(order)
    assert reply.metadata.reply_to_message_id == order.object_id
    assert not reply.has_error()


def test_with_its_answer_the_content_of_an_order_is_dropped(superlink: SuperLink) -> None:
    order = superlink.arrived()
    assert superlink.has_content(order)
    superlink.put(answer_to(order))
    superlink.replies(order)
    assert len(superlink.state.object_store) == len(get_all_nested_objects(answer_to(order)))
    assert not superlink.has_content(order)


def test_half_an_answer_is_not_shown_and_makes_room_for_a_whole_one(superlink: SuperLink) -> None:
    order = superlink.arrived()
    superlink.put(answer_to(order, b"one"), leave_out=1)
    assert superlink.replies(order) == []
    assert superlink.pulled() == []
    superlink.start_node_again()
    assert superlink.pulled() == [order.object_id]
    again = answer_to(order, b"two")
    superlink.put(again)
    (reply,) = superlink.replies(order)
    assert reply.metadata.message_id == again.object_id


def test_half_an_answer_of_a_school_that_is_gone_is_not_waited_for(
    superlink: SuperLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = superlink.arrived()
    superlink.put(answer_to(order), leave_out=1)
    superlink.state.deactivate_node(superlink.node)
    assert superlink.replies(order) == []
    monkeypatch.setattr(redelivery, "GRACE_SECONDS", -1)
    (reply,) = superlink.replies(order)
    assert reply.has_error()


def test_while_one_lost_order_comes_again_another_arrives(superlink: SuperLink) -> None:
    """A pull that the school had given up was answered late, and its line had lost the first."""
    first = superlink.order()
    superlink.pulled()
    second = superlink.order()
    superlink.pulled()
    assert superlink.pulled() == [first.object_id]
    for each in (second, first):
        superlink.confirm(each)
        superlink.put(answer_to(each))
    assert superlink.pulled() == []


def test_then_half_an_answer_to_the_other_makes_room_too(superlink: SuperLink) -> None:
    orders = [superlink.order()]
    superlink.pulled()
    orders.append(superlink.order())
    superlink.pulled()
    superlink.pulled()
    superlink.confirm(orders[1])
    superlink.put(answer_to(orders[1], b"one"), leave_out=1)
    superlink.start_node_again()
    for order in orders:
        assert superlink.pulled() == [order.object_id]
        superlink.confirm(order)
        superlink.put(answer_to(order, b"two"))
    assert [len(superlink.replies(order)) for order in orders] == [1, 1]


def test_an_order_of_another_school_is_left_alone(superlink: SuperLink) -> None:
    other = superlink.state.create_node("owner", "owner", b"another key", HEARTBEAT_SECONDS)
    superlink.state.activate_node(other, HEARTBEAT_SECONDS)
    superlink.order()
    superlink.pulled()
    assert SuperLink(superlink.state, superlink.run, other).pulled() == []


def test_after_its_deadline_an_order_is_dropped_with_all_that_came_of_it(
    superlink: SuperLink,
) -> None:
    answered = superlink.order(seconds=0.2)
    silent = superlink.order(seconds=0.2)
    kept = superlink.order()
    for _ in range(3):
        superlink.pulled()
    superlink.put(answer_to(answered), leave_out=1)
    superlink.confirm(silent)
    time.sleep(0.3)
    redelivery.forget_expired(superlink.state)
    superlink.start_node_again()
    assert superlink.pulled() == [kept.object_id]
    assert superlink.state.num_message_ins() == 1
    assert superlink.state.num_message_res() == 0
    assert len(superlink.state.object_store) == len(get_all_nested_objects(kept))


def test_a_node_that_went_away_has_a_minute_to_come_back(
    superlink: SuperLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = superlink.arrived()
    superlink.state.deactivate_node(superlink.node)
    assert superlink.replies(order) == []
    monkeypatch.setattr(redelivery, "GRACE_SECONDS", -1)
    (reply,) = superlink.replies(order)
    assert reply.has_error()
