"""Proofs, policies and exports: what somebody gets who does not get the whole log.

`prove_entry` writes one entry's proof, `check_proof` checks it without the log, and `export_logs`
writes logs as tiles, with the charter and its trust policies beside them.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from fedtrace.client.mirror import EVIDENCE_FOLDER, evidence_files
from fedtrace.deploy.log_homes import (
    PLAN_FILE,
    PLANS,
    REVOCATION_FILE,
    LogHome,
    find_homes,
    read_cosigned,
    read_history,
    read_plans,
    read_stored,
)
from fedtrace.governance.charter import Charter
from fedtrace.governance.charter_history import CharterHistory
from fedtrace.governance.errors import Corrupt, Rejected
from fedtrace.governance.log.checkpoint import LogCheckpoint, parse_checkpoint
from fedtrace.governance.log.entries import decode_entry
from fedtrace.governance.log.merkle import MerkleTree, ProofError, leaf_hash
from fedtrace.governance.log.note import NoteError, parse_note
from fedtrace.governance.log.plans import named_plans
from fedtrace.governance.log.proof import (
    PROOF_LIMIT_BYTES,
    InclusionProof,
    parse_proof,
    verify_proof,
)
from fedtrace.governance.log.quorum import (
    POLICY_LIMIT_BYTES,
    QuorumError,
    TrustPolicy,
    parse_policy,
)
from fedtrace.governance.log.storage import CHECKPOINT, COSIGNED, read_limited
from fedtrace.governance.log.tiles import write_tiles
from fedtrace.governance.log.verify import Line, LogBytes, verify_log
from fedtrace.governance.witnessing import consortium_policy, school_origin, school_policy

POLICY = "trust.tlog-policy"
"""The trust policy in an export."""

_ASK = "Ask whoever gave it to you for another copy."


@dataclass(frozen=True, slots=True, kw_only=True)
class OneLog:
    """One verified log.

    Attributes:
        origin: whose it is.
        lines: its signed entries.
        tree: over them.
        note: its checkpoint.
        cosigned: a checkpoint of it with cosignatures, where there is one.
        policy: who signs it, and who must have witnessed it.
        charter: whose keys these are.
    """

    origin: str
    lines: list[bytes]
    tree: MerkleTree
    note: bytes
    cosigned: tuple[bytes, LogCheckpoint] | None
    policy: TrustPolicy
    charter: Charter


def prove_entry(path: Path, index: int) -> InclusionProof:
    """The proof of one entry of the log at a path, with the entry in it.

    The checkpoint is the cosigned one where that covers the entry, so that whoever checks the
    proof sees the witnesses too.

    Args:
        path: one home, one log's folder or one export.
        index: the entry's, from 0.

    Raises:
        ValueError: the path does not hold one log, or it has no such entry.
        Corrupt: the log is not whole.
    """
    log = read_one_log(path)
    size, note = len(log.lines), log.note
    if index >= size:
        raise ValueError(f"the log has entries 0 to {size - 1}; there is no entry {index}")
    if log.cosigned is not None and index < log.cosigned[1].size:
        note, size = log.cosigned[0], log.cosigned[1].size
    hashes = tuple(log.tree.inclusion_proof(index, size))
    return InclusionProof(index=index, hashes=hashes, note=note, extra=log.lines[index])


def check_proof(proof: Path, trust: Path) -> tuple[Line, ...]:
    """Check a proof without its log; total.

    Args:
        proof: a ``.tlog-proof`` file.
        trust: a charter, or a trust policy in C2SP's format.
    """
    try:
        data = _read(proof, PROOF_LIMIT_BYTES)
        read = parse_proof(data)
        origin = parse_checkpoint(parse_note(read.note)[0]).origin
        policy = _policy(trust, origin)
    except (ProofError, NoteError) as error:
        return (_failed("proof.format", f"{proof.name} is no proof: {error}. {_ASK}"),)
    except (OSError, ValueError, Rejected, Corrupt) as error:
        return (_failed("input", f"{error}."),)
    entry = read.extra
    if entry is None:
        sentence = f"{proof.name} does not hold the entry that it is about. {_ASK}"
        return (_failed("proof.entry", sentence),)
    try:
        witnessed = verify_proof(read, entry, policy)
    except NoteError as error:
        sentence = f"The checkpoint in {proof.name} cannot be believed: {error}."
        return (_failed(f"checkpoint.{error.check}", sentence),)
    except ProofError as error:
        return (_failed("proof.inclusion", f"{proof.name} does not show its entry: {error}."),)
    checkpoint = witnessed.checkpoint
    try:
        logged = decode_entry(entry, index=read.index, origin=origin)
    except Rejected as error:
        return (_failed(f"entry.{error.check}", f"{error.sentence}."),)
    sentence = (
        f"Entry {read.index} of {origin} is {logged.entry.type} of "
        f"{logged.time:%Y-%m-%d %H:%M:%S} UTC, and it is under the log's signed checkpoint of "
        f"{checkpoint.size} entries."
    )
    lines = [Line(status="PASS", check="proof.inclusion", sentence=sentence)]
    lines.append(_witness_line(policy, len(witnessed.times)))
    return tuple(lines)


def export_logs(path: Path, to: Path) -> int:
    """Write every log under a path as tiles, with the charter, trust policies and proofs of forks.

    What comes out has the folders that went in, without keys, records and databases: a school's
    home gives its own log and its copy of the consortium's, which can be held against each other.

    Args:
        path: a home, a folder of homes, one log's folder or one export.
        to: a folder that is not there yet.

    Returns:
        How many entries they have together.

    Raises:
        ValueError: there is no log at the path, or the charters differ.
        FileExistsError: the folder is there.
        Corrupt: a log is not whole; nothing was written.
    """
    homes, _ = find_homes(path)
    charters = read_history(homes)
    logs = [(home, _read_home(home, charters)) for home in homes]
    to.mkdir(parents=True)
    if len(logs) == 1:
        _write(logs[0][1], to)
        _write_plans(*logs[0], to)
        _write_charters(charters, to)
    else:
        for home, log in logs:
            folder = to / home.charter.parent.relative_to(path)
            _write(log, folder / home.log.name)
            _write_plans(home, log, folder)
            _write_charters(charters, folder)
            for proof in evidence_files(home.charter.parent):
                (folder / EVIDENCE_FOLDER).mkdir(exist_ok=True)
                shutil.copyfile(proof, folder / EVIDENCE_FOLDER / proof.name)
    return sum(len(log.lines) for _, log in logs)


def _write(log: OneLog, to: Path) -> None:
    note = log.note
    if log.cosigned is not None and log.cosigned[1].size == len(log.lines):
        note = log.cosigned[0]
    for name, content in write_tiles(log.lines):
        (to / name).parent.mkdir(parents=True, exist_ok=True)
        (to / name).write_bytes(content)
    (to / POLICY).write_text(log.policy.to_text(), encoding="utf-8")
    if log.cosigned is not None:
        (to / COSIGNED).write_bytes(log.cosigned[0])
    (to / CHECKPOINT).write_bytes(note)


def _write_charters(charters: CharterHistory, to: Path) -> None:
    for name, content in charters.files():
        (to / name).parent.mkdir(exist_ok=True)
        (to / name).write_bytes(content)


def _write_plans(home: LogHome, log: OneLog, to: Path) -> None:
    """The signed plans that a log names and their revocations, as far as they lie beside it."""
    entries = [
        decode_entry(line, index=index, origin=log.origin).entry
        for index, line in enumerate(log.lines)
    ]
    for plan_digest in named_plans([entries]):
        folder = to / PLANS / plan_digest.removeprefix("sha256:")
        for name in (PLAN_FILE, REVOCATION_FILE):
            for envelope in read_plans(home, plan_digest, name)[:1]:
                folder.mkdir(parents=True, exist_ok=True)
                (folder / name).write_bytes(envelope)


def read_one_log(path: Path) -> OneLog:
    """The one log at a path, verified.

    Raises:
        ValueError: there is none, or there are several.
        Corrupt: it is not whole.
    """
    homes, together = find_homes(path)
    homes = homes[-1:] if not together else homes  # of a school's home, its own log
    if len(homes) != 1:
        raise ValueError(f"{path} holds several logs: name one home, such as {path / 'consortium'}")
    return _read_home(homes[0], read_history(homes))


def _read_home(home: LogHome, charters: CharterHistory) -> OneLog:
    """One log, verified.

    Raises:
        Corrupt: it is not whole.
    """
    try:
        stored = read_stored(home.log)
        if stored.checkpoint is None:
            raise Corrupt(f"the log in {home.log} has no checkpoint")
        origin = parse_checkpoint(parse_note(stored.checkpoint)[0]).origin
    except NoteError as error:
        raise Corrupt(f"the checkpoint in {home.log} cannot be believed: {error}") from error
    charter = next(  # a member that left is in an earlier version only
        (
            each
            for each in reversed(charters.versions)
            if any(school_origin(each, member.name) == origin for member in each.members)
        ),
        charters.current,
    )
    policy = charter_trust(charter, origin)
    consortium = origin == charter.log.origin
    member = next((m for m in charter.members if school_origin(charter, m.name) == origin), None)
    verified = verify_log(
        LogBytes(
            name=f"the log {origin}",
            kind="consortium" if consortium else "school",
            origin=origin,
            public_key=member.log_public_key if member else charter.log.public_key,
            lines=stored.lines,
            torn=stored.torn_bytes,
            checkpoint=stored.checkpoint,
        )
    )
    if any(line.status == "FAIL" for line in verified.lines):
        raise Corrupt(verified.lines[-1].sentence)
    lines = stored.lines[: len(verified.entries)]
    tree = MerkleTree(leaf_hash(line) for line in lines)
    return OneLog(
        origin=origin,
        lines=lines,
        tree=tree,
        note=stored.checkpoint,
        cosigned=_cosigned(read_cosigned(home.log), policy, tree),
        policy=policy,
        charter=charter,
    )


def _cosigned(
    note: bytes | None, policy: TrustPolicy, tree: MerkleTree
) -> tuple[bytes, LogCheckpoint] | None:
    """The cosigned checkpoint where it is one of this tree."""
    if note is None:
        return None
    try:
        checkpoint = policy.open(note).checkpoint
    except NoteError:
        return None
    if checkpoint.size > len(tree) or tree.root(checkpoint.size) != checkpoint.root:
        raise Corrupt("the cosigned checkpoint is of another history than the log shows")
    return note, checkpoint


def charter_trust(charter: Charter, origin: str) -> TrustPolicy:
    """The trust policy of a charter for one of its logs.

    Raises:
        ValueError: the charter knows no such log.
    """
    if origin == charter.log.origin:
        return consortium_policy(charter)
    for member in charter.members:
        if school_origin(charter, member.name) == origin:
            return school_policy(charter, member)
    raise ValueError(f"the charter of {charter.consortium} knows no log {origin}")


def _policy(trust: Path, origin: str) -> TrustPolicy:
    """A trust policy from a charter or a policy file.

    Raises:
        ValueError: it is neither, or does not know that log.
    """
    data = _read(trust, max(POLICY_LIMIT_BYTES, Charter.limit_bytes))
    if data.lstrip().startswith(b"{"):
        return charter_trust(Charter.from_bytes(data), origin)
    try:
        return parse_policy(data)
    except QuorumError as error:
        raise ValueError(
            f"{trust.name} is neither a charter nor a trust policy: {error}"
        ) from error


def _witness_line(policy: TrustPolicy, cosigners: int) -> Line:
    liars = policy.may_collude()
    if not policy.witnesses:
        sentence = "Nobody witnesses this log: only its owner's signature vouches for it."
        return Line(status="WARN", check="proof.witnesses", sentence=sentence)
    sentence = f"{cosigners} of {len(policy.witnesses)} witnesses saw that checkpoint, a quorum. "
    if liars is None:
        sentence += "How many may lie depends on which of its groups they are in."
    elif liars < 0:
        sentence += "The quorum is so small that two histories could each get one."
        return Line(status="WARN", check="proof.witnesses", sentence=sentence)
    else:
        sentence += f"Nobody can be shown another history unless more than {liars} of them lie."
    return Line(status="PASS", check="proof.witnesses", sentence=sentence)


def _read(path: Path, limit_bytes: int) -> bytes:
    data = read_limited(path, limit_bytes)
    if data is None:
        raise FileNotFoundError(f"there is no {path}")
    return data


def _failed(check: str, sentence: str) -> Line:
    return Line(status="FAIL", check=check, sentence=sentence)
