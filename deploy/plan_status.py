"""How far a plan is: its signatures, its dates, and what the consortium's log says about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from fedtrace.deploy.log_homes import find_homes, read_stored
from fedtrace.governance.agreement import Agreement, read_agreement
from fedtrace.governance.charter import Charter
from fedtrace.governance.log.entries import PlanActivated, PlanRevoked
from fedtrace.governance.log.verify import LogBytes, verify_log
from fedtrace.governance.plan import PLAN_TYPE, Plan
from fedtrace.governance.revocation import REASONS, Reason
from fedtrace.governance.signing import SignatureError


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanStatus:
    """What is known about one plan.

    Attributes:
        name: what people call it.
        digest: its name everywhere else.
        threshold: how many members must sign.
        signed: members whose signature is valid, sorted.
        waiting: member -> how many of its people are missing, where one has signed.
        unsigned: the other members of the plan, sorted.
        dates: ``not yet``, ``now`` or ``over``.
        valid: from and until.
        in_log: whether the consortium's log has it; None where no log was looked at.
        revoked: the reason in the log; None where there is none.
    """

    name: str
    digest: str
    threshold: int
    signed: tuple[str, ...]
    waiting: Mapping[str, int]
    unsigned: tuple[str, ...]
    dates: str
    valid: tuple[datetime, datetime]
    in_log: bool | None
    revoked: Reason | None

    @property
    def in_force(self) -> bool:
        """Nothing that was looked at is against it."""
        enough = len(self.signed) >= self.threshold
        return enough and self.dates == "now" and self.in_log is not False and not self.revoked

    def lines(self) -> list[str]:
        """For a person."""
        missing = max(0, self.threshold - len(self.signed))
        first, last = (moment.date() for moment in self.valid)
        dates = {"not yet": "not valid yet", "now": "valid", "over": "no longer valid"}
        lines = [
            f"{self.name}, {self.digest}",
            f"signed by {len(self.signed)} members, {self.threshold} are needed"
            + (f": {', '.join(self.signed)}" if self.signed else ""),
        ]
        lines += [
            f"begun by {member}: {count} more of its people must sign"
            for member, count in self.waiting.items()
        ]
        if self.unsigned:
            lines.append(f"not signed by: {', '.join(self.unsigned)}")
        if missing:
            lines.append(f"! {missing} more must sign, with fedtrace plan sign")
        lines.append(f"{dates[self.dates]}: from {first} until {last}")
        if self.in_log is None:
            lines.append("the consortium's log was not looked at: add --log")
        elif not self.in_log:
            lines.append("! not in the consortium's log: fedtrace consortium activate is missing")
        else:
            lines.append("in the consortium's log")
        if self.revoked:
            lines.append(f"! revoked, because {REASONS[self.revoked]}: no round of it is answered")
        return lines

    def as_json(self) -> dict[str, Any]:
        """For a program."""
        return {
            "name": self.name,
            "digest": self.digest,
            "threshold": self.threshold,
            "signed": list(self.signed),
            "waiting": dict(self.waiting),
            "unsigned": list(self.unsigned),
            "dates": self.dates,
            "valid_from": self.valid[0].isoformat(),
            "valid_until": self.valid[1].isoformat(),
            "in_log": self.in_log,
            "revoked": self.revoked,
            "in_force": self.in_force,
        }


def plan_status(
    plan: Plan, envelope: bytes | None, charter: Charter, *, log: Path | None, now: datetime
) -> PlanStatus:
    """Look at a plan's signatures, its dates and the log.

    Args:
        plan: it.
        envelope: with the signatures; None where only the plan itself is there.
        charter: whose members count.
        log: a home or an export with the consortium's log; None for not looking.
        now: the time.

    Raises:
        ValueError: there is no consortium's log under ``log``, or it cannot be believed.
        OSError: it cannot be read.
    """
    agreed = _agreed(envelope, charter) if envelope else None
    signed = agreed.members if agreed else ()
    waiting = agreed.waiting if agreed else {}
    dates = "not yet" if now < plan.valid_from else "now" if now < plan.valid_until else "over"
    in_log, revoked = _in_log(plan.digest(), charter, log) if log else (None, None)
    return PlanStatus(
        name=plan.name,
        digest=plan.digest(),
        threshold=charter.threshold,
        signed=signed,
        waiting=waiting,
        unsigned=tuple(sorted(set(plan.schools.members) - set(signed) - set(waiting))),
        dates=dates,
        valid=(plan.valid_from, plan.valid_until),
        in_log=in_log,
        revoked=revoked,
    )


def _agreed(envelope: bytes, charter: Charter) -> Agreement | None:
    try:
        return read_agreement(envelope, PLAN_TYPE, charter)
    except SignatureError:  # nobody that counts
        return None


def _in_log(plan_digest: str, charter: Charter, path: Path) -> tuple[bool, Reason | None]:
    """Whether the log has the plan, and the reason for which it was revoked."""
    for home in find_homes(path)[0]:
        stored = read_stored(home.log)
        verified = verify_log(
            LogBytes(
                name="the consortium's log",
                kind="consortium",
                origin=charter.log.origin,
                public_key=charter.log.public_key,
                lines=stored.lines,
                torn=stored.torn_bytes,
                checkpoint=stored.checkpoint,
            )
        )
        if any(line.check == "checkpoint.origin" for line in verified.lines):
            continue  # a school's own log
        if verified.lines[-1].status == "FAIL":
            raise ValueError(verified.lines[-1].sentence)
        entries = [each.entry for each in verified.entries]
        reasons = [
            each.reason
            for each in entries
            if isinstance(each, PlanRevoked) and each.plan_digest == plan_digest
        ]
        active = any(
            isinstance(each, PlanActivated) and each.plan_digest == plan_digest for each in entries
        )
        return active, reasons[0] if reasons else None
    raise ValueError(f"There is no copy of the consortium's log under {path}.")
