"""The transport over Flower's Grid: names, deadlines, and schools that behave badly."""

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest
from flwr.app import ConfigRecord, Message, RecordDict
from flwr.app.error import Error
from flwr.supercore.inflatable.inflatable_utils import ObjectUnavailableError, pull_objects
from flwr.supercore.task_identity import TaskIdentity

from fedtrace.server.app import read_nodes
from fedtrace.server.transport import GridTransport

SCHOOLS = {101: "school-1", 102: "school-2", 103: "school-3"}
NAMES = tuple(SCHOOLS.values())
REQUEST = {"order": b"signed", "checkpoint": b"model"}


Reply = Callable[[Message], list[Message]]
"""What a school answers to one message."""


class Grid:
    """Flower's Grid with replies from a function; counts what is asked of it."""

    def __init__(self, reply: Reply, online: Iterable[int] = tuple(SCHOOLS)) -> None:
        TaskIdentity.run_id, TaskIdentity.task_id, TaskIdentity.node_id = 1, 1, 1
        self.reply = reply
        self.online = online
        self.sent: dict[str, Message] = {}

    def get_node_ids(self) -> list[int]:
        return list(self.online)

    def push_messages(self, messages: Sequence[Message]) -> list[str]:
        for message in messages:
            self.sent[str(message.metadata.dst_node_id)] = message
        return [str(message.metadata.dst_node_id) for message in messages]

    def pull_messages(self, message_ids: Sequence[str]) -> list[Message]:
        (message_id,) = message_ids
        return self.reply(self.sent[message_id])


def test_a_reply_whose_content_is_on_its_way_is_waited_for_without_flowers_long_pauses() -> None:
    looks = iter(range(4))

    def pull(_object_id: str) -> bytes:
        if next(looks) < 3:
            raise ObjectUnavailableError("object")
        return b"content"

    started = time.monotonic()
    assert pull_objects(["object"], pull) == {"object": b"content"}
    assert time.monotonic() - started < 3.0  # Flower would pause 1 s, 2 s and 4 s


def content(message: Message, **values: bytes) -> Message:
    return Message(RecordDict({"fedtrace": ConfigRecord(values)}), reply_to=message)


def ask(
    grid: Grid, *, seconds: float = 5.0, schools: Sequence[str] = NAMES
) -> list[tuple[str, Mapping[str, bytes] | None]]:
    transport = GridTransport(cast("Any", grid), SCHOOLS)
    deadline = datetime.now(UTC) + timedelta(seconds=seconds)
    return list(transport.ask(dict.fromkeys(schools, REQUEST), deadline=deadline))


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fedtrace.server.transport._POLL_SECONDS", 0.01)
    monkeypatch.setattr("fedtrace.server.transport._POLLS_PER_SECOND", 1000)
    monkeypatch.setattr("fedtrace.server.transport._HANGS_SECONDS", 0.05)


def test_every_reply_is_of_the_node_that_flower_authenticated() -> None:
    def reply(message: Message) -> list[Message]:
        return [
            content(
                message, manifest=b"I am school-2", payload=b"%d" % message.metadata.dst_node_id
            )
        ]

    assert dict(ask(Grid(reply))) == {
        name: {"manifest": b"I am school-2", "payload": b"%d" % node}
        for node, name in SCHOOLS.items()
    }


def test_the_request_travels_as_bytes_with_a_time_to_live() -> None:
    grid = Grid(lambda message: [content(message, payload=b"x")])
    ask(grid, seconds=30)
    message = grid.sent["101"]
    assert dict(message.content["fedtrace"]) == REQUEST
    assert message.metadata.message_type == "train"
    assert 0 < message.metadata.ttl <= 30


def test_a_school_that_is_silent_is_missing_at_the_deadline() -> None:
    def reply(message: Message) -> list[Message]:
        silent = message.metadata.dst_node_id == 102
        return [] if silent else [content(message, payload=b"x")]

    started = time.monotonic()
    replies = ask(Grid(reply), seconds=0.3)
    assert {school for school, _ in replies} == {"school-1", "school-3"}
    assert 0.2 < time.monotonic() - started < 2.0


def test_a_school_that_dies_while_uploading_holds_up_nobody() -> None:
    """Flower waits for minutes inside such a pull."""
    dead = threading.Event()

    def reply(message: Message) -> list[Message]:
        if message.metadata.dst_node_id == 101:
            dead.wait(30)
        return [content(message, payload=b"x")]

    started = time.monotonic()
    replies = ask(Grid(reply), seconds=0.3)
    dead.set()
    assert {school for school, _ in replies} == {"school-2", "school-3"}
    assert time.monotonic() - started < 2.0


def test_schools_that_answer_are_fetched_by_one_thread() -> None:
    threads = set()

    def reply(message: Message) -> list[Message]:
        threads.add(threading.get_ident())
        return [content(message, payload=b"x")]

    assert len(ask(Grid(reply))) == len(NAMES)
    assert len(threads) == 1


def test_an_error_of_one_school_is_none_and_stays_its_own() -> None:
    def reply(message: Message) -> list[Message]:
        match message.metadata.dst_node_id:
            case 101:
                return [Message(Error(0, "text that is not passed on"), reply_to=message)]
            case 102:
                raise OSError("connection reset")
        return [content(message, payload=b"x")]

    assert dict(ask(Grid(reply))) == {
        "school-1": None,
        "school-2": None,
        "school-3": {"payload": b"x"},
    }


@pytest.mark.parametrize(
    "records",
    [
        {},
        {"other": ConfigRecord({"payload": b"x"})},
        {"fedtrace": ConfigRecord({"payload": "text", "number": 1})},
    ],
)
def test_anything_but_bytes_is_left_out(records: dict[str, ConfigRecord]) -> None:
    def reply(message: Message) -> list[Message]:
        return [Message(RecordDict(records), reply_to=message)]

    assert dict(ask(Grid(reply), schools=["school-1"])) == {"school-1": {}}


def test_unknown_schools_and_nobody_at_all() -> None:
    assert ask(Grid(lambda message: []), schools=["school-9"]) == []
    assert ask(Grid(lambda message: []), schools=[]) == []


def test_a_deadline_in_the_past() -> None:
    assert ask(Grid(lambda message: [content(message, payload=b"x")]), seconds=-1.0) == []


def test_connected_schools_by_name() -> None:
    transport = GridTransport(Grid(list, online=(101, 103, 999)), SCHOOLS)
    assert transport.connected() == {"school-1", "school-3"}


def test_nodes_are_read_from_the_consortiums_home(tmp_path: Path) -> None:
    (tmp_path / "nodes.json").write_text('{"18446744073709551615": "school-1"}')
    assert read_nodes(tmp_path) == {2**64 - 1: "school-1"}
