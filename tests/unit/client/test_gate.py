"""The loop around a school's answers: what leaves when something goes wrong in it."""

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import pytest

from fedtrace.client.flower import SuperNodeUnreachableError
from fedtrace.client.gate import serve

SECRET = "Ada Lovelace, born 10 December"


class Stop(BaseException):
    """Ends the endless loop."""


@dataclass
class Node:
    """A SuperNode whose tasks are a list; each entry is a task or an error to raise."""

    tasks: list[Any]
    replies: list[Any] = field(default_factory=list)

    @contextmanager
    def claim(self) -> Iterator[SimpleNamespace | None]:
        if not self.tasks:
            raise Stop
        task = self.tasks.pop(0)
        if isinstance(task, BaseException):
            raise task
        yield None if task is None else SimpleNamespace(task=task, reply=self._reply)

    def _reply(self, message: Any) -> None:
        if isinstance(message, BaseException):
            raise message
        self.replies.append(message)


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fedtrace.client.gate._IDLE_SECONDS", 0)
    monkeypatch.setattr("fedtrace.client.gate._RETRY_SECONDS", 0)


def run(tasks: Iterable[Any], answer: Callable[[Any], Any]) -> list[Any]:
    node = Node(list(tasks))
    with pytest.raises(Stop):
        # Tasks and replies are plain strings here: the loop looks into neither.
        serve(cast("Any", node), answer, last_resort=cast("Any", lambda task: f"refused {task}"))
    return node.replies


def test_other_things_are_looked_after_between_tasks() -> None:
    looked: list[int] = []
    node = Node(["one", None, "two"])
    with pytest.raises(Stop):
        serve(
            cast("Any", node),
            cast("Any", str),
            last_resort=cast("Any", str),
            between=lambda: looked.append(len(node.replies)),
        )
    assert looked == [0, 1, 1, 2]


def test_every_task_is_answered() -> None:
    assert run(["a", None, "b"], str.upper) == ["A", "B"]


@pytest.mark.parametrize("error", [ValueError(SECRET), OSError(SECRET), RecursionError(SECRET)])
def test_no_text_of_an_error_leaves(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    def answer(_task: Any) -> None:
        raise error

    assert run(["a"], answer) == ["refused a"]
    assert SECRET in caplog.text  # it is in the school's own log


def test_a_supernode_that_comes_and_goes(caplog: pytest.LogCaptureFixture) -> None:
    gone = SuperNodeUnreachableError("connection refused")
    with caplog.at_level(logging.WARNING):
        assert run([gone, gone, gone, "a", gone, "b"], str.upper) == ["A", "B"]
    assert caplog.text.count("does not answer") == 2  # once each time it went


def test_one_task_may_be_lost_but_not_the_worker(caplog: pytest.LogCaptureFixture) -> None:
    def answer(task: Any) -> Any:
        return OSError("the reply could not be written") if task == "bad" else task

    assert run(["bad", "a"], answer) == ["a"]
    assert "given up" in caplog.text


def test_who_is_told_to_end_finishes_the_answer_and_begins_no_other() -> None:
    """An answer is paid for before it is given: one that is broken off is lost."""
    ending = False

    def answer(task: Any) -> Any:
        nonlocal ending
        ending = True
        return task.upper()

    node = Node(["a", "b"])
    serve(
        cast("Any", node),
        answer,
        last_resort=cast("Any", lambda task: f"refused {task}"),
        is_ending=lambda: ending,
    )
    assert node.replies == ["A"]
    assert node.tasks == ["b"]
