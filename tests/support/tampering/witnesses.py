"""What witnesses signed, and what it is put under."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from support.logs import (
    NOW,
    encode,
    key_of,
    note_over,
    tell_story,
    write_lines,
)
from support.tampering.tools import ORIGIN, Tampering, change_note, log_of

from fedtrace.governance.log.checkpoint import LogCheckpoint, sign_checkpoint
from fedtrace.governance.log.cosignature import Ed25519Cosigner, cosigned
from fedtrace.governance.log.evidence import collect_evidence
from fedtrace.governance.log.merkle import MerkleTree, leaf_hash
from fedtrace.governance.log.note import parse_note
from fedtrace.governance.log.storage import CHECKPOINT, COSIGNED


def _cosigned_by(demo: Path, lines: Callable[[list[bytes]], list[bytes]]) -> None:
    def change(note: bytes) -> bytes:
        text, _, signatures = note.partition(b"\n\n")
        return text + b"\n\n" + b"".join(lines(signatures.splitlines(keepends=True)))

    change_note(demo, change, COSIGNED)


def a_cosignature_changed(demo: Path) -> None:
    _cosigned_by(
        demo, lambda lines: [lines[0], lines[1][:-20] + bytes([lines[1][-20] ^ 1]) + lines[1][-19:]]
    )


def one_witness_of_three(demo: Path) -> None:
    _cosigned_by(demo, lambda lines: lines[:2])


def one_witness_three_times(demo: Path) -> None:
    _cosigned_by(demo, lambda lines: [lines[0], lines[1], lines[1], lines[1]])


def a_cosignature_under_anothers_name(demo: Path) -> None:
    """One witness's signature with another's name: its key id does not fit the name."""
    _cosigned_by(
        demo,
        lambda lines: [
            *lines[:2],
            lines[1].replace(b"/school-1 ", b"/school-2 "),
            lines[1].replace(b"/school-1 ", b"/school-3 "),
        ],
    )


def cosignatures_of_an_older_checkpoint(demo: Path) -> None:
    """Stale lines under the newest text: each was given, for something else."""
    story = tell_story()
    old = note_over(encode(story.consortium[:10], ORIGIN), ORIGIN)
    stale = [
        Ed25519Cosigner(f"county/schools/{name}", key_of(f"county/schools/{name}")).cosign(
            parse_note(old)[0], now=NOW
        )
        for name in story.schools
    ]
    newest = (log_of(demo) / CHECKPOINT).read_bytes()
    (log_of(demo) / COSIGNED).write_bytes(cosigned(newest, stale))


def nobody_cosigned(demo: Path) -> None:
    (log_of(demo) / COSIGNED).unlink()


def a_log_of_another_root_cosigned(demo: Path) -> None:
    other = sign_checkpoint(
        LogCheckpoint(origin=ORIGIN, size=20, root=b"\x11" * 32), key_of(ORIGIN)
    )
    (log_of(demo) / COSIGNED).write_bytes(other)
    story = tell_story()
    lines = [
        Ed25519Cosigner(f"county/schools/{name}", key_of(f"county/schools/{name}")).cosign(
            parse_note(other)[0], now=NOW
        )
        for name in story.schools
    ]
    (log_of(demo) / COSIGNED).write_bytes(cosigned(other, lines))


def _mirror(demo: Path, school: str, entries: Sequence[bytes]) -> None:
    copy = demo / "schools" / school / "consortium-log"
    copy.mkdir()
    write_lines(copy, entries, ORIGIN)


def a_copy_that_says_something_else(demo: Path) -> None:
    lines = encode(tell_story().consortium, ORIGIN)
    _mirror(demo, "school-2", [line.replace(b'"rule":"adam"', b'"rule":"sgd"') for line in lines])


def a_copy_that_has_more(demo: Path) -> None:
    """The consortium cut its log, and had it cosigned anew by schools that never looked."""
    lines = encode(tell_story().consortium, ORIGIN)
    _mirror(demo, "school-1", [*lines, lines[-1]])


def two_histories_proven(demo: Path) -> None:
    lines = encode(tell_story().consortium, ORIGIN)
    other = [*lines[:5], lines[6], lines[5], *lines[7:]]
    evidence = collect_evidence(
        MerkleTree(map(leaf_hash, lines)),
        note_over(lines, ORIGIN),
        note_over(other, ORIGIN),
        size=len(lines),
        now=NOW,
    )
    folder = demo / "schools" / "school-2" / "evidence"
    folder.mkdir()
    (folder / "fork-20-aa.json").write_bytes(evidence.to_bytes())


def a_proof_that_proves_nothing(demo: Path) -> None:
    folder = demo / "schools" / "school-2" / "evidence"
    folder.mkdir()
    (folder / "fork-20-aa.json").write_bytes(b"{}")


TAMPERINGS: tuple[Tampering, ...] = (
    Tampering(act=a_cosignature_changed, fails=("log.witnesses",)),
    Tampering(act=one_witness_of_three, warns=("log.witnesses",)),
    Tampering(act=one_witness_three_times, warns=("log.witnesses",)),
    Tampering(act=a_cosignature_under_anothers_name, warns=("log.witnesses",)),
    Tampering(act=cosignatures_of_an_older_checkpoint, fails=("log.witnesses",)),
    Tampering(act=nobody_cosigned, warns=("log.witnesses",)),
    Tampering(act=a_log_of_another_root_cosigned, fails=("log.witnesses",)),
    Tampering(act=a_copy_that_says_something_else, fails=("log.mirrors",)),
    Tampering(act=a_copy_that_has_more, fails=("log.mirrors",)),
    Tampering(act=two_histories_proven, fails=("log.fork",)),
    Tampering(act=a_proof_that_proves_nothing, warns=("log.fork",)),
)
