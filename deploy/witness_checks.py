"""What witnesses say about the consortium's log: cosignatures, copies, and proofs of two histories.

================  ==================================================================================
``log.witnesses``  a quorum cosigned the log, and what they cosigned is a beginning of what is here
``log.mirrors``    each school's own copy is a beginning of the consortium's log
``log.fork``       no school holds a proof that the log's key signed two histories
================  ==================================================================================
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from fedtrace.client.mirror import MIRROR_FOLDER, evidence_files, read_evidence
from fedtrace.deploy.log_homes import is_beginning, read_cosigned, read_stored
from fedtrace.governance.charter import Charter
from fedtrace.governance.errors import Corrupt, Rejected
from fedtrace.governance.log.checkpoint import parse_checkpoint
from fedtrace.governance.log.evidence import require_fork
from fedtrace.governance.log.merkle import ProofError, root_of
from fedtrace.governance.log.note import NoteError, parse_note
from fedtrace.governance.log.verify import Line
from fedtrace.governance.witnessing import consortium_policy, tolerated_liars, witness_quorum

_KEEP = "Keep both as they are, and tell the privacy officer and the other members."


def check_witnesses(
    log: Path, lines: Sequence[bytes], charter_at: Callable[[int], Charter]
) -> Line:
    """A quorum has cosigned the consortium's log; total.

    Args:
        log: its folder.
        lines: its signed entries, verified.
        charter_at: the version of the charter after so many entries: whose cosignatures count.
    """
    charter = charter_at(len(lines))
    try:
        note = read_cosigned(log)
        if note is not None:
            charter = charter_at(parse_checkpoint(parse_note(note)[0]).size)
        seen = None if note is None else consortium_policy(charter).seen(note)
    except NoteError as error:
        sentence = f"The cosigned checkpoint of the consortium's log cannot be believed: {error}."
        return Line(status="FAIL", check="log.witnesses", sentence=sentence)
    except (Corrupt, OSError) as error:
        sentence = f"The cosigned checkpoint cannot be read: {error}."
        return Line(status="FAIL", check="log.witnesses", sentence=sentence)
    if seen is None and not any(b'"type":"round.opened"' in line for line in lines):
        sentence = "No witness has cosigned the consortium's log yet, and no round rests on it."
        return Line(status="PASS", check="log.witnesses", sentence=sentence)
    if seen is None:
        sentence = (
            "No witness has cosigned the consortium's log yet, so its owner could still show "
            "another one to somebody else."
        )
        return Line(status="WARN", check="log.witnesses", sentence=sentence)
    size, root = seen.checkpoint.size, seen.checkpoint.root
    if size > len(lines) or root_of(lines[:size]) != root:
        sentence = (
            f"{', '.join(sorted(seen.times))} cosigned another history of the consortium's log "
            f"than the one that is here. {_KEEP}"
        )
        return Line(status="FAIL", check="log.witnesses", sentence=sentence)
    members, quorum = len(charter.members), witness_quorum(charter)
    sentence = (
        f"{len(seen.times)} of {members} members cosigned the first {size} of {len(lines)} entries "
        f"of the consortium's log, where {quorum} are needed. "
    )
    liars = tolerated_liars(charter)
    if len(seen.times) < quorum or liars < 0:
        sentence += "That is too few to rule out that somebody else was shown another log."
        return Line(status="WARN", check="log.witnesses", sentence=sentence)
    sentence += f"Nobody can have been shown another log unless more than {liars} of them lie."
    return Line(status="PASS", check="log.witnesses", sentence=sentence)


def check_mirrors(homes: Mapping[str, Path], lines: Sequence[bytes] | None) -> Iterator[Line]:
    """Each school's copy is a beginning of the consortium's log; total.

    Args:
        homes: school -> its home.
        lines: the consortium's log, verified; None where it is not at hand.
    """
    whole, longest = 0, 0
    for school, home in sorted(homes.items()):
        if lines is None or not (home / MIRROR_FOLDER).is_dir():
            continue
        try:
            copy = read_stored(home / MIRROR_FOLDER).lines
        except (Corrupt, NoteError, OSError) as error:
            sentence = f"The copy of the consortium's log in {school} cannot be read: {error}."
            yield Line(status="FAIL", check="log.mirrors", sentence=sentence)
            continue
        if not is_beginning(copy, lines):
            sentence = (
                f"The copy of the consortium's log in {school} is not the log that is here: one of "
                f"them was changed, or cut short. {_KEEP}"
            )
            yield Line(status="FAIL", check="log.mirrors", sentence=sentence)
            continue
        whole, longest = whole + 1, max(longest, len(copy))
    if whole:
        sentence = (
            f"The copies of the consortium's log in {whole} schools, of up to {longest} entries, "
            "agree with it."
        )
        yield Line(status="PASS", check="log.mirrors", sentence=sentence)


def check_forks(homes: Mapping[str, Path], charter: Charter) -> Iterator[Line]:
    """No home holds a proof of two histories; one that proves nothing is told; total."""
    for school, home in sorted(homes.items()):
        for path in evidence_files(home):
            try:
                ours, theirs = require_fork(
                    read_evidence(path),
                    origin=charter.log.origin,
                    public_key=charter.log.public_key,
                )
            except (Rejected, NoteError, ProofError, OSError) as error:
                sentence = f"{path.name} in {school} should prove a fork and does not: {error}."
                yield Line(status="WARN", check="log.fork", sentence=sentence)
                continue
            sentence = (
                f"The key of the consortium's log signed two histories: {school} was shown one of "
                f"{ours.size} entries and another of {theirs.size}. The proof is {path.name}. "
                f"{_KEEP}"
            )
            yield Line(status="FAIL", check="log.fork", sentence=sentence)
