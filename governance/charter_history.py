"""The versions of a charter: how a consortium changes its members, their keys and its numbers.

The founding charter is what schools compared by its digest. Every later one names the version
before it, and is in force when the members of that version agreed to it by its rules, and its own
members by its own. That is how The Update Framework changes its root (specification 1.0, section
5.3.4): whoever trusts one version can follow to the last, and nobody without the old keys can lead
them elsewhere.

What a log was signed with cannot change: neither the consortium's log and aggregator, nor the key
of a member's log. Whoever loses such a key starts a new log under a new name.

::

    charter.json          the version in force
    charters/1.json       the founding charter, where there is a later one
    charters/2.dsse.json  every later one, signed
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from errno import ENOENT
from itertools import pairwise
from pathlib import Path

from fedtrace.governance.agreement import require_agreement
from fedtrace.governance.charter import CHARTER_TYPE, Charter, Member
from fedtrace.governance.errors import PolicyError, Rejected
from fedtrace.governance.log.storage import read_limited
from fedtrace.governance.signing import (
    ENVELOPE_LIMIT_BYTES,
    SignatureError,
    unverified_payload,
)
from fedtrace.governance.witnessing import witness_quorum

CHARTER_FILE, FOUNDING_FILE = "charter.json", "charters/1.json"


def next_file(version: int) -> str:
    """Where a later version lies in a home."""
    return f"charters/{version}.dsse.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class CharterHistory:
    """Every version up to the one in force, each agreed to by the one before.

    Attributes:
        versions: the founding charter first.
        envelopes: of all but the first.
    """

    versions: tuple[Charter, ...]
    envelopes: tuple[bytes, ...] = ()

    @classmethod
    def follow(cls, founding: Charter, envelopes: Iterable[bytes]) -> CharterHistory:
        """From the founding charter to the last version.

        Raises:
            SignatureError, Rejected: as `extended`; or the first is not a founding charter.
        """
        if founding.version != 1:
            raise Rejected("version", f"version {founding.version} is not a founding charter")
        history = cls(versions=(founding,))
        for envelope in envelopes:
            history = history.extended(envelope)
        return history

    @property
    def current(self) -> Charter:
        """The version in force."""
        return self.versions[-1]

    def version(self, charter_digest: str) -> Charter | None:
        """The version of that digest; None where it is none of these."""
        for before, after in pairwise(self.versions):
            if after.previous == charter_digest:
                return before
        return self.current if self.current.digest() == charter_digest else None

    def ever_members(self) -> Mapping[str, Member]:
        """Everybody who was ever a member, by name, as last named."""
        return {member.name: member for each in self.versions for member in each.members}

    def extended(self, envelope: bytes) -> CharterHistory:
        """The history with one more version.

        Raises:
            SignatureError: the members of the old or of the new version did not agree to it.
            Rejected: it is no charter, not the next version, or changes what cannot change.
        """
        after = Charter.from_bytes(unverified_payload(envelope, CHARTER_TYPE))
        self.require_lawful(after)
        for charter, which in ((self.current, "present"), (after, "next")):
            try:
                require_agreement(envelope, CHARTER_TYPE, charter)
            except SignatureError as error:
                raise SignatureError(f"by the rules of the {which} version: {error}") from error
        return CharterHistory(
            versions=(*self.versions, after), envelopes=(*self.envelopes, envelope)
        )

    def require_lawful(self, after: Charter) -> None:
        """Refuse what no signatures make the next version.

        Raises:
            Rejected: it is not the next version, or changes what cannot change.
        """
        before, present = self.current, self.current.digest()
        if after.version != before.version + 1 or after.previous != present:
            raise Rejected(
                "version",
                f"it is version {after.version} after {after.previous}; in force is version "
                f"{before.version}, {present}",
            )
        for clause in ("consortium", "aggregator", "log"):
            if getattr(after, clause) != getattr(before, clause):
                raise Rejected(clause, f"{clause} is another one, and cannot change")
        known = self.ever_members()
        for member in after.members:
            past = known.get(member.name)
            if past is not None and past.log_public_key != member.log_public_key:
                raise Rejected(
                    "members.log_public_key",
                    f"the key of the log of {member.name} is another one, and cannot change: a "
                    "school that lost it joins again under a new name",
                )
        self._require_own_keys(after)

    def _require_own_keys(self, after: Charter) -> None:
        """What a key signed in one place must not speak for another one in a later version."""
        now = dict(after.places())
        for each in self.versions:
            for key, was in each.places():
                if now.get(key, was) != was:
                    raise Rejected(
                        "members",
                        f"the key {key} was that of {was} in version {each.version} and cannot be "
                        f"that of {now[key]}: what it signed once would be signed by another now; "
                        "make a new key",
                    )

    def files(self) -> Iterator[tuple[str, bytes]]:
        """What a home keeps, by name, in the order in which it is written."""
        if self.envelopes:
            yield FOUNDING_FILE, self.versions[0].to_bytes()
            for charter, envelope in zip(self.versions[1:], self.envelopes, strict=True):
                yield next_file(charter.version), envelope
        yield CHARTER_FILE, self.current.to_bytes()


def read_charters(home: Path) -> CharterHistory:
    """The versions that lie in a home; one after the version in force is not looked at.

    Raises:
        PolicyError: a file is no charter, is missing, or was not agreed to by the one before.
        FileNotFoundError: there is no charter.
        Corrupt, OSError: a file cannot be read.
    """
    try:
        return _read(home)
    except Rejected as error:
        raise PolicyError(f"{home / CHARTER_FILE}: {error.sentence}") from error
    except SignatureError as error:
        raise PolicyError(f"{home / CHARTER_FILE} was not agreed to {error}") from error


def _read(home: Path) -> CharterHistory:
    content = read_limited(home / CHARTER_FILE, Charter.limit_bytes)
    if content is None:
        raise FileNotFoundError(ENOENT, os.strerror(ENOENT), str(home / CHARTER_FILE))
    current = Charter.from_bytes(content)
    if current.version == 1:
        return CharterHistory(versions=(current,))
    founding = Charter.from_bytes(_required(home, FOUNDING_FILE, Charter.limit_bytes))
    later = (
        _required(home, next_file(version), ENVELOPE_LIMIT_BYTES)
        for version in range(2, current.version + 1)
    )
    history = CharterHistory.follow(founding, later)
    if history.current != current:
        raise Rejected("previous", "it is not the version that was agreed to")
    return history


def changes(before: Charter, after: Charter) -> tuple[str, ...]:
    """What a next version changes, a sentence each, for whoever signs it."""
    return tuple(_changes(before, after))


def _changes(before: Charter, after: Charter) -> Iterator[str]:
    was, will = ({m.name: m for m in each.members} for each in (before, after))
    for name in sorted(will.keys() - was.keys()):
        yield (
            f"{name} becomes a member; for it {_who(will[name])} can sign; its machine has the key "
            f"{will[name].public_key}, its log {will[name].log_public_key}"
        )
    for name in sorted(was.keys() - will.keys()):
        yield f"{name} is a member no more: what it signed does not count from then on"
    for name in sorted(was.keys() & will.keys()):
        if was[name].public_key != will[name].public_key:
            yield f"the machine of {name} has another key, {will[name].public_key}"
        if was[name].people != will[name].people:
            yield f"for {name} other people can sign: {_who(will[name])}"
    for clause, what in (
        ("threshold", "members that must agree"),
        ("people_per_member", "people who must sign for a member"),
    ):
        old, new = getattr(before, clause), getattr(after, clause)
        if old != new:
            yield f"{what}: {new} instead of {old}{_weaker(old, new)}"
    old, new = witness_quorum(before), witness_quorum(after)
    if (old, before.witness_quorum) != (new, after.witness_quorum):
        usual = ", the usual number" if after.witness_quorum is None else ""
        yield (
            f"members that must have cosigned the log: {new}{usual}, instead of {old}"
            f"{_weaker(old, new)}"
        )


def _who(member: Member) -> str:
    if not member.people:
        return "its machine"
    return ", ".join(f"{each.role} {each.public_key}" for each in member.people)


def _weaker(old: int, new: int) -> str:
    return " (FEWER)" if new < old else ""


def _required(home: Path, name: str, limit_bytes: int) -> bytes:
    content = read_limited(home / name, limit_bytes)
    if content is None:
        raise Rejected("previous", f"{name} is missing, so nobody can see who agreed to it")
    return content
