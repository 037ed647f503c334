"""The aggregator dies again and again at its writes; real schools are asked again, and pay once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from support.consistency import check_consortium, logged
from support.federation import Federation

from fedtrace.client.home import open_school
from fedtrace.governance.log.entries import RoundClosed, RoundReserved
from fedtrace.governance.log.storage import DirectoryFiles
from fedtrace.server import registry
from fedtrace.server.outcome import JobOutcome
from fedtrace.server.store import ConsortiumStore


class Died(BaseException):
    """As final as a power cut."""


@contextmanager
def dying_at(write: int, consortium_log: Path) -> Iterator[None]:
    """Die before or after a write of the aggregator to its store, its log or its registry.

    Args:
        write: which one, from 1; every write counts twice, before it and after it.
        consortium_log: the schools' own logs are written by the same code and are left alone.
    """
    count = 0

    def tick() -> None:
        nonlocal count
        count += 1
        if count == write:
            raise Died

    def around(inner: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(self: Any, *args: Any, **options: Any) -> Any:
            if isinstance(self, DirectoryFiles) and self._directory != consortium_log:
                return inner(self, *args, **options)
            tick()
            result = inner(self, *args, **options)
            tick()
            return result

        return wrapped

    with pytest.MonkeyPatch.context() as patch:
        for owner, name in (
            (ConsortiumStore, "begin"),
            (ConsortiumStore, "swap"),
            (DirectoryFiles, "append"),
            (DirectoryFiles, "publish"),
            (registry.ModelRegistry, "publish"),
        ):
            patch.setattr(owner, name, around(getattr(owner, name)))
        yield


def lives(federation: Federation, write: int) -> tuple[int, JobOutcome]:
    """Run a job in which each aggregator dies at its ``write``-th write, until one gets through.

    A step is a swap in the store, an append to the log and its publication: six moments to die.
    Publishing what the last one left and taking the job up again need up to ten, so nobody who
    dies much earlier moves the job on.
    """
    log = federation.workspace.consortium_home / "log"
    for deaths in range(20):
        try:
            with dying_at(write, log):
                return deaths, federation.run()
        except Died:
            continue
    raise AssertionError(f"no aggregator that dies at its {write}th write comes to an end")


@pytest.mark.parametrize("write", [10, 13])
@pytest.mark.system
def test_an_aggregator_that_keeps_dying_ends_the_job_and_no_school_pays_twice(
    write: int, federation: Federation
) -> None:
    deaths, outcome = lives(federation, write)
    assert deaths >= 3
    assert outcome.reason == "completed"
    assert outcome.evaluation is not None
    assert [each.round for each in outcome.rounds] == [1, 2, 3]
    assert all(each.answered == federation.schools for each in outcome.rounds)
    closed = [
        entry.round
        for entry in logged(federation.workspace.consortium_home)
        if isinstance(entry, RoundClosed)
    ]
    assert closed == [1, 2, 3]
    for school in federation.schools:
        with open_school(federation.home(school)) as opened:
            paid = Counter(entry.event.round for entry in opened.store.ledger())
        assert paid == {1: 1, 2: 1, 3: 1, 4: 1}
        own = [e.round for e in logged(federation.home(school)) if isinstance(e, RoundReserved)]
        assert own == [1, 2, 3, 4]
    check_consortium(federation.workspace)
