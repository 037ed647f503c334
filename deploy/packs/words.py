"""The closed lists that packs and reports are made of."""

from __future__ import annotations

from typing import Literal

PackName = Literal[
    "ferpa", "coppa", "ndpa", "ny2d", "soppa", "sopipa", "gdpr", "aadc", "aiact", "nist226"
]
"""What ``fedtrace governance report --pack`` knows."""

EvidenceName = Literal[
    "access_given",
    "cohorts_removed",
    "consents",
    "disclosures",
    "epsilon",
    "erasures",
    "evaluations",
    "fields",
    "history",
    "holds",
    "imports",
    "kill_switch",
    "legal_basis",
    "oversight",
    "policy",
    "purposes",
    "refusals",
    "rejected_updates",
    "released_models",
    "retention",
    "revocations",
    "rounds",
    "signers",
    "terms",
    "trust",
    "witnesses",
]
"""What a line of a pack can ask of the logs and plans; each is a function in ``evidence``."""

LineStatus = Literal["shown", "needs_a_person", "elsewhere", "not_shown"]
"""``shown``: the logs show it; ``needs_a_person``: a tool cannot know it, or not all of it;
``elsewhere``: a log or plan that would show it is not here; ``not_shown``: it should be here, and
is not. The later word wins where several hold."""
