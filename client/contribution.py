"""One contribution, in order: decode, decide, reserve, read, train, clip, noise, release.

The order is the guarantee. No record is read before the rules said yes; nothing is trained before
its privacy cost is on the disk; nothing leaves but an allow-listed manifest and a payload that was
clipped and noised. Whatever goes wrong leaves the school as one refusal code, signed; the text of
an error stays in the school's own log file.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime

from fedtrace.client.budget import BudgetCheck
from fedtrace.client.checkpoint import Vector, read_checkpoint, write_tensor
from fedtrace.client.school import School
from fedtrace.client.trainer import Trainer
from fedtrace.client.vault import Fold
from fedtrace.governance.canonical import digest
from fedtrace.governance.decision import UNDECIDED, admit, decide
from fedtrace.governance.facts import Allowed, Denied, Repeat
from fedtrace.governance.log.entries import OrderRefused, RoundReserved, UpdateSent, decimal
from fedtrace.governance.manifest import Manifest, RefusalNotice, sign_manifest, sign_refusal
from fedtrace.governance.orders import SignedOrder
from fedtrace.governance.plan_signing import SignedPlan
from fedtrace.governance.refusals import RefusalCode, Refused
from fedtrace.models.interactions import Interactions
from fedtrace.privacy.noise import OsRandom

logger = logging.getLogger(__name__)

Request = Mapping[str, bytes]
"""``order`` (a DSSE envelope) and ``checkpoint`` (safetensors), as they came."""

Reply = dict[str, bytes]
"""``manifest`` and ``payload``, or ``refusal``; manifest and refusal are signed by the school."""

_exceeds = BudgetCheck()


def answer(request: Request, *, school: School, now: datetime) -> Reply:
    """Answer one request of the aggregator; never raises.

    Args:
        request: as it came; anything may be missing or wrong.
        school: the school's home, opened.
        now: the school's own clock, with a time zone.
    """
    signed_order = None
    try:
        admitted = admit(request.get("order", b""), school.rules)
        if isinstance(admitted, Denied):
            return _refusal(admitted, None, school, now)
        signed_order = admitted
        return _answer(signed_order, request.get("checkpoint", b""), school, now)
    except Refused as refused:
        return _refusal(Denied.by(refused.code, refused.clause), signed_order, school, now)
    except Exception:
        logger.exception("a contribution failed; the aggregator is told R20 and nothing else")
        return _refusal(Denied.by(RefusalCode.R20, UNDECIDED), signed_order, school, now)


def refuse(code: RefusalCode, request: Request, *, school: School, now: datetime) -> Reply:
    """Refuse a request for a reason that was found before it was read; never raises."""
    admitted = admit(request.get("order", b""), school.rules)
    signed_order = None if isinstance(admitted, Denied) else admitted
    return _refusal(Denied.by(code), signed_order, school, now)


def _answer(signed_order: SignedOrder, checkpoint: bytes, school: School, now: datetime) -> Reply:
    """Decide, and on a yes contribute.

    Raises:
        Exception: whatever a disk or a damaged record can do.
    """
    order = signed_order.order
    school.log_kill_switch(now=now)
    facts, parameters = read_checkpoint(checkpoint)
    plan = school.find_plan(order.plan_digest)
    trainer = Trainer(plan.plan, source=OsRandom()) if plan else None
    decision = decide(
        signed_order,
        facts,
        rules=school.rules,
        plan=plan,
        state=school.state(
            plan, schema_fingerprint=trainer.schema_fingerprint if trainer else "", now=now
        ),
        exceeds=_exceeds,
        now=now,
    )
    if isinstance(decision, Denied) or plan is None or trainer is None:
        denied = decision if isinstance(decision, Denied) else Denied.by(RefusalCode.R01)
        return _refusal(denied, signed_order, school, now)
    if isinstance(decision, Repeat):
        return _stored_reply(decision, school)
    return _contribute(decision, parameters, plan, trainer, school, now)


def _contribute(
    allowed: Allowed,
    parameters: Vector,
    plan: SignedPlan,
    trainer: Trainer,
    school: School,
    now: datetime,
) -> Reply:
    """Reserve, read, train, clip and noise, release: in this order and no other."""
    order, event = allowed.order, allowed.event
    fold = Fold.TRAIN if order.kind == "train" else Fold.TEST
    cohort = school.freeze_cohort(plan.plan, fold=fold, now=now)
    reservation = school.store.reserve(
        event,
        order_digest=allowed.order_digest,
        checkpoint_digest=order.checkpoint_digest,
        now=now,
    )
    reserved = RoundReserved(
        plan_digest=order.plan_digest,
        run_id=order.run_id,
        round=order.round,
        kind=order.kind,
        noise_multiplier=decimal(event.noise_multiplier),
        sampling_rate=decimal(event.sampling_rate),
        cohort_size=cohort.size_bucket,
        cohort_root=cohort.root,
    )
    school.log.append(reserved, now=now)
    students = Interactions.from_students(school.vault.read(cohort.tokens))
    if order.kind == "train":
        payload = write_tensor("update", trainer.private_update(parameters, students))
    else:
        payload = write_tensor("histograms", trainer.private_histograms(parameters, students))
    return _release(allowed, payload, trainer.schema_fingerprint, reservation, school, now)


def _release(
    allowed: Allowed,
    payload: bytes,
    schema_fingerprint: str,
    reservation: int,
    school: School,
    now: datetime,
) -> Reply:
    """Sign what leaves, store it, write it down, and only then let it go."""
    order = allowed.order
    manifest = Manifest(
        school=school.name,
        plan_digest=order.plan_digest,
        run_id=order.run_id,
        round=order.round,
        kind=order.kind,
        order_digest=allowed.order_digest,
        nonce=order.nonce,
        update_digest=digest(payload),
        payload_bytes=len(payload),
        schema_fingerprint=schema_fingerprint,
    )
    reply = {"manifest": sign_manifest(manifest, school.signer), "payload": payload}
    sent = UpdateSent(
        plan_digest=order.plan_digest,
        run_id=order.run_id,
        round=order.round,
        kind=order.kind,
        digest=manifest.update_digest,
    )
    school.log.append(sent, now=now)
    school.store.commit(reservation, reply=reply)
    return reply


def _stored_reply(repeat: Repeat, school: School) -> Reply:
    """The answer that was given before; a second training would spend a second time.

    Raises:
        LookupError: it is gone; the school then says R20.
    """
    reply = school.store.reply_to(repeat.order_digest)
    if reply is None:
        raise LookupError("the stored answer to a repeated order is gone")
    return reply


def _refusal(
    denied: Denied, signed_order: SignedOrder | None, school: School, now: datetime
) -> Reply:
    """A signed no, written into the school's log where that is possible."""
    order = signed_order.order if signed_order else None
    plan_digest = order.plan_digest if order else None
    run_id, round_number = (order.run_id, order.round) if order else (None, None)
    notice = RefusalNotice(
        school=school.name,
        plan_digest=plan_digest,
        run_id=run_id,
        round=round_number,
        code=denied.code,
        clause=denied.clause,
    )
    refused = OrderRefused(
        code=denied.code,
        clause=denied.clause,
        plan_digest=plan_digest,
        run_id=run_id,
        round=round_number,
    )
    try:
        school.log.append(refused, now=now)
    except Exception:
        logger.exception("a refusal could not be written to the log; it is sent all the same")
    return {"refusal": sign_refusal(notice, school.signer)}
