"""add-checkpoint as a state machine: each status of the specification, and no second history."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field

import pytest
from support.logs import key_of, public
from support.witnesses import (
    ORIGIN,
    SEEN_AT,
    MemoryStore,
    ml_dsa_witness,
    note_of,
    tree_of,
    witness,
)

from fedtrace.governance.log.checkpoint import LogCheckpoint, sign_checkpoint
from fedtrace.governance.log.cosignature import cosignatures
from fedtrace.governance.log.merkle import EMPTY_ROOT, MerkleTree, leaf_hash
from fedtrace.governance.log.note import parse_signature_lines
from fedtrace.governance.log.witness import AddCheckpoint, Response, Witness, parse_add_checkpoint

TREE = tree_of(12)
FORK = MerkleTree(leaf_hash(b"other %d" % number) for number in range(12))
# The request of the tests of filippo.io/torchwood's witness, and the log's key in it.
THEIR_KEY = bytes.fromhex("52c05edad1bf5feffa81354faae59a655d9a9a1a793ed2f62c39c26c0be2aecd")
THEIR_ORIGIN = "sigsum.org/v1/tree/985ea163f5af026723561354f51f2ebcdcf2af809ce254ccfb64aa9aadd80f90"
THEIR_REQUEST = (
    f"old 0\n\n{THEIR_ORIGIN}\n1\nKgAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n\n"
    f"\u2014 {THEIR_ORIGIN} 7BKT0gOfNZ1J0So9unY3BZtm2YkPIoNYM/dce0Z2avJDs8dxN6ts9bOSwwrVrbjm6P9K3"
    "ZxpK6jJngOG6YvGGzV/lwo=\n"
).encode()
# The example request of c2sp.org/tlog-witness.
C2SP_REQUEST = (
    "old 20852014\n"
    "PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=\n"
    "jrJZDmY8Y7SyJE0MWLpLozkIVMSMZcD5kvuKxPC3swk=\n"
    "5+pKlUdi2LeF/BcMHBn+Ku6yhPGNCswZZD1X/6QgPd8=\n"
    "/6WVhPs2CwSsb5rYBH5cjHV/wSmA79abXAwhXw3Kj/0=\n\n"
    "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n"
    "\u2014 example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5"
    "/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n"
    "\u2014 example.com/behind-the-sofa opLqBQsREYCgu6xQkYQwJr9fo45a62DN9EdmHXnZdXNqlcVGlCum2Wks+4"
    "9/V6267UEjw6QUXTS5Rovnzv++qbSzm9Q=\n"
).encode()


@dataclass
class Scene:
    """One witness, and requests to it."""

    store: MemoryStore = field(default_factory=MemoryStore)

    def ask(self, old: int, new: int, *, tree: MerkleTree = TREE, proof: bool = True) -> Response:
        hashes = tree.consistency_proof(old, new) if proof and old else []
        return self.send(
            AddCheckpoint(old=old, proof=tuple(hashes), note=note_of(tree, size=new)).to_bytes()
        )

    def send(self, body: bytes) -> Response:
        logs = {ORIGIN: public(key_of(ORIGIN)), THEIR_ORIGIN: base64.b64encode(THEIR_KEY).decode()}
        answering = Witness(
            self.store, logs=logs, cosigners=[witness("w1"), ml_dsa_witness("w1-pq")]
        )
        return answering.add_checkpoint(body, now=SEEN_AT)


def test_a_witness_follows_a_log_as_it_grows() -> None:
    scene = Scene()
    for old, new in [(0, 3), (3, 3), (3, 8), (8, 12)]:
        response = scene.ask(old, new)
        assert response.status == 200
        note = note_of(TREE, size=new) + response.body
        keys = [witness("w1").verifier, ml_dsa_witness("w1-pq").verifier]
        assert cosignatures(note, keys) == {"w1": SEEN_AT, "w1-pq": SEEN_AT}
        assert len(parse_signature_lines(response.body)) == 2
    assert scene.store.kept[ORIGIN].size == 12


def test_the_published_request_is_answered() -> None:
    scene = Scene()
    response = scene.send(THEIR_REQUEST)
    assert response.status == 200
    assert response.body.startswith("\u2014 w1 ".encode())
    assert scene.store.kept[THEIR_ORIGIN].size == 1


def test_the_published_format_is_read_and_written() -> None:
    read = parse_add_checkpoint(C2SP_REQUEST)
    assert (read.old, len(read.proof)) == (20852014, 4)
    assert read.to_bytes() == C2SP_REQUEST


def test_an_old_size_that_is_not_the_last_is_a_conflict_that_names_it() -> None:
    scene = Scene()
    scene.ask(0, 5)
    for old, new in [(0, 8), (3, 8), (8, 12)]:
        response = scene.ask(old, new)
        assert (response.status, response.body) == (409, b"5\n")
        assert response.content_type == "text/x.tlog.size"
    assert scene.store.kept[ORIGIN].size == 5


def test_another_root_of_the_same_size_is_a_conflict_and_is_shown() -> None:
    scene = Scene()
    scene.ask(0, 5)
    response = scene.ask(5, 5, tree=FORK)
    assert (response.status, response.body[:4]) == (409, b"this")
    assert [each.root for each in scene.store.observed] == [TREE.root(5), FORK.root(5)]
    assert scene.store.kept[ORIGIN].root == TREE.root(5)


@pytest.mark.parametrize("tree", [TREE, FORK])
@pytest.mark.parametrize("proof", [True, False])
def test_no_proof_of_growth_is_unprocessable(tree: MerkleTree, proof: bool) -> None:
    if tree is TREE and proof:
        return
    scene = Scene()
    scene.ask(0, 5)
    assert scene.ask(5, 9, tree=tree, proof=proof).status == 422
    assert scene.store.kept[ORIGIN] == LogCheckpoint(origin=ORIGIN, size=5, root=TREE.root(5))


def test_a_proof_from_nothing_is_empty() -> None:
    body = AddCheckpoint(old=0, proof=(bytes(32),), note=note_of(TREE)).to_bytes()
    assert Scene().send(body).status == 422


def test_an_unknown_log_is_not_found() -> None:
    other = LogCheckpoint(origin="other/log", size=0, root=EMPTY_ROOT)
    note = sign_checkpoint(other, key_of("other/log"))
    assert Scene().send(AddCheckpoint(old=0, proof=(), note=note).to_bytes()).status == 404


def test_a_checkpoint_of_another_key_is_forbidden() -> None:
    forged = LogCheckpoint(origin=ORIGIN, size=3, root=TREE.root(3))
    note = sign_checkpoint(forged, key_of("somebody"))
    assert Scene().send(AddCheckpoint(old=0, proof=(), note=note).to_bytes()).status == 403


def test_an_old_size_above_the_checkpoint_is_a_bad_request() -> None:
    body = AddCheckpoint(old=4, proof=(), note=note_of(TREE, size=3)).to_bytes()
    assert Scene().send(body).status == 400


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"old 1",
        b"old 01\n\n" + note_of(TREE),
        b"old -1\n\n" + note_of(TREE),
        b"new 0\n\n" + note_of(TREE),
        b"old 0\nnot base64\n\n" + note_of(TREE),
        b"old 0\n\nno checkpoint\n",
        b"old 0\n" + b"PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=\n" * 64 + b"\n" + note_of(TREE),
        "old 0\u00e9\n\n".encode() + note_of(TREE),
        b"old 0\n\n" + b"x" * 2**20,
    ],
)
def test_what_is_no_request(body: bytes) -> None:
    assert Scene().send(body).status == 400
