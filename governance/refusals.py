"""The closed vocabulary in which a school says no (governance.md, "The gate").

A refusal leaves the school as a code and the path of a clause, never as a sentence: text written
where student rows are in memory could carry them. The sentences are here, the same for everybody.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType


class RefusalCode(StrEnum):
    """Why a school does not answer a round."""

    R01 = "R01"
    R02 = "R02"
    R03 = "R03"
    R04 = "R04"
    R05 = "R05"
    R06 = "R06"
    R07 = "R07"
    R08 = "R08"
    R09 = "R09"
    R10 = "R10"
    R11 = "R11"
    R12 = "R12"
    R13 = "R13"
    R14 = "R14"
    R15 = "R15"
    R16 = "R16"
    R17 = "R17"
    R18 = "R18"
    R19 = "R19"
    R20 = "R20"
    R21 = "R21"
    R22 = "R22"


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """What a code means.

    Attributes:
        sentence: what happened, for a person at the school or the consortium.
        what_to_do: the next step, and whose it is.
        clause: the clause that the code rests on where the check names no narrower one.
    """

    sentence: str
    what_to_do: str
    clause: str


def _refusal(clause: str, sentence: str, what_to_do: str) -> Refusal:
    return Refusal(sentence=sentence, what_to_do=what_to_do, clause=clause)


REFUSALS: Mapping[RefusalCode, Refusal] = MappingProxyType(
    {
        RefusalCode.R01: _refusal(
            "charter.threshold",
            "This plan was not signed by enough members of the consortium, or not by this school.",
            "Read the plan with `fedtrace plan explain`; if you agree, sign it with "
            "`fedtrace plan sign`. Otherwise nothing has to be done.",
        ),
        RefusalCode.R02: _refusal(
            "charter.log",
            "There is no fresh, witnessed proof that the plan stands in the consortium's log.",
            "Update your copy of the consortium's log. If the proof is still missing, ask the "
            "consortium why the plan is not in its log.",
        ),
        RefusalCode.R03: _refusal(
            "plan.valid_until",
            "The plan is not valid yet or has expired, or the round's deadline has passed.",
            "Compare the dates in the plan with today's. A plan is not prolonged: the consortium "
            "proposes a new one.",
        ),
        RefusalCode.R04: _refusal(
            "policy.revoked_plans",
            "The plan was taken back, by this school or by enough of the consortium's members.",
            "Nothing, if that is what you want. What this school took back it can allow again: "
            "remove the plan from `revoked_plans` in the school policy. What the members took "
            "back never returns; they propose a new plan.",
        ),
        RefusalCode.R05: _refusal(
            "policy.purposes",
            "The plan's purpose or legal basis is not one that this school allows.",
            "Ask the privacy officer whether the school policy should allow it.",
        ),
        RefusalCode.R06: _refusal(
            "policy.fields",
            "The plan reads a data field, or a longer history of a student, than this school "
            "allows.",
            "Ask the consortium for a plan without it, or the privacy officer to widen the policy.",
        ),
        RefusalCode.R07: _refusal(
            "plan.app.fab_digest",
            "The code bundle named by the plan is not the one that is installed here.",
            "Install the release that the plan was made for. Never install a bundle because a "
            "server asks for it.",
        ),
        RefusalCode.R08: _refusal(
            "plan.model.schema_fingerprint",
            "The model that the plan describes is not the one that the installed code builds.",
            "Compare the installed release with the one that the plan was made with.",
        ),
        RefusalCode.R09: _refusal(
            "charter.aggregator",
            "The order does not carry a valid signature of the consortium's aggregator.",
            "Ask the consortium whether its key has changed. If it has not, somebody else sent "
            "this order: tell your IT security.",
        ),
        RefusalCode.R10: _refusal(
            "order.round",
            "This round, or a later one, has been answered already.",
            "Nothing at the school. The consortium goes on with the next round; a database "
            "restored from a backup is a likely cause.",
        ),
        RefusalCode.R11: _refusal(
            "plan.privacy.epsilon_job",
            "The round would cost more privacy than the plan, this school or the student-year "
            "allows.",
            "Nothing: this is the promise being kept. `fedtrace school status` shows what has "
            "been spent; a new school year starts a new budget.",
        ),
        RefusalCode.R12: _refusal(
            "order.privacy",
            "The order or the plan protects students less than was agreed: less noise, a larger "
            "clipping norm, another sampling rate, or a larger delta.",
            "Ask the consortium which plan its server is running. If the plan itself is too weak, "
            "ask for a new one.",
        ),
        RefusalCode.R13: _refusal(
            "plan.schools.minimum_per_round",
            "Too few students or too few schools would take part, or this school was not asked.",
            "Check consent and retention dates of the students, and wait for more schools.",
        ),
        RefusalCode.R14: _refusal(
            "order",
            "The order asks for something that the plan does not contain, or cannot be read.",
            "Ask the consortium whether its server runs the same release as this school.",
        ),
        RefusalCode.R15: _refusal(
            "order.checkpoint_digest",
            "The model that came is not the one that the last round closed with.",
            "Ask the consortium to compare its log with the model that it sends. Keep the "
            "refusal: it is evidence.",
        ),
        RefusalCode.R16: _refusal(
            "plan.model.parameters",
            "The model that came has values that are not finite, far too large, of the wrong "
            "number or of the wrong type.",
            "Ask the consortium to check the last aggregation. Nothing was loaded here.",
        ),
        RefusalCode.R17: _refusal(
            "policy.kill_switch",
            "A person at this school has stopped all training.",
            "Nothing, until that person switches training on again.",
        ),
        RefusalCode.R18: _refusal(
            "policy.legal_bases",
            "Consent records are missing or unreadable, or a legal hold forbids the use.",
            "Look at `fedtrace school hold list`, and lift a hold only with the privacy officer. "
            "Import the consent list with `fedtrace school consent import` and move it away.",
        ),
        RefusalCode.R19: _refusal(
            "order.deadline",
            "The clocks of the school and the consortium disagree too much.",
            "Let both machines set their clocks by a time server.",
        ),
        RefusalCode.R20: _refusal(
            "policy.min_free_bytes",
            "The disk, the audit log or the node here is not healthy: no log, no training.",
            "Free some disk space and run `fedtrace audit verify` on the school's folder.",
        ),
        RefusalCode.R21: _refusal(
            "plan.privacy.clipping_norm",
            "The update that this school computed is over its bound, so it was not sent.",
            "Report it with the release number: it is a defect. The round counts as spent.",
        ),
        RefusalCode.R22: _refusal(
            "plan.privacy.trust_mode",
            "The plan asks for a secure sum, and what the consortium sent does not make one.",
            "The clause says which part was wrong. Nothing that could be read has left the school. "
            "If it happens again, ask the consortium why before the school takes part further.",
        ),
    }
)
"""Code -> sentence, what to do, clause. docs/refusal-codes.md says more about each."""


class Refused(Exception):  # noqa: N818 - the glossary's word
    """The school says no.

    Args:
        code: which no.
        clause: the path of the clause it rests on; the code's own where none is given.
    """

    def __init__(self, code: RefusalCode, clause: str | None = None) -> None:
        self.code = code
        self.clause = clause or REFUSALS[code].clause
        super().__init__(f"{code} ({self.clause}): {REFUSALS[code].sentence}")
