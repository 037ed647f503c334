"""The tamper corpus, second part: owners who sign what they changed, and witnesses who go along."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from support.bundles import (
    CONSORTIUM,
    ORIGINS,
    SCHOOL,
    Files,
    agree,
    honest,
    lines_of,
    sign_lines,
    told,
)
from support.logs import NOW, Story, encode, note_over, tell_story
from support.tampering import (
    LOG,
    all_sign,
    cosigned_by,
    edit,
    entry,
    flip_cosignature,
    replayed_cosignature,
    tampering,
)

from fedtrace.client.mirror import MIRROR_FOLDER
from fedtrace.governance.canonical import digest
from fedtrace.governance.log.entries import Entry, RoundClosed, encode_entry
from fedtrace.governance.log.evidence import collect_evidence
from fedtrace.governance.log.merkle import MerkleTree, leaf_hash


def _rolled_back(home: str, entries: int) -> Files:
    files = honest()
    return sign_lines(files, home, lines_of(files, home)[:entries])


def _appended(entry: Entry) -> Files:
    story = tell_story()
    return agree(honest(), encode([*story.consortium, entry], ORIGINS[CONSORTIUM]))


def _backdated() -> Files:
    lines = lines_of(honest(), CONSORTIUM)
    entry = tell_story().consortium[-1]
    late = encode_entry(
        entry, index=len(lines) - 1, origin=ORIGINS[CONSORTIUM], now=NOW - timedelta(days=400)
    )
    return agree(honest(), [*lines[:-1], late])


def _another_history() -> list[bytes]:
    lines = lines_of(honest(), CONSORTIUM)
    return [line.replace(b'"rule":"adam"', b'"rule":"sgd"') for line in lines]


def _fork(evidence: bool) -> Files:
    files = honest()
    lines = lines_of(files, CONSORTIUM)
    found = collect_evidence(
        MerkleTree(map(leaf_hash, lines)),
        note_over(lines, ORIGINS[CONSORTIUM]),
        note_over(_another_history(), ORIGINS[CONSORTIUM]),
        size=len(lines),
        now=NOW,
    )
    files[f"{SCHOOL}/evidence/fork-20-aa.json"] = found.to_bytes() if evidence else b"{}"
    return files


def _other_mirror() -> Files:
    files = honest()
    lines = _another_history()
    files[f"{SCHOOL}/{MIRROR_FOLDER}/entries.jsonl"] = b"".join(each + b"\n" for each in lines)
    files[f"{SCHOOL}/{MIRROR_FOLDER}/checkpoint"] = note_over(lines, ORIGINS[CONSORTIUM])
    return files


def _witnesses_saw_another_history() -> Files:
    """The owner rewrites; the copies in the schools are gone, only cosignatures are left."""
    files = honest()
    sign_lines(files, CONSORTIUM, _another_history())
    return {name: content for name, content in files.items() if MIRROR_FOLDER not in name}


def _change(log: str, index: int, **fields: object) -> Callable[[], Files]:
    """Everybody signs a story in which one entry says something else."""

    def change(story: Story) -> None:
        entries = story.consortium if log == "consortium" else story.schools[log]
        entries[index] = entries[index].model_copy(update=fields)

    return lambda: told(change)


def _drop(log: str, *indices: int) -> Callable[[], Files]:
    def change(story: Story) -> None:
        entries = story.consortium if log == "consortium" else story.schools[log]
        entries[:] = [each for index, each in enumerate(entries) if index not in indices]

    return lambda: told(change)


def _sum_twice(story: Story) -> None:
    closed = story.consortium[7]
    assert isinstance(closed, RoundClosed)
    inputs = (*closed.inputs, closed.inputs[0])
    story.consortium[7] = closed.model_copy(update={"inputs": inputs})


def _keep_quiet(story: Story) -> None:
    sent = story.schools["school-1"][4]
    story.schools["school-1"].append(sent.model_copy(update={"digest": digest(b"kept quiet")}))


SHAPES = (
    tampering(
        "a valid entry longer than a log takes",
        "entry.size",
        lambda: all_sign(entry(3, b'["school-1"', b'["school-1"' + b',"school-1"' * 800)),
    ),
    tampering(
        "an entry with a word that its type does not have",
        "entry.schema",
        lambda: all_sign(entry(18, b'"rounds":2', b'"remark":"as agreed","rounds":2')),
    ),
    tampering(
        "an entry with a student's token in it",
        "entry.schema",
        lambda: all_sign(entry(18, b'"completed"', b'"student-4711"')),
    ),
    tampering(
        "an entry of an unknown type",
        "entry.type",
        lambda: all_sign(entry(18, b'"run.closed"', b'"run.approved"')),
    ),
    tampering(
        "an entry that says it stands elsewhere",
        "entry.index",
        lambda: all_sign(entry(5, b'"id":"5"', b'"id":"6"')),
    ),
    tampering(
        "an entry of another log",
        "entry.origin",
        lambda: all_sign(entry(5, b'"county/log"', b'"state/log"')),
    ),
    tampering(
        "an entry on a day that there is not",
        "entry.envelope",
        lambda: all_sign(entry(5, b"2026-09-01T", b"2026-02-31T")),
    ),
    tampering(
        "an entry with a space in it",
        "entry.canonical",
        lambda: all_sign(entry(18, b'"rounds":2', b'"rounds": 2')),
    ),
    tampering(
        "an entry with a key twice",
        "entry.canonical",
        lambda: all_sign(entry(18, b'"rounds":2', b'"rounds":1,"rounds":2')),
    ),
    tampering(
        "an entry with an escaped letter",
        "entry.canonical",
        lambda: all_sign(entry(18, b'"run-1"', b'"\\u0072un-1"')),
    ),
    tampering(
        "an entry that is not JSON",
        "entry.json",
        lambda: all_sign(lambda lines: [*lines[:-1], b"and they all agreed"]),
    ),
    tampering(
        "an entry of 9,000 bytes",
        "entry.size",
        lambda: all_sign(lambda lines: [*lines[:-1], b"x" * 9000]),
    ),
    tampering(
        "an entry of a school in the consortium's log",
        "log.kind",
        lambda: _appended(tell_story().schools["school-1"][1]),
    ),
    tampering("an entry dated before the one above it", "log.time", _backdated, warns=True),
)

WITNESSES = (
    tampering(
        "a history changed that witnesses had cosigned",
        "log.witnesses",
        _witnesses_saw_another_history,
    ),
    tampering("a bit of a cosignature flipped", "log.witnesses", flip_cosignature),
    tampering("cosignatures of an older checkpoint", "log.witnesses", replayed_cosignature),
    tampering("too few cosignatures", "log.witnesses", lambda: cosigned_by(1), warns=True),
    tampering("a school's copy of the log is another log", "log.mirrors", _other_mirror),
    tampering("two histories signed", "log.fork", lambda: _fork(evidence=True)),
    tampering("a proof of a fork made worthless", "log.fork", lambda: _fork(False), warns=True),
    tampering(
        "cosignatures with the consortium's name cut off",
        "log.witnesses",
        edit(f"{LOG}/cosigned", b"county/log\n20", b"state/log\n20"),
    ),
    tampering(
        "the consortium's log rolled back with its checkpoint",
        "log.witnesses",
        lambda: _rolled_back(CONSORTIUM, 12),
    ),
)

COLLUSION = (
    tampering(
        "a plan that one school had signed",
        "rounds.plan",
        _change("consortium", 1, signers=("school-1",)),
    ),
    tampering(
        "a plan signed by names that the charter does not have",
        "rounds.plan",
        _change("consortium", 1, signers=("school-8", "school-9")),
    ),
    tampering(
        "a round of a plan that nobody activated",
        "rounds.plan",
        _drop("consortium", 1),
    ),
    tampering(
        "a checkpoint exchanged between two rounds",
        "rounds.checkpoint",
        _change("consortium", 8, checkpoint_digest=digest(b"other")),
    ),
    tampering(
        "another model released than was judged",
        "rounds.checkpoint",
        _change("consortium", 19, digest=digest(b"other")),
    ),
    tampering("an update left out of the sum", "rounds.inputs", _drop("consortium", 5)),
    tampering(
        "less noise than the schools reserved for",
        "rounds.privacy",
        _change("consortium", 7, noise_multiplier="2.4"),
    ),
    tampering(
        "a plan that promised a smaller epsilon than was spent",
        "epsilon.recomputed",
        _change("consortium", 1, epsilon_job="0.5"),
    ),
    tampering("a school that never accepted the plan", "plans.accepted", _drop("school-1", 2)),
    tampering("an update sent without a reservation", "updates.reserved", _drop("school-1", 3)),
    tampering(
        "a school's log rolled back with its checkpoint",
        "updates.sent",
        lambda: _rolled_back(SCHOOL, 7),
    ),
    tampering(
        "an update that a school sent exchanged",
        "updates.sent",
        _change("school-1", 4, digest=digest(b"other")),
    ),
    tampering(
        "an update summed twice",
        "rounds.inputs",
        lambda: told(_sum_twice),
    ),
    tampering(
        "an update kept quiet about",
        "updates.received",
        lambda: told(_keep_quiet),
        warns=True,
    ),
)
