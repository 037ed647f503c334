"""What one version of fedtrace wrote, kept for all later ones: a consortium's homes and messages.

A recording is a folder ``tests/golden/<version>/``:

=================  ============================================================================
``homes.tar.xz``   every home of three schools and their consortium, at the moment in which all
                   have contributed to the second of three rounds and nobody has agreed on it
``messages.xz``    JSON lines: every request of three jobs and what the school answered, in order
``facts.json``     what the version made of it: sums, ends, digests
=================  ============================================================================
"""

from __future__ import annotations

import base64
import json
import lzma
import tarfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from fedtrace.client.contribution import answer
from fedtrace.client.school import School
from fedtrace.deploy.workspace import Workspace
from fedtrace.governance.canonical import digest
from fedtrace.governance.charter_history import read_charters
from fedtrace.governance.orders import ORDER_TYPE, RoundOrder
from fedtrace.governance.secure_sum import RUN_KEY_TYPE, RunKey
from fedtrace.governance.signing import unverified_payload
from fedtrace.server.asking import Asking
from fedtrace.server.head import Head, OpenRound
from fedtrace.server.plans import PlanShelf
from fedtrace.server.ports import Reply, Request
from fedtrace.server.secure_sum import ask_for_a_sum

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
HOMES, MESSAGES, FACTS, DIGESTS = "homes.tar.xz", "messages.xz", "facts.json", "SHA256SUMS"

KEPT_ROUND = 2
"""The homes are kept in this round of the job under secure sum, before anybody agrees."""


@dataclass(frozen=True, kw_only=True)
class Heard:
    """One request and its answer.

    Attributes:
        job: the name of the plan's job.
        school: who was asked.
        now: the time at both ends.
        is_after: whether it came after the homes were kept.
        request: by name.
        reply: by name.
    """

    job: str
    school: str
    now: datetime
    is_after: bool
    request: Mapping[str, bytes]
    reply: Mapping[str, bytes]

    @property
    def stage(self) -> str:
        """``contribute``, a later stage of a secure sum, or ``witness``."""
        if "order" not in self.request:
            return "witness"
        return self.request.get("stage", b"contribute").decode()

    def to_line(self) -> str:
        plain = {
            "job": self.job,
            "school": self.school,
            "now": self.now.isoformat(),
            "is_after": self.is_after,
            "request": _texts(self.request),
            "reply": _texts(self.reply),
        }
        return json.dumps(plain, sort_keys=True)

    @classmethod
    def from_line(cls, line: str) -> Heard:
        plain = json.loads(line)
        return cls(
            job=plain["job"],
            school=plain["school"],
            now=datetime.fromisoformat(plain["now"]),
            is_after=plain["is_after"],
            request=_parts(plain["request"]),
            reply=_parts(plain["reply"]),
        )


def _texts(parts: Mapping[str, bytes]) -> dict[str, str]:
    return {name: base64.b64encode(part).decode("ascii") for name, part in parts.items()}


def _parts(texts: Mapping[str, str]) -> dict[str, bytes]:
    return {name: base64.b64decode(text) for name, text in texts.items()}


@dataclass
class SlowClock:
    """A second passes with every question to a school, and not otherwise."""

    time: datetime

    def now(self) -> datetime:
        return self.time

    def pass_one(self) -> None:
        self.time += timedelta(seconds=1)


@dataclass
class Direct:
    """The round loop's transport with nothing between the two sides; remembers what passed.

    Attributes:
        schools: name -> open home.
        clock: both sides' time.
        before: is called with every message before it is delivered.
        heard: every school's answer, as (school, time, request, reply).
    """

    schools: Mapping[str, School]
    clock: SlowClock
    before: Callable[[Request], None] = lambda request: None
    heard: list[tuple[str, datetime, Request, Reply]] = field(default_factory=list)

    def connected(self) -> frozenset[str]:
        return frozenset(self.schools)

    def ask(
        self, requests: Mapping[str, Request], *, deadline: datetime
    ) -> Iterator[tuple[str, Reply | None]]:
        del deadline
        for school, request in requests.items():
            self.before(request)
            self.clock.pass_one()
            now = self.clock.now()
            reply = answer(request, school=self.schools[school], now=now)
            self.heard.append((school, now, dict(request), reply))
            yield school, reply


@dataclass
class Replayed:
    """The transport whose schools say what they said when this was recorded.

    Attributes:
        recorded: what was heard in one round.
        clock: set to the time of each answer.
    """

    recorded: Iterable[Heard]
    clock: SlowClock

    def connected(self) -> frozenset[str]:
        return frozenset(each.school for each in self.recorded)

    def ask(
        self, requests: Mapping[str, Request], *, deadline: datetime
    ) -> Iterator[tuple[str, Reply | None]]:
        del deadline
        for school, request in requests.items():
            found = [h for h in self.recorded if h.school == school and _same(h, request)]
            assert found, f"today {school} is asked something else: {sorted(request)}"
            self.clock.time = found[0].now
            yield school, found[0].reply


def _same(heard: Heard, request: Request) -> bool:
    """Whether a request is the recorded one: byte for byte, less what witnesses are asked."""
    about_the_log = {"add-checkpoint", "entries", "log"}
    return all(
        heard.request.get(name) == request.get(name)
        for name in (heard.request.keys() | request.keys()) - about_the_log
    )


def versions() -> tuple[str, ...]:
    """The recorded versions."""
    return tuple(sorted(path.parent.name for path in GOLDEN.glob(f"*/{FACTS}")))


def messages_of(version: str) -> tuple[Heard, ...]:
    lines = lzma.decompress((GOLDEN / version / MESSAGES).read_bytes()).decode().splitlines()
    return tuple(Heard.from_line(line) for line in lines)


def homes_of(version: str, root: Path) -> Workspace:
    """The recorded homes, unpacked under ``root``."""
    with tarfile.open(GOLDEN / version / HOMES) as archive:
        archive.extractall(root, filter="data")
    schools = tuple(sorted(path.name for path in (root / "schools").iterdir()))
    return Workspace(root=root, schools=schools)


def order_of(request: Request) -> RoundOrder:
    """The order in a request, whoever signed it."""
    return RoundOrder.from_bytes(unverified_payload(request["order"], ORDER_TYPE))


def round_of(messages: Iterable[Heard], number: int) -> tuple[Heard, ...]:
    """What was said in one round of the job under secure sum."""
    return tuple(
        each
        for each in messages
        if each.job == "distributed"
        and each.stage != "witness"
        and order_of(each.request).round == number
    )


def sum_of(workspace: Workspace, messages: tuple[Heard, ...]) -> str:
    """What today's aggregator adds up from the answers of one round: its digest.

    Args:
        workspace: the consortium's charter and plan.
        messages: from `round_of`.
    """
    charter = read_charters(workspace.consortium_home).current
    asked = next(each for each in messages if each.stage == "contribute")
    order = order_of(asked.request)
    plan = PlanShelf(workspace.consortium_home / "plans").open(order.plan_digest, charter).plan
    clock = SlowClock(asked.now)
    head = Head(
        run_id=order.run_id,
        plan_digest=order.plan_digest,
        version=1,
        state="training",
        reason=None,
        round=order.round - 1,
        finished=order.round - 1,
        checkpoint_digest=order.checkpoint_digest,
        optimiser_digest=order.checkpoint_digest,
        model_digest=None,
        previous_record_digest=order.previous_round_digest,
        started_at=asked.now,
        ended_at=None,
        resumed=0,
        open=OpenRound(order=asked.request["order"], attempt=1, opened_at=asked.now, carried=None),
    )
    keys = run_keys_in(asked.request["keys"])
    asking = Asking(
        plan=plan,
        charter=charter,
        transport=Replayed(messages, clock),
        clock=clock,
        notify=lambda number, receipt: None,
    )
    answers = ask_for_a_sum(
        head, asking, checkpoint=asked.request["checkpoint"], earlier=(), run_keys=keys
    )
    assert [each.disposition for each in answers.receipts] == ["accepted"] * len(keys)
    return digest(answers.total.total.tobytes())


def run_keys_in(lines: bytes) -> dict[str, bytes]:
    """School -> its signed key of the run, from a request's ``keys``."""
    envelopes = lines.split(b"\n")
    return {
        RunKey.from_bytes(unverified_payload(each, RUN_KEY_TYPE)).school: each for each in envelopes
    }
