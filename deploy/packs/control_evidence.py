"""Evidence about who decides, who may stop, and whether history was kept."""

from __future__ import annotations

from collections import Counter

from fedtrace.deploy.packs.facts import Entered, Facts
from fedtrace.deploy.packs.finding import (
    Finding,
    between,
    counted,
    happened,
    of_consortium,
    of_school,
)
from fedtrace.governance.log.entries import (
    KillSwitchChanged,
    PlanAccepted,
    PlanActivated,
    PlanRevoked,
    PolicyChanged,
    SchoolInitialised,
    UpdateRejected,
)


def history(facts: Facts) -> Finding:
    """Every entry is the one that was signed."""
    newest = facts.newest()
    if not newest:
        return Finding(status="not_shown", sentence="There is no entry in the logs here.")
    total = facts.verdict.entries
    sentence = (
        f"{counted(total, 'entry', 'entries')} of {counted(len(newest), 'log')} were hashed again "
        "and are the ones that were signed; the newest of each log is shown. What was written down "
        "was not changed; that it was true is for people to know."
    )
    certain = facts.verdict.exit_code == 0
    return Finding(
        status="shown" if certain else "needs_a_person",
        sentence=sentence if certain else f"{sentence} The verification has warnings, see above.",
        entries=newest,
    )


def witnesses(facts: Facts) -> Finding:
    """Members have cosigned the consortium's log, so that it cannot be shown in two versions."""
    line = next((each for each in facts.verdict.lines if each.check == "log.witnesses"), None)
    if line is None:
        return Finding(
            status="elsewhere",
            sentence="The cosignatures of the members lie at the consortium: make this report from "
            "its home, or from an export of it.",
        )
    return Finding(status="shown" if line.status == "PASS" else "not_shown", sentence=line.sentence)


def signers(facts: Facts) -> Finding:
    """Which schools signed each plan."""
    found = facts.plan_entries()
    plans: dict[str, set[str]] = {}
    for entry in (each.entry for each in found):
        if isinstance(entry, PlanActivated | PlanAccepted):
            plans.setdefault(entry.plan_digest, set()).update(entry.signers)
    if not found:
        sentence = "No plan has been signed by enough schools so far."
        return Finding(status="not_shown", sentence=sentence)
    listed = "; ".join(
        f"{digest[:19]}... by {', '.join(sorted(names))}" for digest, names in sorted(plans.items())
    )
    return Finding(
        status="shown",
        sentence=f"{counted(len(plans), 'plan')} signed: {listed}.",
        entries=tuple(found),
    )


def revocations(facts: Facts) -> Finding:
    """Plans that the schools took back."""
    return happened(
        of_consortium(facts, PlanRevoked),
        nothing="No plan was revoked so far.",
        by_itself=True,
        sentence=lambda found: (
            f"{counted(len(found), 'plan')} revoked {between(found)}; no school answers to a "
            "revoked plan."
        ),
    )


def kill_switch(facts: Facts) -> Finding:
    """Training was stopped by a person at a school."""
    return happened(
        of_school(facts, KillSwitchChanged),
        nothing="Nobody at a school has used its kill switch so far; try it once, so that people "
        "know how.",
        sentence=lambda found: (
            f"The kill switch was used {counted(len(found), 'time')} {between(found)}; it is "
            f"{_switch(found[-1])} now."
        ),
    )


def policy(facts: Facts) -> Finding:
    """The bounds that a school set for itself."""
    return happened(
        of_school(facts, SchoolInitialised, PolicyChanged),
        nothing="No school has set its bounds.",
        sentence=lambda found: (
            f"The bounds that no plan may pass were set {between(found)}, "
            f"{counted(sum(isinstance(e.entry, PolicyChanged) for e in found), 'time')} anew since "
            "the start; each version is named by its digest."
        ),
    )


def rejected_updates(facts: Facts) -> Finding:
    """Contributions that failed a check before anything was summed."""
    return happened(
        of_consortium(facts, UpdateRejected),
        nothing="No contribution failed a check so far.",
        by_itself=True,
        sentence=lambda found: (
            f"{counted(len(found), 'contribution')} failed a check and stayed out: "
            + ", ".join(
                f"{check} {times}x"
                for check, times in sorted(
                    Counter(
                        e.entry.check for e in found if isinstance(e.entry, UpdateRejected)
                    ).items()
                )
            )
            + ". docs/acceptance-checks.md says what each check is."
        ),
    )


def _switch(newest: Entered) -> str:
    return "on" if isinstance(newest.entry, KillSwitchChanged) and newest.entry.on else "off"
