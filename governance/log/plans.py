"""Hold the log against the signed plans that it names: what the schools signed is what counts.

A log tells of a plan in a few numbers and a digest. The plan itself lies beside the log, with the
signatures of the members, and says what those numbers, and every round, may be at most.

================  ================================================================================
``plans.signed``  every plan that a log names is here, and enough members signed exactly that one,
                  among them all that the consortium's log names
``plans.terms``   what the consortium's log says of a plan and of its rounds is what the plan says
================  ================================================================================
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from fedtrace.governance.charter_history import CharterHistory
from fedtrace.governance.errors import Rejected
from fedtrace.governance.log.entries import (
    CharterChanged,
    Entry,
    EvaluationClosed,
    PlanAccepted,
    PlanActivated,
    PlanRevoked,
    RoundClosed,
    RoundOpened,
)
from fedtrace.governance.log.plan_signers import not_revoked_as_told, not_signed_as_told
from fedtrace.governance.log.selfcheck import Round, line, round_of
from fedtrace.governance.log.verify import Line, Status
from fedtrace.governance.plan import Plan
from fedtrace.governance.plan_signing import open_past_plan
from fedtrace.governance.refusals import Refused

PLANS_SHOWN = 3
"""More plans that are missing are counted, not listed."""

KINDS = (
    CharterChanged,
    PlanActivated,
    PlanRevoked,
    PlanAccepted,
    RoundOpened,
    RoundClosed,
    EvaluationClosed,
)
"""What is held against plans; the other entries of a long log need not be built for it."""

Envelopes = Mapping[str, Sequence[bytes]]
"""Plan digest -> every copy of its envelope, or of its revocation's, that lies here."""


def named_plans(logs: Sequence[Sequence[Entry]]) -> tuple[str, ...]:
    """The digests of all plans that any of the logs says was activated or accepted, sorted."""
    found = {
        entry.plan_digest
        for entries in logs
        for entry in entries
        if isinstance(entry, PlanActivated | PlanAccepted)
    }
    return tuple(sorted(found))


def revoked_plans(consortium: Sequence[Entry]) -> tuple[str, ...]:
    """The digests of all plans that the consortium's log says were taken back, sorted."""
    return tuple(sorted({each.plan_digest for each in consortium if isinstance(each, PlanRevoked)}))


def check_plans(
    consortium: Sequence[Entry] | None,
    schools: Mapping[str, Sequence[Entry]],
    envelopes: Envelopes,
    *,
    revocations: Envelopes,
    charters: CharterHistory,
    whole: bool,
    copied: bool = False,
) -> Iterator[Line]:
    """Check the plans that the logs name, and the consortium's log against them; total.

    Args:
        consortium: its entries, verified; None where its log is not at hand.
        schools: school -> its entries, verified.
        envelopes: what was found beside the logs; nothing about them is believed yet.
        revocations: the same, of the plans that were taken back.
        charters: whose members' signatures count, and how many it took; a plan needs as many
            under every version of the charter under which it was activated or asked for.
        whole: the logs are said to be all of them, so a missing plan is a failure.
        copied: the consortium's log is a school's copy. A school has the plans that it takes part
            in and the log of all, so that the others need not be here, and no revocations.
    """
    named = named_plans([*([] if consortium is None else [consortium]), *schools.values()])
    if copied:
        own = named_plans(list(schools.values()))
        named = tuple(each for each in named if each in own or envelopes.get(each))
    revoked = () if copied else revoked_plans(consortium or ())
    if not named and not revoked:
        return
    plans: dict[str, Plan] = {}
    problem = None
    for digest in named:
        for envelope in envelopes.get(digest, ()):
            opened = _open(envelope, digest, charters)
            if isinstance(opened, Plan):
                plans[digest] = opened
            else:
                problem = problem or opened
    if problem is None:
        problem = not_signed_as_told(consortium or (), envelopes, charters, copied=copied)
    if problem is None and revoked:
        problem = not_revoked_as_told(consortium or (), revocations, charters)
    missing = [digest for digest in named if not envelopes.get(digest)]
    missing += [
        digest for digest in revoked if not revocations.get(digest) and digest not in missing
    ]
    if problem is None and missing:
        status: Status = "FAIL" if whole else "WARN"
        yield Line(status=status, check="plans.signed", sentence=_missing(missing))
    else:
        yield line(
            "plans.signed",
            problem,
            f"{_all(len(named))} signed by as many members as the charter asks for.",
        )
    if consortium is not None and plans:
        yield line(
            "plans.terms",
            _broken_term(consortium, plans),
            "Privacy, members and rounds in the consortium's log are those of the signed plans.",
        )


def _open(envelope: bytes, digest: str, charters: CharterHistory) -> Plan | str:
    """The plan, or what is wrong with this copy of it."""
    try:
        signed = open_past_plan(envelope, charters)
    except Refused:
        return (
            f"The copy of plan {digest} here has fewer valid signatures of members than the "
            f"{charters.current.threshold} that the charter asks for. Ask the schools for the one "
            "they signed."
        )
    except Rejected as error:
        return f"The file of plan {digest} is not a plan: {error.sentence}."
    if signed.digest != digest:
        return f"The file of plan {digest} holds another plan, {signed.digest}."
    return signed.plan


def _all(named: int) -> str:
    if named == 1:
        return "The plan that the logs name is here,"
    return f"All {named} plans that the logs name are here, each"


def _missing(missing: Sequence[str]) -> str:
    more = len(missing) - PLANS_SHOWN
    listed = ", ".join(missing[:PLANS_SHOWN]) + (f", and {more} more" if more > 0 else "")
    return (
        f"Of {len(missing)} plans that the logs name, the signed plan or its signed revocation is "
        f"not here, so nobody can hold the log against what the schools signed: {listed}. Ask the "
        "consortium for plan.dsse.json and revocation.dsse.json, or for an export by a newer "
        "release."
    )


def _broken_term(consortium: Sequence[Entry], plans: Mapping[str, Plan]) -> str | None:
    """The first entry that its plan does not allow; plans that are not here are passed over."""
    inputs: dict[Round, set[str]] = {}
    rounds: dict[tuple[str, str], set[int]] = {}
    for entry in consortium:
        if not isinstance(entry, PlanActivated | RoundOpened | RoundClosed | EvaluationClosed):
            continue
        plan = plans.get(entry.plan_digest)
        if plan is None:
            continue
        if (problem := _broken_by(entry, plan)) is not None:
            return f"{problem} (plan {plan.name}, {entry.plan_digest})."
        if isinstance(entry, RoundClosed | EvaluationClosed):
            inputs.setdefault(round_of(entry), set()).update(each.school for each in entry.inputs)
        if isinstance(entry, RoundClosed):
            closed = rounds.setdefault((entry.plan_digest, entry.run_id), set())
            closed.add(entry.round)
            if len(closed) > plan.rounds.count:
                return (
                    f"Run {entry.run_id} closed {len(closed)} training rounds, and the plan "
                    f"{plan.name} allows {plan.rounds.count}."
                )
    for (digest, _, number), schools in inputs.items():
        least = plans[digest].schools.minimum_per_round
        if len(schools) < least:
            return (
                f"Round {number} was closed with {len(schools)} schools, and the plan "
                f"{plans[digest].name} asks for at least {least}."
            )
    return None


def _broken_by(
    entry: PlanActivated | RoundOpened | RoundClosed | EvaluationClosed, plan: Plan
) -> str | None:
    """What in one entry is not as the plan says."""
    if isinstance(entry, PlanActivated):
        promised, told = plan.privacy, (float(entry.epsilon_job), float(entry.delta))
        if told != (promised.epsilon_job, promised.delta):
            return (
                f"The log says epsilon {entry.epsilon_job} at delta {entry.delta}, and the schools "
                f"signed epsilon {promised.epsilon_job} at delta {promised.delta}"
            )
        if entry.trust_mode != promised.trust_mode:
            return (
                f"The log says trust mode {entry.trust_mode}, and the schools signed "
                f"{promised.trust_mode}"
            )
        return None
    if isinstance(entry, RoundOpened):
        strangers = sorted(set(entry.schools) - set(plan.schools.members))
        if strangers:
            return f"Round {entry.round} asked {strangers[0]}, which the plan does not name"
        return None
    agreed = plan.round_privacy("train" if isinstance(entry, RoundClosed) else "evaluate")
    # Written so that a number that is not one fails.
    if not float(entry.noise_multiplier) >= agreed.noise_multiplier:
        return (
            f"Round {entry.round} tells of noise {entry.noise_multiplier}, and the schools signed "
            f"{agreed.noise_multiplier}"
        )
    if isinstance(entry, RoundClosed):
        told = (float(entry.sampling_rate), float(entry.clipping_norm))
        if not (told[0] <= agreed.sampling_rate and told[1] == agreed.clipping_norm):
            return (
                f"Round {entry.round} tells of sampling {entry.sampling_rate} and clipping norm "
                f"{entry.clipping_norm}, and the schools signed {agreed.sampling_rate} and "
                f"{agreed.clipping_norm}"
            )
    return None
