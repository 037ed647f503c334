"""Orders that a school lost are handed to it again, within their deadline.

A SuperLink of flwr 1.41.0 hands each message out once. What is on its way when a connection
breaks, and what a SuperNode holds in its memory when it is killed, is lost: the round waits for
that school until its deadline, in vain. A school answers the same order with the same bytes and
pays once (`fedtrace.governance.decision`), so handing it out again is safe.

A SuperNode does one thing at a time and pulls only when it has nothing to do. So a message is
handed to it again when it pulls and

- has never confirmed that the message arrived, or
- was activated anew since, as another process is, or one that was away for a minute. A node that
  was not is either at work or a copy of the school's home on another machine, which gets nothing
  as long as the school's own node is online. Where the order
  itself ends the process, as one that takes too much memory does, each attempt costs the school
  another release's budget: after `MOST_ARRIVALS` it is left at that.

For this the content of a message stays until its reply is there in full; Flower drops it when its
arrival is confirmed. A reply is shown to the ServerApp when all of it has arrived: Flower shows it
at once, forgets the message, and can wait for minutes for the rest. A node that went away has a
minute to come back before its messages are answered with an error. What nobody answered by its
deadline is dropped then, and not when the job is over.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime

from flwr.app import Message
from flwr.proto.message_pb2 import ConfirmMessageReceivedRequest, ConfirmMessageReceivedResponse
from flwr.server.superlink.linkstate import sql_linkstate
from flwr.server.superlink.linkstate.sql_linkstate import SqlLinkState
from flwr.supercore.date import now
from flwr.supercore.object_store import ObjectStore
from flwr.supercore.state.schema.corestate_models import (
    ObjectPushSessionPending,
    ObjectPushSessionRoot,
)
from flwr.supercore.state.schema.linkstate_models import MessageIns, MessageRes, Node
from flwr.supercore.utils import uint64_to_int64
from flwr.superlink.servicer.fleet import fleet_handlers
from sqlalchemy import Row, select, update

GRACE_SECONDS = 60
"""How long a node may be away before its messages are answered with an error."""

MOST_ARRIVALS = 3
"""How often a message may arrive whose school then goes down."""

_ARRIVED = " arrived"
"""What stands behind the time in ``delivered_at`` when the arrival was confirmed."""

_arrivals: Counter[str] = Counter()  # of messages without an answer, by id; a session guards it

_messages = SqlLinkState.get_message_ins
_replies = SqlLinkState.get_message_res
_confirm = fleet_handlers.confirm_message_received
_unavailable = sql_linkstate.check_node_availability_for_in_message


def repair() -> None:
    """Change Flower's functions in this process; doing it twice changes nothing."""
    SqlLinkState.get_message_ins = _get_message_ins
    SqlLinkState.get_message_res = _get_message_res
    fleet_handlers.confirm_message_received = _confirm_message_received
    sql_linkstate.check_node_availability_for_in_message = _unavailable_after_grace


def forget_expired(state: SqlLinkState) -> None:
    """Drop the messages whose time is over, with their content and what came of their replies."""
    with state.session() as session:
        expired = session.execute(
            select(MessageIns.message_id, MessageRes.message_id.label("reply"))
            .outerjoin(MessageRes, MessageRes.reply_to_message_id == MessageIns.message_id)
            .where(MessageIns.created_at + MessageIns.ttl <= now().timestamp())
        ).all()
        for row in expired:
            if row.reply:
                _drop_reply(state, row.reply)
                state.object_store.delete(row.reply)
            state.object_store.delete(row.message_id)
        state.delete_messages({row.message_id for row in expired})
        if _arrivals:
            for gone in set(_arrivals).difference(session.scalars(select(MessageIns.message_id))):
                del _arrivals[gone]


def _get_message_ins(
    state: SqlLinkState, node_id: int, limit: int | None, *, run_id: int | None = None
) -> list[Message]:
    """Flower's answer; where a school's node asks and there is nothing, what it has lost."""
    with state.session():
        found: list[Message] = _messages(state, node_id, limit, run_id=run_id)
        if not found and run_id is None and _offer_again(state, node_id):
            found = _messages(state, node_id, limit, run_id=run_id)
        return found


def _offer_again(state: SqlLinkState, node_id: int) -> bool:
    """Make the oldest message that a node has lost one that was never handed out, if there is one.

    One only, as one is handed out: another may still be on its way, and is marked when it arrives.
    """
    with state.session() as session:
        rows = session.execute(
            select(
                MessageIns.message_id,
                MessageIns.delivered_at,
                MessageRes.message_id.label("reply"),
                Node.last_activated_at,
            )
            .join(Node, Node.node_id == MessageIns.dst_node_id)
            .outerjoin(MessageRes, MessageRes.reply_to_message_id == MessageIns.message_id)
            .where(
                MessageIns.dst_node_id == uint64_to_int64(node_id),
                MessageIns.delivered_at != "",
                MessageIns.created_at + MessageIns.ttl > now().timestamp(),
            )
            .order_by(MessageIns.created_at, MessageIns.message_id)
        ).all()
        lost = next((row for row in rows if _is_lost(state, row)), None)
        if lost is None:
            return False
        if lost.reply:
            _drop_reply(state, lost.reply)
        session.execute(
            update(MessageIns)
            .where(MessageIns.message_id == lost.message_id)
            .values(delivered_at="")
        )
        return True


def _is_lost(state: SqlLinkState, row: Row[tuple[str, str, str | None, str]]) -> bool:
    """Whether a node that asks for work cannot be working on this message any more."""
    if row.reply and not _missing(state, row.reply):
        return False
    if not row.reply and not row.delivered_at.endswith(_ARRIVED):
        return True
    if _arrivals[row.message_id] >= MOST_ARRIVALS or not row.last_activated_at:
        return False
    delivered = datetime.fromisoformat(row.delivered_at.removesuffix(_ARRIVED))
    return datetime.fromisoformat(row.last_activated_at) > delivered


def _missing(state: SqlLinkState, reply: str) -> bool:
    """Whether something of a reply has not arrived."""
    with state.session() as session:
        pending = select(ObjectPushSessionPending.object_id).join(
            ObjectPushSessionRoot,
            ObjectPushSessionRoot.session_id == ObjectPushSessionPending.session_id,
        )
        found = session.execute(pending.where(ObjectPushSessionRoot.root_object_id == reply))
        return found.first() is not None


def _drop_reply(state: SqlLinkState, reply: str) -> None:
    """Forget the part of a reply that came; another will take its place."""
    with state.session() as session:
        of_reply = ObjectPushSessionRoot.root_object_id == reply
        for push in session.scalars(select(ObjectPushSessionRoot.session_id).where(of_reply)).all():
            state._cleanup_push_session(push, cleanup_messages=True)


def _get_message_res(state: SqlLinkState, message_ids: set[str], run_id: int) -> list[Message]:
    """Flower's answer about the messages whose replies are there in full, or not at all."""
    with state.session() as session:
        begun = session.execute(
            select(MessageIns.message_id, MessageRes.message_id.label("reply"), Node.online_until)
            .join(MessageRes, MessageRes.reply_to_message_id == MessageIns.message_id)
            .outerjoin(Node, Node.node_id == MessageIns.dst_node_id)
            .where(MessageIns.message_id.in_(message_ids))
        ).all()
        coming = set()
        for row in begun:
            if not _missing(state, row.reply):
                continue
            if (row.online_until or 0) + GRACE_SECONDS < now().timestamp():
                _drop_reply(state, row.reply)  # nobody is there to send the rest
            else:
                coming.add(row.message_id)
        replies: list[Message] = _replies(state, message_ids - coming, run_id)
        for reply in replies:
            state.object_store.delete(reply.metadata.reply_to_message_id)
        return replies


@dataclass(frozen=True, slots=True)
class _Arrivals:
    """In the place of the store that a confirmed message is deleted from: it is marked instead."""

    state: SqlLinkState

    def delete(self, message_id: str) -> None:
        """Mark the message as arrived, once."""
        with self.state.session() as session:
            marked = session.execute(
                update(MessageIns)
                .where(
                    MessageIns.message_id == message_id,
                    MessageIns.delivered_at != "",
                    MessageIns.delivered_at.not_like(f"%{_ARRIVED}"),
                )
                .values(delivered_at=MessageIns.delivered_at + _ARRIVED)
                .returning(MessageIns.message_id)
            )
            _arrivals.update(marked.scalars())


def _confirm_message_received(
    request: ConfirmMessageReceivedRequest, state: SqlLinkState, store: ObjectStore
) -> ConfirmMessageReceivedResponse:
    """Flower's checks and answer."""
    del store
    answer: ConfirmMessageReceivedResponse = _confirm(request, state, _Arrivals(state))
    return answer


def _unavailable_after_grace(
    inquired_in_message_ids: set[str],
    found_in_message_dict: dict[str, Message],
    node_id_to_online_until: dict[int, float],
    current_time: float | None = None,
    update_set: bool = True,
) -> dict[str, Message]:
    """Flower's answer for nodes that have been away for longer than the grace."""
    until = {node: seen + GRACE_SECONDS for node, seen in node_id_to_online_until.items()}
    answered: dict[str, Message] = _unavailable(
        inquired_in_message_ids, found_in_message_dict, until, current_time, update_set
    )
    return answered
