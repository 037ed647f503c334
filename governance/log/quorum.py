"""Who must have witnessed a checkpoint: C2SP trust policies (https://c2sp.org/tlog-policy).

::

    log county/log+f2cd6123+AV3...
    witness school-1 county/schools/school-1+7d0...+BA1...
    witness school-2 county/schools/school-2+91c...+BCd...
    witness school-3 county/schools/school-3+09a...+BFq...
    group members 2 school-1 school-2 school-3
    quorum members

A member of the consortium needs no such file: its charter says the same, and `charter_policy`
writes it down in these words for any other program that reads the format.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from fedtrace.governance.log.checkpoint import LogCheckpoint, parse_checkpoint
from fedtrace.governance.log.cosignature import cosignatures
from fedtrace.governance.log.keys import KeyKind, VerifierKey
from fedtrace.governance.log.note import NoteError, encode_base64, open_note, parse_note
from fedtrace.governance.signing import PublicKey

POLICY_LIMIT_BYTES = 1024 * 1024
"""A policy with 1,000 witnesses stays below."""

NOBODY = "none"
"""The quorum that asks for no witness."""

_WITNESS_KINDS = (KeyKind.COSIGNATURE_ED25519, KeyKind.COSIGNATURE_ML_DSA_44)
_COUNT = re.compile(r"[1-9][0-9]{0,5}")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


class QuorumError(ValueError):
    """A policy that cannot be read; the sentence names the line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """So many of these.

    Attributes:
        threshold: how many members must have witnessed.
        members: names of witnesses and of other groups.
    """

    threshold: int
    members: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Witnessed:
    """A checkpoint that a policy accepts.

    Attributes:
        checkpoint: origin, size, root.
        times: policy name of each witness that cosigned -> when.
    """

    checkpoint: LogCheckpoint
    times: Mapping[str, datetime]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustPolicy:
    """Logs, witnesses and the quorum.

    Attributes:
        logs: keys of the logs; a log's origin is its key's name.
        witnesses: policy name -> key.
        groups: policy name -> group, each defined after its members.
        quorum: name of a witness or group, or `NOBODY`.
    """

    logs: tuple[VerifierKey, ...]
    witnesses: Mapping[str, VerifierKey] = field(default_factory=dict)
    groups: Mapping[str, Group] = field(default_factory=dict)
    quorum: str = NOBODY

    def is_satisfied(self, witnesses: frozenset[str]) -> bool:
        """Whether these witnesses, by policy name, are a quorum."""
        reached = set(witnesses & set(self.witnesses))
        for name, group in self.groups.items():
            if len(reached & set(group.members)) >= group.threshold:
                reached.add(name)
        return self.quorum == NOBODY or self.quorum in reached

    def may_collude(self) -> int | None:
        """How many witnesses may lie together without two histories both getting a quorum.

        None where the quorum is nested or none: then there is no one number. Negative where even
        honest witnesses, asked separately, could be shown two histories.
        """
        if self.quorum in self.witnesses:
            return 0
        group = self.groups.get(self.quorum)
        if group is None or not set(group.members) <= set(self.witnesses):
            return None
        return may_collude(group.threshold, len(group.members))

    def open(self, note: bytes) -> Witnessed:
        """Verify a checkpoint: a log's signature and a quorum of cosignatures.

        Raises:
            NoteError: ``size``, ``format``, ``origin``, ``key``, ``signature``, ``cosignature`` or
                ``quorum``.
        """
        witnessed = self.seen(note)
        if not self.is_satisfied(frozenset(witnessed.times)):
            sentence = f"{len(witnessed.times)} witnesses cosigned it, which is no quorum"
            raise NoteError("quorum", sentence)
        return witnessed

    def seen(self, note: bytes) -> Witnessed:
        """Verify everything but the quorum.

        Raises:
            NoteError: as `open`, less ``quorum``.
        """
        checkpoint = parse_checkpoint(parse_note(note)[0])
        keys = [key for key in self.logs if key.name == checkpoint.origin]
        if not keys:
            raise NoteError("origin", "it is the checkpoint of another log")
        _require_log_signature(note, keys)
        names = {key.name: name for name, key in self.witnesses.items()}
        times = cosignatures(note, self.witnesses.values())
        return Witnessed(
            checkpoint=checkpoint, times={names[name]: time for name, time in times.items()}
        )

    def to_text(self) -> str:
        """The policy as a file."""
        lines = [f"log {key.to_text()}" for key in self.logs]
        lines += [f"witness {name} {key.to_text()}" for name, key in self.witnesses.items()]
        for name, group in self.groups.items():
            lines.append(f"group {name} {group.threshold} {' '.join(group.members)}")
        lines.append(f"quorum {self.quorum}")
        return "".join(f"{line}\n" for line in lines)


def may_collude(threshold: int, witnesses: int) -> int:
    """The most witnesses that may lie: k of n is safe against f when k > (n + f) / 2.

    Two quorums of k among n share at least 2k - n witnesses, and one of these must be honest.
    Negative: not even none.
    """
    return 2 * threshold - witnesses - 1


def default_quorum(witnesses: int) -> int:
    """The smallest quorum that a third of the witnesses, less one, cannot deceive.

    With n = 3f + 1 witnesses it is 2f + 1, the usual bound of Byzantine agreement: f may lie, and
    f may be away without the quorum being out of reach.
    """
    faulty = (witnesses - 1) // 3
    return (witnesses + faulty) // 2 + 1


def parse_policy(data: bytes) -> TrustPolicy:
    """Read a policy file.

    Raises:
        QuorumError: it is not one; names the line.
    """
    if len(data) > POLICY_LIMIT_BYTES:
        raise QuorumError(f"a policy has at most {POLICY_LIMIT_BYTES} bytes, not {len(data)}")
    reading = _Reading()
    # Octets above ASCII are opaque in names and comments, so none of them is refused here.
    for number, line in enumerate(data.decode("utf-8", "surrogateescape").split("\n"), start=1):
        try:
            reading.take(line)
        except ValueError as error:
            raise QuorumError(f"line {number} of the policy: {error}") from error
    return reading.done()


class _Reading:
    """A policy while its lines come in."""

    def __init__(self) -> None:
        self.logs: list[VerifierKey] = []
        self.witnesses: dict[str, VerifierKey] = {}
        self.groups: dict[str, Group] = {}
        self.quorum: str | None = None
        self._used: set[str] = set()

    def take(self, line: str) -> None:
        """One line.

        Raises:
            ValueError: it says what a policy cannot say.
        """
        if _CONTROL.search(line):
            raise ValueError("there is a control character")
        words = [word for word in re.split(r"[ \t]+", line) if word]
        if not words or words[0].startswith("#"):
            return
        match words:
            case ["log", vkey] | ["log", vkey, _]:
                self._log(VerifierKey.from_text(vkey))
            case ["witness", name, vkey] | ["witness", name, vkey, _]:
                self._witness(name, VerifierKey.from_text(vkey))
            case ["group", name, count, *members] if members:
                self._group(name, count, members)
            case ["quorum", name]:
                self._quorum(name)
            case _:
                raise ValueError("it is no log, witness, group or quorum line")

    def done(self) -> TrustPolicy:
        """The whole policy.

        Raises:
            QuorumError: it has no quorum line.
        """
        if self.quorum is None:
            raise QuorumError("the policy has no quorum line; `quorum none` asks for no witness")
        return TrustPolicy(
            logs=tuple(self.logs),
            witnesses=self.witnesses,
            groups=self.groups,
            quorum=self.quorum,
        )

    def _log(self, key: VerifierKey) -> None:
        if key.kind is not KeyKind.ED25519:
            raise ValueError("a log signs with a key of kind 1, Ed25519")
        _require_new(key, self.logs)
        self.logs.append(key)

    def _witness(self, name: str, key: VerifierKey) -> None:
        if key.kind not in _WITNESS_KINDS:
            raise ValueError("a witness cosigns with a key of kind 4, Ed25519, or 6, ML-DSA-44")
        self._require_free(name)
        _require_new(key, self.witnesses.values())
        if any(key.name == other.name for other in self.witnesses.values()):
            raise ValueError(f"two witnesses have keys with the name {key.name}")
        self.witnesses[name] = key

    def _group(self, name: str, count: str, members: Sequence[str]) -> None:
        self._require_free(name)
        for member in members:
            if member not in self.witnesses and member not in self.groups:
                raise ValueError(f"{member} is neither a witness nor a group above it")
            if member in self._used:
                raise ValueError(f"{member} is a member twice")
            self._used.add(member)
        if count in ("all", "any"):
            threshold = len(members) if count == "all" else 1
        elif _COUNT.fullmatch(count) and int(count) <= len(members):
            threshold = int(count)
        else:
            raise ValueError(f"a group of {len(members)} asks for any, all or 1 to {len(members)}")
        self.groups[name] = Group(threshold=threshold, members=tuple(members))

    def _quorum(self, name: str) -> None:
        if self.quorum is not None:
            raise ValueError("there are two quorum lines")
        if name != NOBODY and name not in self.witnesses and name not in self.groups:
            raise ValueError(f"{name} is neither a witness nor a group above it")
        self.quorum = name

    def _require_free(self, name: str) -> None:
        if name == NOBODY or name in self.witnesses or name in self.groups:
            raise ValueError(f"the name {name} is taken")


def _require_new(key: VerifierKey, others: Iterable[VerifierKey]) -> None:
    if any(key.public_key == other.public_key for other in others):
        raise ValueError("this key stands in the policy already")


def _require_log_signature(note: bytes, keys: Sequence[VerifierKey]) -> None:
    """One of a log's keys signed.

    Raises:
        NoteError: ``key`` or ``signature``.
    """
    for key in keys[:-1]:
        try:
            open_note(note, name=key.name, public_key=_as_public(key))
        except NoteError as error:
            if error.check != "key":
                raise
        else:
            return
    open_note(note, name=keys[-1].name, public_key=_as_public(keys[-1]))


def _as_public(key: VerifierKey) -> PublicKey:
    return encode_base64(key.public_key)
