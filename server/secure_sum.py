"""One attempt of one round under secure sum: four questions, one sum, no single contribution seen.

::

    keys         who has not yet given its key of the run                    a quarter of the time
    contribute   order, model, everybody's keys -> masked input, shares      until six tenths
    agree        whose inputs came -> everybody's signature under that list  until eight tenths
    reveal       the signed list, shares -> what it takes to unmask          until the deadline

A stage ends as soon as everybody answered, and a school that is lost at any of them costs only its
own contribution, as long as the quorum and the thresholds of the group are left. Where they are
not, the attempt has brought nothing: what came stays masked for ever, and the round is asked again
under a new order. A school that said no, in whatever stage, is not asked again in this round.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from fedtrace.governance.errors import Corrupt, Rejected
from fedtrace.governance.orders import SignedOrder
from fedtrace.governance.secure_sum import (
    RevealedShares,
    Survivors,
    agreed_survivors,
    handed_shares,
    merged_agreement,
    open_revealed,
    open_shares,
    run_keys,
)
from fedtrace.governance.signing import SignatureError
from fedtrace.privacy.discrete import NoiseShare
from fedtrace.privacy.secure_sum import protocol
from fedtrace.privacy.secure_sum.group import Group
from fedtrace.server.acceptance import (
    Accepted,
    Declined,
    Expectation,
    declined,
    examine,
    tensor_and_bound,
)
from fedtrace.server.aggregation import RunningSum
from fedtrace.server.asking import POOLED, Answers, Asking, whom
from fedtrace.server.codec import masked_spec
from fedtrace.server.collecting import Question, collect
from fedtrace.server.head import Head
from fedtrace.server.ordering import expectation, read_order
from fedtrace.server.outcome import Receipt
from fedtrace.server.ports import Reply, Request

_KEYS_UNTIL, _CONTRIBUTE_UNTIL, _AGREE_UNTIL = 0.25, 0.6, 0.8
"""Parts of the time until the deadline."""

_Part = TypeVar("_Part")
_Words = npt.NDArray[np.uint32]
_Shares = tuple[bytes, tuple[bytes, ...]]


class _Unsummed(Exception):  # noqa: N818 - says what became of the attempt
    """Too few schools got as far as a later stage needs."""


@dataclass(slots=True)
class _Gathered:
    """What the contributions of one attempt add up to so far.

    Attributes:
        total: uint32 [size], the sum of the masked inputs modulo 2**32.
        shares: school -> its signature for its shares, as it came, and the pieces: its
            commitments, then the shares for each neighbour.
    """

    total: _Words
    shares: dict[str, _Shares] = field(default_factory=dict)


def ask_for_a_sum(
    head: Head,
    asking: Asking,
    *,
    checkpoint: bytes,
    earlier: tuple[Receipt, ...],
    run_keys: dict[str, bytes],
) -> Answers:
    """Ask for masked contributions and unmask nothing but their sum.

    Args:
        head: with the open round.
        asking: whom and how.
        checkpoint: safetensors bytes that go along with the order.
        earlier: receipts of this round's earlier attempts.
        run_keys: school -> its signed key of the run; added to.

    Raises:
        Corrupt: the open order is not one that belongs to this head.
    """
    if head.open is None:
        raise Corrupt(f"run {head.run_id} has no open round")
    signed = read_order(head, asking.charter.aggregator.public_key)
    _, asked, unreachable = whom(asking, earlier)
    attempt = _Attempt(head, head.open.order, signed, asking, asked, unreachable)
    try:
        total = attempt.run(checkpoint, run_keys)
    except _Unsummed:
        receipts = [
            replace(each, disposition="unused") if each.disposition == "accepted" else each
            for each in attempt.receipts
        ]
        total, summed = np.zeros(0), 0
    else:
        receipts, summed = attempt.receipts, len(attempt.survivors)
    no = {each.school for each in receipts if each.disposition in ("refused", "rejected")}
    is_train = signed.order.kind == "train"
    size = asking.plan.model.parameters
    histograms = {} if is_train or not summed else {POOLED: total.reshape(2, -1)}
    return Answers(
        order=signed.order,
        opened=head.open,
        receipts=tuple(receipts),
        accepted=summed,
        pending=tuple(school for school in (*asked, *unreachable) if school not in no),
        total=RunningSum.resumed(total, summed) if is_train and summed else RunningSum(size),
        histograms=histograms,
    )


class _Attempt:
    """The four stages of one attempt, in order."""

    def __init__(
        self,
        head: Head,
        order: bytes,
        signed: SignedOrder,
        asking: Asking,
        asked: tuple[str, ...],
        unreachable: tuple[str, ...],
    ) -> None:
        self.receipts: list[Receipt] = []
        self.survivors: tuple[str, ...] = ()
        self._head, self._order, self._signed, self._asking = head, order, signed, asking
        self._asked, self._unreachable = asked, unreachable
        members = asking.charter.member_keys()
        self._members = {name: members[name] for name in asking.plan.schools.members}
        self._expected = replace(
            expectation(asking.plan, signed, self._members),
            tensor=masked_spec(asking.plan.summed(signed.order.kind).size),
            norm_bound=float("inf"),  # a masked input is uniform; the sum is checked
        )
        self._opened_at = asking.clock.now()

    def run(self, checkpoint: bytes, run_keys: dict[str, bytes]) -> npt.NDArray[np.float64]:
        """float64 [size], the noised sum over the survivors.

        Raises:
            _Unsummed: it did not come to that.
        """
        secure_sum = self._asking.plan.secure_sum
        if secure_sum is None:
            raise Corrupt("a plan without secure_sum has no secure sum")
        self._learn_keys(run_keys)
        lines = b"\n".join(run_keys[name] for name in sorted(run_keys))
        try:
            group = Group(self._verified(run_keys.values()), secure_sum.colluding)
        except ValueError as error:
            raise _Unsummed(str(error)) from error
        gathered = self._contributions(checkpoint, lines, group)
        self.survivors = tuple(sorted(gathered.shares))
        self._require(len(self.survivors), self._asking.plan.schools.minimum_per_round)
        if not group.holds_together(self.survivors):
            raise _Unsummed("the survivors would fall into several sums")
        agreement = self._agreement(lines, group)
        revealed = self._revealed(agreement, lines, gathered, group)
        commitments = {name: pieces[0] for name, (_, pieces) in gathered.shares.items()}
        try:
            steps = protocol.unmask(group, gathered.total, commitments, revealed)
        except ValueError as error:
            raise _Unsummed(str(error)) from error
        share = NoiseShare.of(**asdict(self._asking.plan.summed(self._signed.order.kind)))
        total = share.in_units(steps)
        _, bound = tensor_and_bound(self._asking.plan, self._signed.order.kind)
        if not np.linalg.norm(total) <= bound * len(self.survivors):
            raise _Unsummed("the sum is over the public bound")
        return total

    # ---------------------------------------------------------------- the stages

    def _learn_keys(self, known: dict[str, bytes]) -> None:
        """Add the keys of those who have not given theirs."""
        unknown = [school for school in self._asked if school not in known]

        def read(school: str, reply: Reply) -> bytes:
            key = _only(reply, "key")
            if school not in self._verified([key]):
                raise Rejected("A03", f"the key is not of {school}")
            return key

        known |= self._hear(
            {school: {"stage": b"keys"} for school in unknown}, read, until=_KEYS_UNTIL
        )

    def _contributions(self, checkpoint: bytes, keys: bytes, group: Group) -> _Gathered:
        """Everybody's masked input, added up as it comes."""
        gathered = _Gathered(total=np.zeros(self._expected.tensor.shape, dtype=np.uint32))
        parsed: dict[str, _Shares] = {}

        def examine_masked(
            school: str, reply: Reply, expected: Expectation, answered: AbstractSet[str]
        ) -> Accepted | Declined:
            if "shares" not in reply:
                return examine(school, reply, expected, answered)
            rest = {k: part for k, part in reply.items() if k not in ("shares", "sealed")}
            accepted = examine(school, rest, expected, answered)
            shares = open_shares(reply["shares"], {school: self._members[school]})
            named = (shares.order_digest, shares.group_digest)
            if named != (self._signed.digest, group.digest):
                raise Rejected("A07", f"the shares of {school} are for another round or group")
            try:
                pieces = protocol.unpack(reply.get("sealed", b""), school, group)
            except ValueError as error:
                raise Rejected("A02", str(error)) from error
            try:
                shares.require_pieces(pieces)
            except Rejected as error:
                raise Rejected("A08", error.sentence) from error
            if isinstance(accepted, Accepted):
                parsed[school] = (reply["shares"], pieces)
            return accepted

        def take(school: str, accepted: Accepted) -> None:
            if school in parsed:
                np.add(gathered.total, accepted.values, out=gathered.total)
                gathered.shares[school] = parsed[school]

        schools = tuple(school for school in self._asked if school in group.keys)
        late = tuple(school for school in self._asked if school not in schools)
        refused = {receipt.school for receipt in self.receipts}
        question = Question(
            request={"order": self._order, "checkpoint": checkpoint, "keys": keys},
            schools=schools,
            unreachable=tuple(s for s in (*self._unreachable, *late) if s not in refused),
            expected=self._expected,
            deadline=self._moment(_CONTRIBUTE_UNTIL),
            opened_at=self._head.open.opened_at if self._head.open else self._opened_at,
            examine=examine_masked,
        )
        collect(
            question,
            transport=self._asking.transport,
            clock=self._asking.clock,
            take=take,
            notify=self._note,
        )
        return gathered

    def _agreement(self, keys: bytes, group: Group) -> bytes:
        """The list of survivors, signed by as many of them as the group needs."""
        order = self._signed.order
        listed = Survivors(
            plan_digest=order.plan_digest,
            run_id=order.run_id,
            round=order.round,
            order_digest=self._signed.digest,
            group_digest=group.digest,
            survivors=self.survivors,
        )

        def read(school: str, reply: Reply) -> bytes:
            envelope = _only(reply, "agreement")
            found, _ = agreed_survivors(envelope, {school: self._members[school]}, threshold=1)
            if found != listed:
                raise Rejected("A07", f"{school} signed another list of survivors")
            return envelope

        request = {"stage": b"agree", "survivors": listed.to_bytes(), "keys": keys}
        signed = self._hear(dict.fromkeys(self.survivors, request), read, until=_AGREE_UNTIL)
        self._require(len(signed), group.agreement)
        try:
            return merged_agreement(signed, self._members)
        except SignatureError as error:
            raise _Unsummed(str(error)) from error

    def _revealed(
        self, agreement: bytes, keys: bytes, gathered: _Gathered, group: Group
    ) -> dict[str, dict[str, protocol.RevealedShares]]:
        """Holder -> what it revealed, by survivor; each is handed what it alone can open."""
        handed: dict[str, list[bytes]] = {name: [] for name in self.survivors}
        for owner in self.survivors:
            pieces = handed_shares(*gathered.shares[owner])
            for holder, piece in zip(group.neighbours(owner), pieces, strict=True):
                if holder in handed:
                    handed[holder].append(piece.to_bytes())
        request = {"stage": b"reveal", "agreement": agreement, "keys": keys}
        requests = {name: {**request, "shares": b"\n".join(handed[name])} for name in handed}

        def read(school: str, reply: Reply) -> dict[str, protocol.RevealedShares]:
            document = open_revealed(_only(reply, "revealed"), {school: self._members[school]})
            if document.order_digest != self._signed.digest:
                raise Rejected("A07", f"{school} revealed shares of another round")
            return _shares_in(document)

        return self._hear(requests, read, until=1.0)

    # ---------------------------------------------------------------- what the stages share

    def _hear(
        self,
        requests: Mapping[str, Request],
        read: Callable[[str, Reply], _Part],
        *,
        until: float,
    ) -> dict[str, _Part]:
        """Ask and read until everybody answered or the stage's time is over."""
        found: dict[str, _Part] = {}
        if not requests:
            return found
        deadline = self._moment(until)
        with_order = {name: {"order": self._order, **each} for name, each in requests.items()}
        for school, reply in self._asking.transport.ask(with_order, deadline=deadline):
            if self._asking.clock.now() > deadline:
                break
            if reply is None or school in found or school not in requests:
                continue
            seconds = (self._asking.clock.now() - self._opened_at).total_seconds()
            size = sum(len(part) for part in reply.values())
            try:
                if set(reply) == {"refusal"}:
                    no = declined(school, reply["refusal"], self._expected)
                    self._note(_receipt(school, "refused", no.code, no.digest, size, seconds))
                else:
                    found[school] = read(school, reply)
            except Rejected as error:
                check = error.check if error.check.startswith("A") else "A03"
                self._note(_receipt(school, "rejected", check, "", size, seconds))
        return found

    def _note(self, receipt: Receipt) -> None:
        self.receipts.append(receipt)
        self._asking.notify(self._signed.order.round, receipt)

    def _moment(self, part: float) -> datetime:
        """The end of a stage."""
        left = max(timedelta(), self._signed.order.deadline - self._opened_at)
        return self._opened_at + part * left

    def _verified(self, envelopes: Iterable[bytes]) -> dict[str, bytes]:
        order = self._signed.order
        return run_keys(
            envelopes, self._members, plan_digest=order.plan_digest, run_id=order.run_id
        )

    def _require(self, found: int, needed: int) -> None:
        if found < needed:
            raise _Unsummed(f"{found} of the {needed} schools that are needed are left")


def _receipt(
    school: str, disposition: str, code: str, digest: str, size: int, seconds: float
) -> Receipt:
    return Receipt(
        school=school,
        disposition="refused" if disposition == "refused" else "rejected",
        code=code,
        digest=digest,
        received_bytes=size,
        received_seconds=seconds,
    )


def _shares_in(document: RevealedShares) -> dict[str, protocol.RevealedShares]:
    return {
        owner: protocol.RevealedShares(
            own=bytes.fromhex(each.own),
            pairs={name: bytes.fromhex(part) for name, part in each.pairs.items()},
        )
        for owner, each in document.shares.items()
    }


def _only(reply: Reply, name: str) -> bytes:
    """The one part that a stage's answer has.

    Raises:
        Rejected: A02, it has others.
    """
    if set(reply) != {name}:
        raise Rejected("A02", f"the reply has {len(reply)} parts of other names than expected")
    return reply[name]
