"""Who signed the plans that the consortium's log names, by the charter in force at each entry.

The log gives names; signatures give proof. A name without a signature among the copies of a plan's
envelope is one that the log invented, or whose signature was lost: either way nobody can check it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from fedtrace.governance.agreement import merge_agreements, read_agreement
from fedtrace.governance.charter import Charter
from fedtrace.governance.charter_history import CharterHistory
from fedtrace.governance.errors import Rejected
from fedtrace.governance.log.entries import (
    CharterChanged,
    Entry,
    PlanActivated,
    PlanRevoked,
    RoundOpened,
)
from fedtrace.governance.plan import PLAN_TYPE
from fedtrace.governance.revocation import REVOCATION_TYPE, Revocation
from fedtrace.governance.signing import SignatureError


def not_signed_as_told(
    consortium: Iterable[Entry],
    copies: Mapping[str, Sequence[bytes]],
    charters: CharterHistory,
    *,
    copied: bool,
) -> str | None:
    """What of the plans' use the members of that time did not sign; None where they signed all.

    Args:
        consortium: its entries, verified.
        copies: plan digest -> envelopes of exactly that plan; plans that are not here are passed
            over.
        charters: whose members' signatures count.
        copied: the log is a school's copy. A school keeps a plan with the signatures that were
            there when it accepted, and others may have signed later: names are not compared.
    """
    agreed: dict[tuple[str, str], frozenset[str]] = {}
    for entry, charter in _under_charters(consortium, charters):
        if not isinstance(entry, PlanActivated | RoundOpened) or not copies.get(entry.plan_digest):
            continue
        key = (entry.plan_digest, charter.digest())
        if key not in agreed:
            envelope = merge_agreements(copies[entry.plan_digest], PLAN_TYPE, charter)
            agreed[key] = frozenset(read_agreement(envelope, PLAN_TYPE, charter).members)
            if len(agreed[key]) < charter.threshold:
                return _too_few(entry.plan_digest, charter, len(agreed[key]))
        if isinstance(entry, PlanActivated) and not copied:
            unproven = sorted(set(entry.signers) - agreed[key])
            if unproven:
                return _unproven(entry.plan_digest, charter, unproven)
    return None


def not_revoked_as_told(
    consortium: Iterable[Entry], copies: Mapping[str, Sequence[bytes]], charters: CharterHistory
) -> str | None:
    """A name under a revocation in the log that its signatures do not show; None: there is none.

    Args:
        consortium: its entries, verified.
        copies: plan digest -> what lies here as its revocation, nothing of it believed; plans
            without one are passed over.
        charters: whose members' signatures count.
    """
    for entry, charter in _under_charters(consortium, charters):
        if not isinstance(entry, PlanRevoked) or not copies.get(entry.plan_digest):
            continue
        try:
            envelope = merge_agreements(copies[entry.plan_digest], REVOCATION_TYPE, charter)
            agreed = read_agreement(envelope, REVOCATION_TYPE, charter)
            revocation = Revocation.from_bytes(agreed.payload)
        except (Rejected, SignatureError) as error:
            return f"The revocation of plan {entry.plan_digest} here is none: {error}."
        told = (charter.consortium, entry.plan_digest, entry.reason)
        if (revocation.consortium, revocation.plan_digest, revocation.reason) != told:
            return f"The revocation of plan {entry.plan_digest} here is another than the log tells."
        unproven = sorted(set(entry.signers) - set(agreed.members))
        if unproven:
            return (
                f"The log says that {unproven[0]} took back plan {entry.plan_digest}, and no copy "
                f"of the revocation here shows that it agreed ({len(unproven)} such names). Ask "
                "that school, and the consortium for the revocation with its signatures."
            )
    return None


def _under_charters(
    consortium: Iterable[Entry], charters: CharterHistory
) -> Iterator[tuple[Entry, Charter]]:
    """Every entry, with the version of the charter in force at it."""
    charter = charters.versions[0]
    for entry in consortium:
        if isinstance(entry, CharterChanged):
            charter = charters.version(entry.charter_digest) or charter
        yield entry, charter


def _too_few(plan_digest: str, charter: Charter, members: int) -> str:
    return (
        f"Plan {plan_digest} was used under version {charter.version} of the charter, and the "
        f"copies here are signed by {members} of the {charter.threshold} members that it asks "
        "for. Ask the consortium for the plan as it was signed again."
    )


def _unproven(plan_digest: str, charter: Charter, names: Sequence[str]) -> str:
    return (
        f"The log says that {names[0]} signed plan {plan_digest}, and no copy here shows that it "
        f"agreed by the rules of version {charter.version} of the charter ({len(names)} such "
        "names). Ask that school whether it signed, and the consortium for the plan with its "
        "signatures."
    )
