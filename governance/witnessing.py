"""The members as witnesses of the consortium's log: whose cosignatures count, and how many.

Every school witnesses the log of its consortium. It cosigns with the key of its own log, under its
own log's origin: kind and name of the key differ, so the two signatures cannot be confused
(docs/adr/0009-schools-witness-the-log.md).
"""

from __future__ import annotations

import base64
from dataclasses import dataclass

from fedtrace.governance.charter import Charter, Member
from fedtrace.governance.log.keys import KeyKind, VerifierKey
from fedtrace.governance.log.quorum import Group, TrustPolicy, default_quorum, may_collude
from fedtrace.governance.refusals import RefusalCode, Refused

MEMBERS = "members"
"""The group of all members in a trust policy."""


def school_origin(charter: Charter, school: str) -> str:
    """The origin of a school's log, which is also its name as a witness."""
    return f"{charter.consortium}/schools/{school}"


def witness_quorum(charter: Charter) -> int:
    """How many members must have cosigned a checkpoint of the consortium's log."""
    return charter.witness_quorum or default_quorum(len(charter.members))


def tolerated_liars(charter: Charter) -> int:
    """How many members may lie together and still not show two histories; negative: not even 0."""
    return may_collude(witness_quorum(charter), len(charter.members))


def witness_sentence(charter: Charter) -> str:
    """The quorum and what it withstands, for whoever signs a plan under this charter."""
    liars = max(tolerated_liars(charter), 0)
    return (
        f"{witness_quorum(charter)} of {len(charter.members)} members must cosign the log before a "
        f"round; nobody can be shown another log unless more than {liars} of them lie"
    )


def witness_key(charter: Charter, member: Member) -> VerifierKey:
    """The key with which a member cosigns."""
    return VerifierKey(
        name=school_origin(charter, member.name),
        kind=KeyKind.COSIGNATURE_ED25519,
        public_key=base64.b64decode(member.log_public_key),
    )


def consortium_policy(charter: Charter) -> TrustPolicy:
    """Who signs the consortium's log, and who must have seen it."""
    names = tuple(member.name for member in charter.members)
    return TrustPolicy(
        logs=(_log_key(charter.log.origin, charter.log.public_key),),
        witnesses={member.name: witness_key(charter, member) for member in charter.members},
        groups={MEMBERS: Group(threshold=witness_quorum(charter), members=names)},
        quorum=MEMBERS,
    )


def school_policy(charter: Charter, member: Member) -> TrustPolicy:
    """Who signs a school's log; it is private, and nobody witnesses it."""
    origin = school_origin(charter, member.name)
    return TrustPolicy(logs=(_log_key(origin, member.log_public_key),))


def _log_key(origin: str, public_key: str) -> VerifierKey:
    raw = base64.b64decode(public_key)
    return VerifierKey(name=origin, kind=KeyKind.ED25519, public_key=raw)


@dataclass(frozen=True, slots=True, kw_only=True)
class LogView:
    """What a school's own copy of the consortium's log says about one order.

    Attributes:
        forked: the log's key signed two histories; the proof is kept in the school's home.
        other_charter: the newest version of the charter in the log is not the one that this school
            goes by.
        rolled_back: the log tells of answers by this school that its own ledger does not know: it
            was restored from an older copy, and has forgotten what it spent.
        witnessed: the order came with a checkpoint that a quorum cosigned, this school among it,
            and that checkpoint covers what was logged about this order.
        plan_activated: the order's plan stands in the log.
        plan_revoked: so does its revocation.
        order_opened: exactly this order stands in the log.
        closed_with: the model that the plan's last closed round left; None before the first.
    """

    forked: bool = False
    other_charter: bool = False
    rolled_back: bool = False
    witnessed: bool = False
    plan_activated: bool = False
    plan_revoked: bool = False
    order_opened: bool = False
    closed_with: str | None = None


NOTHING_SEEN = LogView()
"""A school without a copy of the log: it answers nothing."""


def require_log(view: LogView) -> None:
    """R01, R02, R20: the order stands in a log that has one history, seen by enough witnesses.

    Raises:
        Refused: it does not.
    """
    if view.forked:
        raise Refused(RefusalCode.R02, "log.fork")
    if view.other_charter:
        raise Refused(RefusalCode.R01, "charter.version")
    if view.rolled_back:
        raise Refused(RefusalCode.R20, "node.rollback")
    if not view.plan_activated:
        raise Refused(RefusalCode.R02, "log.plan_activated")
    if not view.order_opened:
        raise Refused(RefusalCode.R02, "log.round_opened")
    if not view.witnessed:
        raise Refused(RefusalCode.R02, "charter.witness_quorum")
