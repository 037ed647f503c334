"""The school's side of a charter's next versions: checked, logged, then what the school goes by."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from datetime import datetime
from itertools import pairwise
from pathlib import Path

from fedtrace.client.files import write_private
from fedtrace.client.home import (
    POLICY_FILE,
    policy_signed_by,
    require_home,
    told_of_another,
)
from fedtrace.client.keys import NextKey, SchoolKeys, load_keys
from fedtrace.governance.charter import Charter
from fedtrace.governance.charter_history import CharterHistory, read_charters
from fedtrace.governance.errors import PolicyError
from fedtrace.governance.log.charters import told_other
from fedtrace.governance.log.entries import CharterAccepted
from fedtrace.governance.log.log import Log
from fedtrace.governance.policy import SchoolPolicy, sign_policy
from fedtrace.governance.signing import Signer
from fedtrace.governance.witnessing import school_origin


def accept_charter(home: Path, envelopes: Sequence[bytes], *, now: datetime) -> CharterHistory:
    """Go by the newest version from now on; after a crash, the same call ends what was begun.

    Only the newest has to name this school: one that was left out and is a member again takes the
    versions in between along. Where it names the key that `fedtrace.client.keys.NextKey` made, that
    key takes the place of the school's present one, which is destroyed.

    Args:
        home: the school's; its gate does not run.
        envelopes: the next versions in their order, each with its signatures; one or more.
        now: the time of the log's entries.

    Raises:
        SignatureError: too few agreed.
        Rejected: one is not the next version, or changes what cannot change.
        PolicyError: the newest does not name this school, or names a key that is not here; or the
            school accepted another version of one's number before.
        BlockingIOError: another process, as the gate, has the log open.
        OSError: a file cannot be written; the present version stays in force.
    """
    require_home(home)
    keys, history = load_keys(home / "keys"), read_charters(home)
    coming = NextKey.find(home / "keys")
    signers = [keys.signer, *([coming.signer] if coming else [])]
    policy = policy_signed_by(home / POLICY_FILE, signers)
    extended = history
    for envelope in envelopes:
        extended = extended.extended(envelope)
    signer = _signer_for(extended.current, policy, keys, signers)
    origin = school_origin(history.current, policy.school)
    with closing(Log.open(home / "log", origin=origin, key=keys.log_key)) as log:
        steps = extended.versions[len(history.versions) - 1 :]
        told = told_other(log.entries(), *steps)
        if told is not None:
            raise PolicyError(told_of_another(home, history.current, told))
        *earlier, (last, content) = extended.files()
        (home / earlier[0][0]).parent.mkdir(mode=0o700, exist_ok=True)
        for name, each in earlier:
            write_private(home / name, each, replace=True)
        _tell(log, steps, now=now)
    if coming is not None and signer.public_key == coming.signer.public_key:
        write_private(home / POLICY_FILE, sign_policy(policy, signer), replace=True)
        coming.take_over()
    write_private(home / last, content, replace=True)
    return extended


def _signer_for(
    after: Charter, policy: SchoolPolicy, keys: SchoolKeys, signers: Sequence[Signer]
) -> Signer:
    """The key that the next version names for this school."""
    named = next((m for m in after.members if m.name == policy.school), None)
    if named is None:
        raise PolicyError(
            f"version {after.version} does not name {policy.school}, which is a member no more "
            "then: fedtrace school leave"
        )
    if named.log_public_key == keys.log_public_key:
        for signer in signers:
            if signer.public_key == named.public_key:
                return signer
    raise PolicyError(
        f"version {after.version} names the key {named.public_key} for {policy.school}, which is "
        "not in this home: ask the consortium whose key it is, and accept nothing until then"
    )


def _tell(log: Log, steps: Sequence[Charter], *, now: datetime) -> None:
    """Log the way from the first of these versions to the last, but for what the log tells."""
    told = [each.entry for each in log.entries() if each.kind is CharterAccepted]
    log.append_many(
        [
            accepted
            for before, after in pairwise(steps)
            if (accepted := _accepted(before, after)) not in told
        ],
        now=now,
    )


def _accepted(before: Charter, after: Charter) -> CharterAccepted:
    return CharterAccepted(charter_digest=after.digest(), previous_digest=before.digest())
