"""The next version of the charter: who agreed is checked and logged, then it is in force."""

from __future__ import annotations

from datetime import datetime

from fedtrace.governance.agreement import require_agreement
from fedtrace.governance.charter import CHARTER_TYPE
from fedtrace.governance.charter_history import CharterHistory
from fedtrace.governance.log.entries import CharterChanged
from fedtrace.server.consortium import Consortium
from fedtrace.server.files import write_durably
from fedtrace.server.restored import require_confirmed


def adopt_charter(consortium: Consortium, envelope: bytes, *, now: datetime) -> CharterHistory:
    """Put the next version into force; after a crash, the same call ends what was begun.

    What members took back is logged first, while the version that they agreed by is in force.
    The files come first, then the log, then ``charter.json``: a version is in force for the
    server when the log tells of it.

    Args:
        consortium: open, so that no job runs.
        envelope: the next version, with its signatures.
        now: the time of the log's entry.

    Raises:
        SignatureError: too few agreed.
        Rejected: it is not the next version, or changes what cannot change.
        PolicyError: the log tells of another next version already, or this home was restored and
            nobody knows yet whether its log is the newest.
        Corrupt: what is kept as a plan's revocation is none.
        OSError: a file cannot be written; nothing is in force.
    """
    history = consortium.charters
    before, extended = history.current, history.extended(envelope)
    after = extended.current
    require_confirmed(consortium.home)
    consortium.require_told_charter(after)
    *earlier, (last, content) = extended.files()
    (consortium.home / earlier[0][0]).parent.mkdir(mode=0o700, exist_ok=True)
    for name, each in earlier:
        write_durably(consortium.home / name, each)
    if not _is_logged(consortium, after.digest()):
        for plan_digest in consortium.plans.digests():
            consortium.revocation_of(plan_digest, now=now)
        changed = CharterChanged(
            charter_digest=after.digest(),
            previous_digest=before.digest(),
            version=after.version,
            signers=require_agreement(envelope, CHARTER_TYPE, before).members,
        )
        consortium.log.append(changed, now=now)
    write_durably(consortium.home / last, content)
    return extended


def _is_logged(consortium: Consortium, charter_digest: str) -> bool:
    return any(
        isinstance(each.entry, CharterChanged) and each.entry.charter_digest == charter_digest
        for each in consortium.log.entries()
    )
