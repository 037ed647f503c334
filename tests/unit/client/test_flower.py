"""The adapter against Flower's own SuperNode API; fails where another Flower does otherwise."""

import hashlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from flwr.app import ConfigRecord, Message, RecordDict
from flwr.supercore.inflatable.inflatable_utils import ObjectPullError
from flwr.supercore.run import RunNotRunningException
from support.supernode import NODE_ID, RUN_ID, InProcessSuperNode

from fedtrace.client.bundle import build_fab, fab_digest
from fedtrace.client.flower import SuperNode, SuperNodeUnreachableError
from fedtrace.deploy.network.ports import free_ports
from fedtrace.deploy.network.supernode import repair

SECRET = b"only the gate knows"


@pytest.fixture(scope="module")
def supernode() -> Iterator[InProcessSuperNode]:
    with InProcessSuperNode(secret=SECRET, fab=build_fab()) as node:
        yield node


@pytest.fixture
def worker(supernode: InProcessSuperNode, tmp_path: Path) -> Iterator[SuperNode]:
    secret_file = tmp_path / "secret"
    secret_file.write_bytes(SECRET)
    worker = SuperNode(supernode.address, secret_file)
    yield worker
    worker.close()


def test_a_task_is_claimed_once_answered_and_sent(
    supernode: InProcessSuperNode, worker: SuperNode
) -> None:
    checkpoint = bytes(range(256)) * 1024
    supernode.deliver({"order": b"signed", "checkpoint": checkpoint})
    with worker.claim() as claimed:
        assert claimed is not None
        message = claimed.task.message
        record = message.content["fedtrace"]
        assert (record["order"], record["checkpoint"]) == (b"signed", checkpoint)
        assert claimed.task.fab_digest == fab_digest()
        assert message.metadata.run_id == RUN_ID
        with worker.claim() as second:
            assert second is None
        reply = RecordDict({"fedtrace": ConfigRecord({"payload": checkpoint})})
        claimed.reply(Message(reply, reply_to=message))
    sent = supernode.sent()
    assert sent.content["fedtrace"]["payload"] == checkpoint
    assert sent.metadata.src_node_id == NODE_ID
    assert sent.metadata.reply_to_message_id == message.metadata.message_id


def test_a_message_whose_content_is_on_its_way_is_waited_for_without_flowers_long_pauses(
    supernode: InProcessSuperNode, worker: SuperNode
) -> None:
    arrives = threading.Event()
    delivery = threading.Thread(
        target=supernode.deliver, args=({"order": b"1"},), kwargs={"before_content": arrives.wait}
    )
    delivery.start()
    threading.Timer(1.0, arrives.set).start()  # Flower would look after 1 s, 3 s and 7 s
    deadline = time.monotonic() + 2.5
    claimed_at = None
    while claimed_at is None and time.monotonic() < deadline:
        with worker.claim() as claimed:
            if claimed is not None:
                claimed_at = time.monotonic()
                message = claimed.task.message
                claimed.reply(Message(RecordDict({}), reply_to=message))
    delivery.join()
    assert claimed_at is not None
    assert claimed_at < deadline
    assert message.content["fedtrace"]["order"] == b"1"
    supernode.sent()


def test_a_message_whose_run_ends_while_it_arrives_does_not_hold_up_the_next(
    supernode: InProcessSuperNode, worker: SuperNode
) -> None:
    """What Flower's loop leaves behind without the repair keeps the gate waiting for two hours."""
    repair()
    announced, claimed = threading.Event(), threading.Event()

    def end_the_run() -> None:
        announced.set()
        claimed.wait(5)
        raise RunNotRunningException

    arrival = threading.Thread(
        target=supernode.deliver, args=({"order": b"1"},), kwargs={"before_content": end_the_run}
    )
    arrival.start()
    announced.wait(5)
    threading.Timer(0.2, claimed.set).start()
    with pytest.raises((ObjectPullError, SuperNodeUnreachableError)), worker.claim():
        pass
    arrival.join()
    with worker.claim() as task:
        assert task is None
    supernode.deliver({"order": b"2"})
    with worker.claim() as task:
        assert task is not None
        assert task.task.message.content["fedtrace"]["order"] == b"2"
        task.reply(Message(RecordDict({}), reply_to=task.task.message))
    supernode.sent()


def test_an_answer_to_a_run_that_has_ended_does_not_leave_in_the_place_of_the_next(
    supernode: InProcessSuperNode, worker: SuperNode
) -> None:
    """Flower's loop would send it for the next order, and that order's answer a round too late."""
    repair()

    def answer_and_end_the_run() -> None:
        with worker.claim() as task:
            assert task is not None
            task.reply(Message(RecordDict({}), reply_to=task.task.message))
        raise RunNotRunningException

    supernode.deliver({"order": b"1"}, before_confirmed=answer_and_end_the_run)
    supernode.deliver({"order": b"2"})
    sent: list[Message] = []
    sending = threading.Thread(target=lambda: sent.append(supernode.sent()))
    sending.start()
    time.sleep(0.2)
    with worker.claim() as task:
        assert task is not None
        second = task.task.message
        task.reply(Message(RecordDict({}), reply_to=second))
    sending.join(10)
    assert sent[0].metadata.reply_to_message_id == second.metadata.message_id


def test_nothing_waits(worker: SuperNode) -> None:
    with worker.claim() as claimed:
        assert claimed is None


def test_a_worker_without_the_secret_gets_nothing(
    supernode: InProcessSuperNode, tmp_path: Path
) -> None:
    (tmp_path / "wrong").write_bytes(b"a guess")
    stranger = SuperNode(supernode.address, tmp_path / "wrong")
    with pytest.raises(SuperNodeUnreachableError, match="401"), stranger.claim():
        pass
    stranger.close()


def test_no_supernode(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(SECRET)
    worker = SuperNode(f"127.0.0.1:{free_ports(1)[0]}", tmp_path / "secret")
    with pytest.raises(SuperNodeUnreachableError), worker.claim():
        pass
    worker.close()


def test_the_digest_is_of_the_bytes_that_came(tmp_path: Path) -> None:
    foreign = build_fab() + b"\0"
    (tmp_path / "secret").write_bytes(SECRET)
    with InProcessSuperNode(secret=SECRET, fab=foreign) as node:
        worker = SuperNode(node.address, tmp_path / "secret")
        node.deliver({"order": b"signed"})
        with worker.claim() as claimed:
            assert claimed is not None
            assert claimed.task.fab_digest == f"sha256:{hashlib.sha256(foreign).hexdigest()}"
        worker.close()
