"""A school's copy of the consortium's log: it grows, it is asked, and it is not deceived."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from support.gate import order_for, plan_with, signer
from support.logs import NOW, PLAN, RUN, charter_of, encode, key_of, note_over
from support.witnesses import SEEN_AT

from fedtrace.client.mirror import MIRROR_FOLDER, ConsortiumMirror, evidence_files, read_evidence
from fedtrace.governance.canonical import digest
from fedtrace.governance.errors import Corrupt
from fedtrace.governance.ledger import LedgerEntry, PrivacyEvent
from fedtrace.governance.log.checkpoint import open_checkpoint
from fedtrace.governance.log.cosignature import Ed25519Cosigner, cosignatures, cosigned
from fedtrace.governance.log.entries import (
    CharterAdopted,
    CharterChanged,
    Entry,
    Input,
    PlanActivated,
    RoundClosed,
    RoundOpened,
    UpdateReceived,
)
from fedtrace.governance.log.evidence import ForkEvidence, require_fork
from fedtrace.governance.log.merkle import MerkleTree, ProofError, leaf_hash
from fedtrace.governance.log.note import encode_base64, parse_note
from fedtrace.governance.log.storage import COSIGNED, read_log
from fedtrace.governance.log.witness import AddCheckpoint
from fedtrace.governance.orders import SignedOrder, open_order, sign_order
from fedtrace.governance.witnessing import LogView, consortium_policy

ORIGIN = "county/log"
SCHOOLS = ["school-1", "school-2", "school-3"]
CHARTER = charter_of(SCHOOLS)
ORDER = open_order(
    sign_order(
        order_for(plan_with(), {"plan_digest": PLAN, "run_id": RUN, "round": 2}),
        signer("aggregator"),
    ),
    signer("aggregator").public_key,
)
LEFT = digest(b"model 1")


def opened(order_digest: str, number: int) -> Entry:
    return RoundOpened(
        plan_digest=PLAN,
        run_id=RUN,
        round=number,
        kind="train",
        order_digest=order_digest,
        checkpoint_digest=LEFT,
        schools=tuple(SCHOOLS),
    )


STORY: list[Entry] = [
    CharterAdopted(charter_digest=CHARTER.digest()),
    PlanActivated(
        plan_digest=PLAN,
        signers=tuple(SCHOOLS),
        trust_mode="local",
        epsilon_job="8",
        delta="1e-05",
    ),
    opened(digest(b"order 1"), 1),
    UpdateReceived(
        plan_digest=PLAN, run_id=RUN, round=1, kind="train", school="school-1", digest=LEFT
    ),
    RoundClosed(
        plan_digest=PLAN,
        run_id=RUN,
        round=1,
        kind="train",
        inputs=(Input(school="school-1", digest=LEFT),),
        output_digest=LEFT,
        rule="adam",
        clipping_norm="1",
        noise_multiplier="2",
        sampling_rate="0.5",
    ),
    opened(ORDER.digest, 2),
]
LINES = encode(STORY, ORIGIN)
OTHER_LINES = encode([*STORY[:2], opened(digest(b"another"), 1), *STORY[3:]], ORIGIN)
SPENT = LedgerEntry(
    event=PrivacyEvent(
        plan_digest=PLAN,
        run_id=RUN,
        round=1,
        kind="train",
        noise_multiplier=2.0,
        sampling_rate=0.5,
        count=1,
        trust_mode="local",
        student_year="2026/27",
    )
)


@dataclass
class Scene:
    """The mirror of school-1, and what is sent to it."""

    home: Path
    mirrors: list[ConsortiumMirror] = field(default_factory=list)

    def open(self) -> ConsortiumMirror:
        """As a fresh process would."""
        self.close()
        mirror = ConsortiumMirror(
            self.home, charter=CHARTER, school="school-1", key=key_of("county/schools/school-1")
        )
        self.mirrors.append(mirror)
        return mirror

    def close(self) -> None:
        for mirror in self.mirrors:
            mirror.close()

    def send(
        self, old: int, new: int, lines: list[bytes] = LINES, **parts: bytes
    ) -> tuple[int, bytes]:
        """Status and body of what it answers to growth from ``old`` to ``new``."""
        mirror = self.mirrors[-1] if self.mirrors else self.open()
        tree = MerkleTree(map(leaf_hash, lines[:new]))
        proof = tuple(tree.consistency_proof(old, new)) if old else ()
        body = AddCheckpoint(old=old, proof=proof, note=note_over(lines[:new], ORIGIN)).to_bytes()
        entries = b"".join(line + b"\n" for line in lines[old:new])
        reply = mirror.witness({"add-checkpoint": body, "entries": entries, **parts}, now=SEEN_AT)
        return int(reply["status"]), reply["body"]

    def view(self, note: bytes, *, ledger: tuple[LedgerEntry, ...] = (SPENT,)) -> LogView:
        return self.mirrors[-1].view(ORDER, note, ledger=ledger)


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    made = Scene(tmp_path)
    yield made
    made.close()


def witnessed(lines: list[bytes], *schools: str) -> bytes:
    note = note_over(lines, ORIGIN)
    return cosigned(
        note,
        [
            Ed25519Cosigner(f"county/schools/{name}", key_of(f"county/schools/{name}")).cosign(
                parse_note(note)[0], now=SEEN_AT
            )
            for name in schools
        ],
    )


def test_what_is_cosigned_is_mirrored_whole(scene: Scene) -> None:
    for old, new in [(0, 2), (2, 2), (2, 6)]:
        status, body = scene.send(old, new)
        assert status == 200
        note = note_over(LINES[:new], ORIGIN) + body
        witnesses = consortium_policy(CHARTER).witnesses.values()
        assert cosignatures(note, witnesses) == {"county/schools/school-1": SEEN_AT}
    stored = read_log(scene.home / MIRROR_FOLDER)
    assert stored.lines == LINES
    assert stored.checkpoint == note_over(LINES, ORIGIN)
    scene.open()
    assert scene.send(0, 6) == (409, b"6\n")
    assert scene.send(6, 6)[0] == 200


def test_an_order_that_is_logged_and_witnessed_may_be_answered(scene: Scene) -> None:
    scene.send(0, 6)
    expected = LogView(witnessed=True, plan_activated=True, order_opened=True, closed_with=LEFT)
    assert scene.view(witnessed(LINES, "school-1", "school-2")) == expected
    # It has cosigned what it holds, whether or not the note repeats it.
    assert scene.view(witnessed(LINES, "school-3")) == expected
    scene.open()
    assert scene.view(witnessed(LINES, "school-2", "school-3")) == expected


@pytest.mark.parametrize(
    "note",
    [
        b"",
        b"nonsense",
        note_over(LINES, ORIGIN),
        witnessed(LINES, "school-1"),
        witnessed(LINES[:5], "school-2", "school-3"),
        witnessed(OTHER_LINES, "school-2", "school-3"),
        witnessed([*LINES, LINES[0]], "school-2", "school-3"),
        witnessed(LINES, "school-2", "school-3").replace(b"county/log", b"county/lag", 1),
    ],
    ids=["none", "nonsense", "alone", "itself", "before", "other history", "unseen", "other log"],
)
def test_a_checkpoint_that_is_not_enough(scene: Scene, note: bytes) -> None:
    scene.send(0, 6)
    assert not scene.view(note).witnessed


def test_an_order_that_the_log_does_not_have(scene: Scene) -> None:
    scene.send(0, 1)
    view = scene.view(witnessed(LINES[:1], "school-2", "school-3"))
    assert view == LogView()
    scene.send(1, 5)
    view = scene.view(witnessed(LINES[:5], "school-2", "school-3"))
    assert view == LogView(plan_activated=True, closed_with=LEFT)


NOW_ON = CHARTER.digest()
NEXT, LAST = digest(b"charter 2"), digest(b"charter 3")


def step(before: str, after: str, version: int = 2) -> Entry:
    return CharterChanged(
        charter_digest=after, previous_digest=before, version=version, signers=tuple(SCHOOLS)
    )


@pytest.mark.parametrize(
    ("told", "other"),
    [
        ([CharterAdopted(charter_digest=NOW_ON)], False),
        ([CharterAdopted(charter_digest=NEXT)], True),
        ([CharterAdopted(charter_digest=NEXT), step(NEXT, NOW_ON)], False),
        ([CharterAdopted(charter_digest=NOW_ON), step(NOW_ON, NEXT)], True),
        ([CharterAdopted(charter_digest=NOW_ON), step(NOW_ON, NEXT), step(NEXT, NOW_ON)], True),
        ([CharterAdopted(charter_digest=NEXT), step(LAST, NOW_ON)], True),
        ([CharterAdopted(charter_digest=NEXT), CharterAdopted(charter_digest=NOW_ON)], True),
    ],
    ids=["this", "another", "since", "newer", "led back", "left out", "founded again"],
)
def test_a_log_cannot_lead_back_to_the_charter_that_a_school_has(
    scene: Scene, told: list[Entry], other: bool
) -> None:
    lines = encode(told, ORIGIN)
    scene.send(0, len(lines), lines)
    assert scene.view(witnessed(lines, *SCHOOLS)).other_charter is other
    scene.open()
    assert scene.view(witnessed(lines, *SCHOOLS)).other_charter is other


def test_a_school_that_forgot_what_it_answered_was_restored(scene: Scene) -> None:
    scene.send(0, 6)
    assert scene.view(witnessed(LINES, "school-2"), ledger=()).rolled_back


def test_entries_that_do_not_lead_to_the_checkpoint_are_not_kept(scene: Scene) -> None:
    scene.send(0, 2)
    wrong = b"".join(line + b"\n" for line in OTHER_LINES[2:6])
    for entries in (b"", wrong, b"\n".join(LINES[2:6]), b"x\n" * 4, b"".join(LINES[2:5]) + b"\n"):
        assert scene.send(2, 6, entries=entries)[0] == 422
    assert read_log(scene.home / MIRROR_FOLDER).lines == LINES[:2]
    assert scene.send(2, 6)[0] == 200


@pytest.mark.parametrize("size", [3, 5, 6])
def test_a_second_history_is_kept_as_proof_and_ends_everything(scene: Scene, size: int) -> None:
    scene.send(0, 6)
    note = note_over(OTHER_LINES[:size], ORIGIN)
    body = AddCheckpoint(old=size, proof=(), note=note).to_bytes()
    reply = scene.mirrors[-1].witness({"add-checkpoint": body}, now=SEEN_AT)
    assert reply["status"] == b"409"
    (path,) = evidence_files(scene.home)
    ours, theirs = require_fork(
        read_evidence(path), origin=ORIGIN, public_key=CHARTER.log.public_key
    )
    assert (ours.size, theirs.size) == (6, size)
    assert scene.view(witnessed(LINES, "school-2", "school-3")).forked


def test_an_older_checkpoint_of_the_same_history_is_no_proof(scene: Scene) -> None:
    scene.send(0, 6)
    scene.send(3, 5)
    assert evidence_files(scene.home) == []
    tree = MerkleTree(map(leaf_hash, LINES))
    honest = ForkEvidence(
        ours=note_over(LINES, ORIGIN).decode(),
        theirs=note_over(LINES[:3], ORIGIN).decode(),
        root=open_root(LINES[:3]),
        proof=tuple(as_text(tree.consistency_proof(3, 6))),
        seen_at=NOW,
    )
    with pytest.raises(ProofError, match="do not contradict"):
        require_fork(honest, origin=ORIGIN, public_key=CHARTER.log.public_key)


def open_root(lines: list[bytes]) -> str:
    checkpoint = open_checkpoint(
        note_over(lines, ORIGIN), origin=ORIGIN, public_key=CHARTER.log.public_key
    )
    return as_text([checkpoint.root])[0]


def as_text(hashes: list[bytes]) -> list[str]:
    return [encode_base64(each) for each in hashes]


@pytest.mark.parametrize(
    "damage",
    [
        lambda log: (log / "entries.jsonl").write_bytes(b""),
        lambda log: (log / "entries.jsonl").write_bytes(b"".join(x + b"\n" for x in OTHER_LINES)),
        lambda log: (log / "checkpoint").write_bytes(b"no note"),
        lambda log: (log / "checkpoint").write_bytes(note_over(LINES, ORIGIN, key_of("x"))),
    ],
    ids=["cut", "changed", "no checkpoint", "foreign checkpoint"],
)
def test_a_damaged_copy_stays_closed(scene: Scene, damage: Callable[[Path], object]) -> None:
    scene.send(0, 6)
    scene.open()
    damage(scene.home / MIRROR_FOLDER)
    with pytest.raises(Corrupt, match="the copy of the consortium's log"):
        scene.send(6, 6)
    with pytest.raises(Corrupt):
        scene.view(witnessed(LINES, "school-2"))


def test_what_a_crash_left_behind_is_dropped(scene: Scene) -> None:
    scene.send(0, 5)
    scene.open()
    entries = scene.home / MIRROR_FOLDER / "entries.jsonl"
    entries.write_bytes(entries.read_bytes() + LINES[5] + b"\n" + b"torn")
    assert scene.send(5, 6)[0] == 200
    assert read_log(scene.home / MIRROR_FOLDER).lines == LINES


def test_a_write_that_fails_is_not_cosigned_and_can_be_tried_again(scene: Scene) -> None:
    scene.send(0, 2)
    folder = scene.home / MIRROR_FOLDER
    (folder / "checkpoint.tmp").mkdir()
    with pytest.raises(IsADirectoryError):
        scene.send(2, 6)
    (folder / "checkpoint.tmp").rmdir()
    assert scene.send(2, 6)[0] == 200
    assert not (folder / COSIGNED).exists()


def test_its_signed_order_is_the_one_of_the_story() -> None:
    assert isinstance(ORDER, SignedOrder)
    assert repr(ConsortiumMirror(Path(), charter=CHARTER, school="school-1", key=key_of("k"))) == (
        "ConsortiumMirror(school-1)"
    )
