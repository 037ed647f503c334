"""Which version of the charter a log was written under, and whether the log tells it truly.

===========  ======================================================================================
``charter``  every log starts under a version that is here, goes on to the next one and no other,
             and who is said to have agreed did
===========  ======================================================================================
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from fedtrace.governance.agreement import read_agreement
from fedtrace.governance.charter import CHARTER_TYPE, Charter
from fedtrace.governance.charter_history import CharterHistory
from fedtrace.governance.log.entries import (
    CharterAccepted,
    CharterAdopted,
    CharterChanged,
    Entry,
    LoggedEntry,
    SchoolInitialised,
)
from fedtrace.governance.log.selfcheck import line
from fedtrace.governance.log.verify import Line

CHARTER_KINDS = (CharterAdopted, CharterChanged, SchoolInitialised, CharterAccepted)
"""What is looked at; the other entries of a long log need not be built for it."""

_NEXT_STEP = "Keep a copy of the folder as it is, and tell the privacy officer."


def in_force(charters: CharterHistory, entries: Iterable[Entry]) -> Charter:
    """The version under which the entry after these is written, as the consortium tells it."""
    charter = charters.versions[0]
    for entry in entries:
        if isinstance(entry, CharterChanged):
            charter = charters.version(entry.charter_digest) or charter
    return charter


def told_other(entries: Iterable[LoggedEntry], *known: Charter) -> str | None:
    """The digest of the version that a log told of last, where it is none of these.

    A log that tells of another one than ``charter.json`` says that the file was put back.
    """
    told = None
    for each in entries:
        if each.kind in CHARTER_KINDS and isinstance(entry := each.entry, CHARTER_KINDS):
            told = entry.charter_digest
    return None if told in {each.digest() for each in known} else told


def check_charters(
    charters: CharterHistory,
    consortium: Sequence[Entry] | None,
    schools: Mapping[str, Sequence[Entry]],
    *,
    copied: bool = False,
) -> Line:
    """Hold what the logs tell of the charter against its versions; total.

    Args:
        charters: every version that lies here, each agreed to by the one before.
        consortium: its entries, verified; None where its log is not at hand.
        schools: school -> its entries, verified.
        copied: the consortium's log is a school's copy, which may be behind or ahead.
    """
    logs = {"the consortium": consortium or (), **schools}
    problem = next(
        (
            found
            for name, log in logs.items()
            if (found := _wrong_start_or_change(charters, name, log))
        ),
        None,
    )
    question = None if problem else _open_question(charters, logs, None if copied else consortium)
    if question is not None:
        return Line(status="WARN", check="charter", sentence=question)
    return line("charter", problem and f"{problem} {_NEXT_STEP}", _sentence(charters))


def _wrong_start_or_change(
    charters: CharterHistory, name: str, entries: Sequence[Entry]
) -> str | None:
    """Where a log starts under a charter that is not here, or goes on to one as it cannot."""
    last = None
    for entry in entries:
        if isinstance(entry, CharterAdopted | SchoolInitialised):
            last = entry.charter_digest
            if charters.version(last) is None:
                return (
                    f"The log of {name} was started under another charter than the one that lies "
                    f"here, {charters.current.digest()}."
                )
        elif isinstance(entry, CharterChanged | CharterAccepted):
            if (problem := _wrong_change(charters, name, entry, last)) is not None:
                return problem
            last = entry.charter_digest
    return None


def _open_question(
    charters: CharterHistory, logs: Mapping[str, Sequence[Entry]], own: Sequence[Entry] | None
) -> str | None:
    """A version that is not here, or that the consortium's own log does not tell of yet."""
    told_of = (
        entry.charter_digest
        for entries in logs.values()
        for entry in entries
        if isinstance(entry, CharterChanged | CharterAccepted)
    )
    missing = next((each for each in told_of if charters.version(each) is None), None)
    if missing is not None:
        return (
            f"The logs tell of a version of the charter that is not here, {missing}: ask the "
            "consortium for it, and accept it with fedtrace school charter accept."
        )
    told = charters.current if own is None else in_force(charters, own)
    if told == charters.current:
        return None
    return (
        f"Version {charters.current.version} of the charter is here, and the consortium's log "
        f"tells of version {told.version} only: ask the consortium whether it has adopted it."
    )


def _wrong_change(
    charters: CharterHistory, name: str, entry: CharterChanged | CharterAccepted, last: str | None
) -> str | None:
    if entry.previous_digest != last:
        return f"The log of {name} leaves out a version of the charter, or tells of one twice."
    after = charters.version(entry.charter_digest)
    if after is None:
        return None
    if after.previous != last:
        return f"The log of {name} goes on to version {after.version} of the charter from another."
    if isinstance(entry, CharterAccepted):
        return None
    before = charters.versions[after.version - 2]
    agreed = read_agreement(charters.envelopes[after.version - 2], CHARTER_TYPE, before).members
    signers = set(entry.signers)
    if entry.version != after.version or not signers <= set(agreed):
        return f"The log of {name} tells of other members who agreed to version {after.version}."
    if len(signers) < before.threshold:
        return (
            f"The log of {name} tells of {len(signers)} members who agreed to version "
            f"{after.version}, where {before.threshold} had to."
        )
    return None


def _sentence(charters: CharterHistory) -> str:
    now, first = charters.current, charters.versions[0]
    if now is first:
        return (
            f"The keys are those of charter {now.digest()} of {now.consortium}, with "
            f"{len(now.members)} members. Compare it with the one that your school has."
        )
    return (
        f"The keys are those of charter {now.digest()} of {now.consortium}, version {now.version}, "
        f"with {len(now.members)} members. From the founding charter, {first.digest()}, on the "
        "members of each version agreed to the next. Compare one of the two with what your school "
        "has."
    )
