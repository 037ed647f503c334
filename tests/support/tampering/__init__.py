"""A corpus of tampered logs: what a thief, a careless copy or a dishonest owner leaves behind.

Each tampering starts from the same whole folder of three schools and a consortium. It names the
checks that must fail, and those that must warn, and no others may: a verifier that loses one of
its checks lets at least one of these pass. Some have the keys of the log that they change, or of
the whole consortium; a signature alone is no proof of honesty.
"""

from __future__ import annotations

from support.tampering import (
    charters,
    checkpoints,
    entries,
    files,
    histories,
    homes,
    plans,
    stories,
    witnesses,
)
from support.tampering.tools import Tampering

__all__ = ["TAMPERINGS", "Tampering"]

TAMPERINGS: tuple[Tampering, ...] = (
    *files.TAMPERINGS,
    *checkpoints.TAMPERINGS,
    *entries.TAMPERINGS,
    *histories.TAMPERINGS,
    *witnesses.TAMPERINGS,
    *homes.TAMPERINGS,
    *charters.TAMPERINGS,
    *plans.TAMPERINGS,
    *stories.TAMPERINGS,
)
