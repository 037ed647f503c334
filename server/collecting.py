"""Ask the schools once and take what comes until the deadline.

Nothing here waits for a school: the transport ends at the deadline, what comes after it is not
looked at, and whoever did not come is named.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime

from fedtrace.governance.errors import Rejected
from fedtrace.server.acceptance import Accepted, Declined, Expectation, examine
from fedtrace.server.outcome import Receipt
from fedtrace.server.ports import Clock, Reply, Request, Transport

Examine = Callable[[str, Reply, Expectation, AbstractSet[str]], Accepted | Declined]
"""`fedtrace.server.acceptance.examine`, or what stands in for it."""

RECEIPTS_PER_SCHOOL = 3
"""Answers of one school to one attempt that are examined; a flood of more is not even read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One attempt of one round.

    Attributes:
        request: what each school gets.
        examine: the checks that an answer passes.
        schools: the schools that are asked, in the plan's order.
        unreachable: schools that are not asked because they are not connected.
        expected: what an answer must be.
        deadline: when collecting ends.
        opened_at: when the round was opened; receipts count seconds from here.
    """

    request: Request
    schools: tuple[str, ...]
    unreachable: tuple[str, ...]
    expected: Expectation
    deadline: datetime
    opened_at: datetime
    examine: Examine = examine


def collect(
    question: Question,
    *,
    transport: Transport,
    clock: Clock,
    take: Callable[[str, Accepted], None],
    notify: Callable[[Receipt], None],
) -> tuple[Receipt, ...]:
    """Ask and gather.

    Args:
        question: whom to ask for what, and until when.
        transport: how.
        clock: for the deadline and the receipts.
        take: gets every contribution that passed all checks, once a school.
        notify: gets every receipt as it is made.

    Returns:
        The receipts in the order in which answers came, then one for every school that did not.
    """
    receipts: list[Receipt] = []

    def note(receipt: Receipt) -> None:
        receipts.append(receipt)
        notify(receipt)

    settled: set[str] = set()
    heard: dict[str, int] = {}
    requests = dict.fromkeys(question.schools, question.request)
    replies = transport.ask(requests, deadline=question.deadline) if requests else iter(())
    for school, reply in replies:
        now = clock.now()
        if now > question.deadline:
            break
        heard[school] = heard.get(school, 0) + 1
        if reply is None or heard[school] > RECEIPTS_PER_SCHOOL:
            continue
        seconds = (now - question.opened_at).total_seconds()
        note(_examined(school, reply, seconds, question, settled, take))
    answered = {receipt.school for receipt in receipts}
    for school in (*question.schools, *question.unreachable):
        if school not in answered:
            note(Receipt(school=school, disposition="missing"))
    return tuple(receipts)


def _examined(
    school: str,
    reply: Reply,
    seconds: float,
    question: Question,
    settled: set[str],
    take: Callable[[str, Accepted], None],
) -> Receipt:
    size = sum(len(part) for part in reply.values())
    try:
        answer = question.examine(school, reply, question.expected, settled)
    except Rejected as rejection:
        return Receipt(
            school=school,
            disposition="rejected",
            code=rejection.check,
            received_bytes=size,
            received_seconds=seconds,
        )
    settled.add(school)
    if isinstance(answer, Accepted):
        take(school, answer)
        return Receipt(
            school=school,
            disposition="accepted",
            digest=answer.digest,
            received_bytes=size,
            received_seconds=seconds,
        )
    return Receipt(
        school=school,
        disposition="refused",
        code=answer.code,
        digest=answer.digest,
        received_bytes=size,
        received_seconds=seconds,
    )
