"""A school's part in a secure sum: its key of the run, its mask, its agreement, its shares.

Every request of every stage carries the round's signed order, and a school that finds anything
wrong with what came beside it refuses with R22 (R13 where the company is too small) and reveals
nothing. What a school can be brought to reveal is decided here:

* shares only of the round that it answered last, under the very group it masked with;
* only for a list of survivors that enough survivors signed, itself among them;
* for one list a round: the first that it signed is on disk before its signature leaves.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import numpy.typing as npt

from fedtrace.client.run_keys import run_key
from fedtrace.client.school import School
from fedtrace.governance.errors import Rejected
from fedtrace.governance.facts import AnsweredRound
from fedtrace.governance.log.merkle import root_of
from fedtrace.governance.orders import SignedOrder
from fedtrace.governance.plan import Plan
from fedtrace.governance.refusals import RefusalCode, Refused
from fedtrace.governance.secure_sum import (
    SHARES_TYPE,
    HandedShares,
    Revealed,
    RevealedShares,
    RunKey,
    SealedShares,
    Survivors,
    agreed_survivors,
    open_shares,
    run_keys,
    sign_document,
)
from fedtrace.governance.signing import PublicKey, unverified_payload
from fedtrace.privacy.secure_sum.group import Group
from fedtrace.privacy.secure_sum.protocol import Member

KEYS, SHARES = "secure_sum.keys", "secure_sum.shares"
GROUP, SURVIVORS, ORDER = "secure_sum.group", "secure_sum.survivors", "secure_sum.order"
"""Clauses of refusals."""

Words = npt.NDArray[np.uint32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Masking:
    """A school that is ready to mask: the members are known and in order.

    Attributes:
        group: the members of this round.
        member: this school's side.
    """

    group: Group
    member: Member


def announce_key(signed: SignedOrder, school: School) -> bytes:
    """The signed public half of this school's key of the run.

    Raises:
        OSError: the key cannot be written.
    """
    order = signed.order
    key = run_key(school.run_keys, plan_digest=order.plan_digest, run_id=order.run_id)
    announced = RunKey(
        school=school.name,
        plan_digest=order.plan_digest,
        run_id=order.run_id,
        public_key=key.public_key().public_bytes_raw().hex(),
    )
    return sign_document(announced, school.signer)


def join_group(keys: bytes, signed: SignedOrder, plan: Plan, school: School) -> Masking:
    """Check who else is in the round and make ready to mask.

    Args:
        keys: every member's signed key of the run, one envelope a line.
        signed: the order.
        plan: the plan that it names.
        school: this school.

    Raises:
        Refused: R22, a key is not its school's, is for another run or is missing, this school's
            own included; R13, too few schools.
    """
    order = signed.order
    try:
        found = run_keys(
            keys.split(b"\n") if keys else (),
            _members(plan, school),
            plan_digest=order.plan_digest,
            run_id=order.run_id,
        )
    except Rejected as error:
        raise Refused(RefusalCode.R22, KEYS) from error
    _require_company(len(found), plan, school)
    if plan.secure_sum is None or school.name not in found:
        raise Refused(RefusalCode.R22, KEYS)
    key = run_key(school.run_keys, plan_digest=order.plan_digest, run_id=order.run_id)
    try:
        group = Group(found, plan.secure_sum.colluding)
        member = Member(
            school.name,
            key,
            group,
            run=f"{order.plan_digest}/{order.run_id}",
            order=signed.digest,
        )
    except ValueError as error:
        raise Refused(RefusalCode.R22, KEYS) from error
    return Masking(group=group, member=member)


def mask(
    values: npt.NDArray[np.int64], masking: Masking, signed: SignedOrder, school: School
) -> tuple[Words, Mapping[str, bytes]]:
    """The masked input, and what goes beside it.

    Returns:
        uint32 [size], uniform; and ``sealed``, the shares of every seed that it takes to unmask the
        sum, with ``shares``, this school's signature for them.
    """
    masked = masking.member.mask(values)
    shares = SealedShares(
        school=school.name,
        order_digest=signed.digest,
        group_digest=masking.group.digest,
        root=root_of((masked.commitments, *masked.sealed.values())).hex(),
    )
    beside = {"shares": sign_document(shares, school.signer), "sealed": masked.parcel}
    return masked.words, beside


def agree(request: Mapping[str, bytes], signed: SignedOrder, plan: Plan, school: School) -> bytes:
    """Sign the list of survivors, the first and only one of this round.

    Args:
        request: ``keys`` as in `join_group`; ``survivors``, the list, as `Survivors` bytes.
        signed: the order that this school answered.
        plan: the plan that it names.
        school: this school.

    Raises:
        Refused: R22, the list is not of this round, lacks this school, names others than the
            group, would fall into several sums, or is the second one; R13, it is too short.
    """
    _require_answered(signed, school)
    group = join_group(request.get("keys", b""), signed, plan, school).group
    try:
        listed = Survivors.from_bytes(request.get("survivors", b""))
    except Rejected as error:
        raise Refused(RefusalCode.R22, SURVIVORS) from error
    _settle(listed, group, signed, plan, school)
    return sign_document(listed, school.signer)


def reveal(
    request: Mapping[str, bytes], signed: SignedOrder, plan: Plan, school: School, *, now: datetime
) -> bytes:
    """Reveal what this school holds of the survivors' seeds, once they agreed.

    Args:
        request: ``keys`` as in `join_group`; ``agreement``, the list with enough signatures;
            ``shares``, the `HandedShares` of every survivor that this school masked with, one a
            line.
        signed: the order that this school answered.
        plan: the plan that it names.
        school: this school.
        now: the school's clock.

    Raises:
        Refused: R22, too few survivors signed, the list is not the one that this school signed,
            the group is not the one it masked with, or shares are not their school's; R13, the
            list is too short.
    """
    _require_answered(signed, school)
    masking = join_group(request.get("keys", b""), signed, plan, school)
    members = _members(plan, school)
    try:
        listed, _ = agreed_survivors(
            request.get("agreement", b""), members, threshold=masking.group.agreement
        )
    except Rejected as error:
        raise Refused(RefusalCode.R22, SURVIVORS) from error
    _settle(listed, masking.group, signed, plan, school)
    sealed = _sealed_for(school.name, request.get("shares", b""), signed, masking.group, members)
    shares = masking.member.reveal(sealed, listed.survivors)
    school.log_reveal(signed.order, listed.survivors, now=now)
    revealed = RevealedShares(
        school=school.name,
        order_digest=signed.digest,
        survivors_digest=listed.digest(),
        shares={
            owner: Revealed(
                own=each.own.hex(), pairs={name: part.hex() for name, part in each.pairs.items()}
            )
            for owner, each in shares.items()
        },
    )
    return sign_document(revealed, school.signer)


def _settle(
    listed: Survivors, group: Group, signed: SignedOrder, plan: Plan, school: School
) -> None:
    """Accept a list of survivors as the only one of its round."""
    order = signed.order
    named = (listed.plan_digest, listed.run_id, listed.round, listed.order_digest)
    if named != (order.plan_digest, order.run_id, order.round, signed.digest):
        raise Refused(RefusalCode.R22, SURVIVORS)
    masked_with = _own_shares(signed, school).group_digest
    if not masked_with == listed.group_digest == group.digest:
        raise Refused(RefusalCode.R22, GROUP)
    survivors = set(listed.survivors)
    if school.name not in survivors or not survivors <= set(group.keys):
        raise Refused(RefusalCode.R22, SURVIVORS)
    if not group.holds_together(survivors):
        raise Refused(RefusalCode.R22, SURVIVORS)
    _require_company(len(listed.survivors), plan, school)
    if not school.store.agree(signed.digest, listed.digest()):
        raise Refused(RefusalCode.R22, SURVIVORS)


def _require_answered(signed: SignedOrder, school: School) -> None:
    """This order is the plan's newest, and this school's masked answer to it is on disk."""
    last: AnsweredRound | None = school.store.last_round(signed.order.plan_digest)
    if last is None or last.order_digest != signed.digest or not last.reply_stored:
        raise Refused(RefusalCode.R22, ORDER)


def _own_shares(signed: SignedOrder, school: School) -> SealedShares:
    reply = school.store.reply_to(signed.digest) or {}
    try:
        return SealedShares.from_bytes(unverified_payload(reply.get("shares", b""), SHARES_TYPE))
    except (ValueError, Rejected) as error:
        raise Refused(RefusalCode.R22, ORDER) from error


def _sealed_for(
    holder: str,
    lines: bytes,
    signed: SignedOrder,
    group: Group,
    members: Mapping[str, PublicKey],
) -> dict[str, bytes]:
    """Owner -> its sealed shares for one holder; only what the owner itself signed."""
    found = {}
    for line in lines.split(b"\n") if lines else ():
        try:
            handed = HandedShares.from_bytes(line)
            shares = open_shares(handed.signed.encode(), members)
            if (shares.order_digest, shares.group_digest) != (signed.digest, group.digest):
                raise Rejected("shares", f"the shares of {shares.school} are for another round")
            neighbours = group.neighbours(shares.school)
            if holder not in neighbours:
                raise Rejected("shares", f"{shares.school} did not mask with {holder}")
            piece = base64.b64decode(handed.piece)
            proof = [bytes.fromhex(each) for each in handed.proof]
            place = 1 + neighbours.index(holder)  # the commitments come first
            shares.require_piece(piece, place, 1 + len(neighbours), proof)
        except (Rejected, ValueError) as error:
            raise Refused(RefusalCode.R22, SHARES) from error
        found[shares.school] = piece
    return found


def _require_company(schools: int, plan: Plan, school: School) -> None:
    if schools < plan.schools.minimum_per_round:
        raise Refused(RefusalCode.R13, "plan.schools.minimum_per_round")
    if schools < school.rules.policy.min_schools:
        raise Refused(RefusalCode.R13, "policy.min_schools")


def _members(plan: Plan, school: School) -> dict[str, PublicKey]:
    """The charter's keys of the plan's members."""
    keys = school.rules.charter.member_keys()
    return {name: keys[name] for name in plan.schools.members if name in keys}
