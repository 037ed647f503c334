"""Holds a pack against the facts: each line gets its evidence, and the worst answer counts."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import get_args

from fedtrace.deploy.packs import control_evidence, evidence, plan_evidence
from fedtrace.deploy.packs.facts import Entered, Facts
from fedtrace.deploy.packs.finding import Evidence, Finding
from fedtrace.deploy.packs.model import PackReport, ReportLine, ShownEntry, ShownEvidence
from fedtrace.deploy.packs.pack import Pack, PackLine
from fedtrace.deploy.packs.words import EvidenceName, LineStatus
from fedtrace.deploy.report.model import VerificationLine, worst_status

ENTRIES_SHOWN = 12
"""Of more entries the newest are shown, and all are counted."""

EVIDENCE: Mapping[EvidenceName, Evidence] = MappingProxyType(
    {
        "access_given": evidence.access_given,
        "cohorts_removed": evidence.cohorts_removed,
        "consents": evidence.consents,
        "disclosures": evidence.disclosures,
        "epsilon": evidence.epsilon,
        "erasures": evidence.erasures,
        "evaluations": evidence.evaluations,
        "fields": plan_evidence.fields,
        "history": control_evidence.history,
        "holds": evidence.holds,
        "imports": evidence.imports,
        "kill_switch": control_evidence.kill_switch,
        "legal_basis": plan_evidence.legal_basis,
        "oversight": plan_evidence.oversight,
        "policy": control_evidence.policy,
        "purposes": plan_evidence.purposes,
        "refusals": evidence.refusals,
        "rejected_updates": control_evidence.rejected_updates,
        "released_models": evidence.released_models,
        "retention": plan_evidence.retention,
        "revocations": control_evidence.revocations,
        "rounds": evidence.rounds,
        "signers": control_evidence.signers,
        "terms": plan_evidence.terms,
        "trust": plan_evidence.trust,
        "witnesses": control_evidence.witnesses,
    }
)
"""Every question that a pack can ask."""

_NOT_BELIEVED = Finding(
    status="not_shown", sentence="The logs here do not verify, so nothing in them is evidence."
)


def build_report(pack: Pack, facts: Facts, *, now: datetime) -> PackReport:
    """The report of a pack.

    Args:
        pack: what is asked.
        facts: what can be believed.
        now: when the report is made.
    """
    verification = tuple(
        VerificationLine(status=line.status, check=line.check, sentence=line.sentence)
        for line in facts.verdict.lines
    )
    asked = sorted({name for line in pack.lines for name in line.evidence})
    # Where the logs fail their verification, no evidence counts.
    believed = facts.verdict.exit_code != 2
    answers = {name: EVIDENCE[name](facts) if believed else _NOT_BELIEVED for name in asked}
    lines = tuple(_answer(line, answers) for line in pack.lines)
    missing = any(line.status == "not_shown" for line in lines)
    charters = facts.verdict.charters
    return PackReport(
        created=now,
        pack=pack.name,
        title=pack.title,
        about=pack.about,
        sources=pack.sources,
        consortium=None if charters is None else charters.current.consortium,
        logs={each.log: each.index + 1 for each in facts.newest()},
        plans=tuple(plan.digest for plan in facts.plans),
        verification=worst_status(verification),
        verification_lines=verification,
        lines=lines,
        exit_code=max(facts.verdict.exit_code, int(missing)),
    )


def _answer(line: PackLine, answers: Mapping[EvidenceName, Finding]) -> ReportLine:
    """One line with its evidence and the worst of its statuses."""
    found = {name: answers[name] for name in line.evidence}
    statuses: set[LineStatus] = {finding.status for finding in found.values()}
    if line.person is not None:
        statuses.add("needs_a_person")
    return ReportLine(
        id=line.id,
        cites=line.cites,
        asks=line.asks,
        status=next(each for each in reversed(get_args(LineStatus)) if each in statuses),
        evidence=tuple(
            ShownEvidence(
                name=name,
                status=finding.status,
                sentence=finding.sentence,
                entries=tuple(_shown(each) for each in finding.entries[-ENTRIES_SHOWN:]),
                entries_in_all=len(finding.entries),
            )
            for name, finding in found.items()
        ),
        person=line.person,
    )


def _shown(entered: Entered) -> ShownEntry:
    return ShownEntry(
        log=entered.log,
        index=entered.index,
        digest=entered.digest,
        time=entered.time,
        type=entered.entry.type,
    )
