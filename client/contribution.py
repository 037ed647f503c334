"""One contribution, in order: decode, decide, reserve, read, train, clip, noise, mask, release.

The order is the guarantee. No record is read before the rules said yes; nothing is trained before
its privacy cost is on the disk; nothing leaves but an allow-listed manifest and a payload that was
clipped and noised. Whatever goes wrong leaves the school as one refusal code, signed; the text of
an error stays in the school's own log file.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from fedtrace.client import secure_sum
from fedtrace.client.budget import BudgetCheck
from fedtrace.client.checkpoint import Vector, read_checkpoint, write_tensor
from fedtrace.client.school import School
from fedtrace.client.trainer import Trainer
from fedtrace.client.vault import Fold
from fedtrace.governance.canonical import digest
from fedtrace.governance.decision import UNDECIDED, admit, decide, decide_stage
from fedtrace.governance.facts import Allowed, Denied, Repeat
from fedtrace.governance.log.entries import OrderRefused, RoundReserved, UpdateSent, decimal
from fedtrace.governance.manifest import Manifest, RefusalNotice, sign_manifest, sign_refusal
from fedtrace.governance.orders import SignedOrder
from fedtrace.governance.plan import RoundKind
from fedtrace.governance.plan_signing import SignedPlan
from fedtrace.governance.refusals import RefusalCode, Refused
from fedtrace.models.interactions import Interactions
from fedtrace.privacy.randomness import OsRandom

logger = logging.getLogger(__name__)

Request = Mapping[str, bytes]
"""``order`` (a DSSE envelope), ``checkpoint`` (safetensors) and ``log`` (a cosigned checkpoint of
the consortium's log), as they came. With an order or without one: ``add-checkpoint`` and
``entries``, for the school as a witness of that log (``fedtrace.client.mirror``).

``accepted`` alone holds a plan's digest and asks whether the school has accepted it.

Under secure sum also ``stage``, absent for the contribution itself, and what each stage needs
(``fedtrace.client.secure_sum``)."""

Reply = dict[str, bytes]
"""``manifest`` and ``payload``, or ``refusal``; manifest and refusal are signed by the school.

Under secure sum also ``shares``; in the other stages one signed part alone."""

_ACCEPTED = "accepted"

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
        if "add-checkpoint" in request:
            witnessed = school.mirror.witness(request, now=now)
            if is_for_witness(request):
                return witnessed
        if is_about_plans(request):
            return _has_accepted(request[_ACCEPTED], school)
        admitted = admit(request.get("order", b""), school.rules)
        if isinstance(admitted, Denied):
            return _refusal(admitted, None, school, now)
        signed_order = admitted
        if "stage" in request:
            return _take_part(request, signed_order, school, now)
        return _answer(signed_order, request, school, now)
    except Refused as refused:
        return _refusal(Denied.by(refused.code, refused.clause), signed_order, school, now)
    except Exception:
        logger.exception("a contribution failed; the aggregator is told R20 and nothing else")
        return _refusal(Denied.by(RefusalCode.R20, UNDECIDED), signed_order, school, now)


def is_about_plans(request: Request) -> bool:
    """Whether a request only asks if this school has accepted a plan; that runs nothing of it."""
    return set(request) == {_ACCEPTED}


def _has_accepted(plan_digest: bytes, school: School) -> Reply:
    accepted = {plan.digest.encode() for plan in school.store.plans()}
    return {_ACCEPTED: b"yes" if plan_digest in accepted else b"no"}


def is_for_witness(request: Request) -> bool:
    """Whether a request asks the school as a witness alone; that runs nothing of a plan's."""
    return "add-checkpoint" in request and "order" not in request


def refuse(code: RefusalCode, request: Request, *, school: School, now: datetime) -> Reply:
    """Refuse a request for a reason that was found before it was read; never raises."""
    admitted = admit(request.get("order", b""), school.rules)
    signed_order = None if isinstance(admitted, Denied) else admitted
    return _refusal(Denied.by(code), signed_order, school, now)


def _take_part(request: Request, signed_order: SignedOrder, school: School, now: datetime) -> Reply:
    """Another stage of a secure sum than the contribution; no record is read.

    Raises:
        Refused: the stage asks for something that this school does not do.
        Exception: whatever a disk can do.
    """
    school.catch_up(now=now)
    plan = school.find_plan(signed_order.order.plan_digest)
    fingerprint = plan.plan.model.schema_fingerprint if plan else ""
    denied = decide_stage(
        signed_order,
        rules=school.rules,
        plan=plan,
        state=school.state(
            plan,
            schema_fingerprint=fingerprint,
            now=now,
            log=school.view(signed_order, request.get("log", b"")),
        ),
        now=now,
    )
    if denied is not None or plan is None:
        return _refusal(denied or Denied.by(RefusalCode.R01), signed_order, school, now)
    stage = request["stage"]
    if stage == b"keys":
        return {"key": secure_sum.announce_key(signed_order, school)}
    if stage == b"agree":
        return {"agreement": secure_sum.agree(request, signed_order, plan.plan, school)}
    if stage == b"reveal":
        revealed = secure_sum.reveal(request, signed_order, plan.plan, school, now=now)
        return {"revealed": revealed}
    raise Refused(RefusalCode.R14, "order.kind")


def _answer(signed_order: SignedOrder, request: Request, school: School, now: datetime) -> Reply:
    """Decide, and on a yes contribute.

    Raises:
        Exception: whatever a disk or a damaged record can do.
    """
    order = signed_order.order
    school.catch_up(now=now)
    facts, parameters = read_checkpoint(request.get("checkpoint", b""))
    plan = school.find_plan(order.plan_digest)
    trainer = Trainer(plan.plan, source=OsRandom()) if plan else None
    decision = decide(
        signed_order,
        facts,
        rules=school.rules,
        plan=plan,
        state=school.state(
            plan,
            schema_fingerprint=trainer.schema_fingerprint if trainer else "",
            now=now,
            log=school.view(signed_order, request.get("log", b"")),
        ),
        exceeds=_exceeds,
        now=now,
    )
    if isinstance(decision, Denied) or plan is None or trainer is None:
        denied = decision if isinstance(decision, Denied) else Denied.by(RefusalCode.R01)
        return _refusal(denied, signed_order, school, now)
    if isinstance(decision, Repeat):
        return _stored_reply(decision, school)
    masking = None
    if plan.plan.secure_sum is not None:
        keys = request.get("keys", b"")
        masking = secure_sum.join_group(keys, signed_order, plan.plan, school)
    work = _Work(signed_order=signed_order, plan=plan, trainer=trainer, masking=masking)
    return _contribute(decision, parameters, work, school, now)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Work:
    """What a contribution is made with.

    Attributes:
        masking: the members under secure sum; None in trust mode ``local``.
    """

    signed_order: SignedOrder
    plan: SignedPlan
    trainer: Trainer
    masking: secure_sum.Masking | None


def _contribute(
    allowed: Allowed, parameters: Vector, work: _Work, school: School, now: datetime
) -> Reply:
    """Reserve, read, train, clip, noise and mask, release: in this order and no other."""
    order, event = allowed.order, allowed.event
    fold = Fold.TRAIN if order.kind == "train" else Fold.TEST
    cohort = school.freeze_cohort(work.plan.plan, fold=fold, now=now)
    reservation = school.store.reserve(
        event,
        order_digest=allowed.order_digest,
        checkpoint_digest=order.checkpoint_digest,
        now=now,
    )
    school.vault.cohorts.keep(cohort.tokens, cohort.secret, root=cohort.root, order=order, now=now)
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
    parts = _protected(order.kind, parameters, students, work, school)
    return _release(allowed, parts, work.trainer.schema_fingerprint, reservation, school, now)


def _protected(
    kind: RoundKind, parameters: Vector, students: Interactions, work: _Work, school: School
) -> Reply:
    """What may leave: noised in trust mode ``local``, a noise share under a mask otherwise."""
    trainer = work.trainer
    if work.masking is None:
        if kind == "train":
            return {"payload": write_tensor("update", trainer.private_update(parameters, students))}
        histograms = trainer.private_histograms(parameters, students)
        return {"payload": write_tensor("histograms", histograms)}
    if kind == "train":
        values = trainer.update_share(parameters, students)
    else:
        values = trainer.histogram_share(parameters, students)
    words, beside = secure_sum.mask(values, work.masking, work.signed_order, school)
    return {"payload": write_tensor("masked", words), **beside}


def _release(
    allowed: Allowed,
    parts: Reply,
    schema_fingerprint: str,
    reservation: int,
    school: School,
    now: datetime,
) -> Reply:
    """Sign what leaves, store it, write it down, and only then let it go."""
    order, payload = allowed.order, parts["payload"]
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
    reply = {"manifest": sign_manifest(manifest, school.signer), **parts}
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
