"""Inclusion proofs in a file: written, read back, and every way in which one is refused."""

from __future__ import annotations

import pytest
from support.witnesses import entries, note_of, policy, tree_of

from fedtrace.governance.log.merkle import ProofError
from fedtrace.governance.log.note import NoteError
from fedtrace.governance.log.proof import InclusionProof, parse_proof, verify_proof

SIZE, INDEX = 11, 6
TREE = tree_of(SIZE)
ENTRY = entries(SIZE)[INDEX]
PROOF = InclusionProof(
    index=INDEX,
    hashes=tuple(TREE.inclusion_proof(INDEX, SIZE)),
    note=note_of(TREE, "w1", "w2"),
    extra=ENTRY,
)
HASH = "gSKyXoYZUgZ6jduWYrkDOARinOMGJveXjgMkBTcdPlQ="


def test_what_is_written_is_read_and_verifies() -> None:
    read = parse_proof(PROOF.to_bytes())
    assert read == PROOF
    assert verify_proof(read, ENTRY, policy()).checkpoint.size == SIZE


def test_the_bytes_are_those_of_the_specification() -> None:
    plain = InclusionProof(index=5, hashes=(b"a" * 32,), note=b"test checkpoint\n")
    encoded = b"YWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWE="
    assert plain.to_bytes() == (
        b"c2sp.org/tlog-proof@v1\nindex 5\n" + encoded + b"\n\ntest checkpoint\n"
    )
    extra = InclusionProof(index=0, hashes=(), note=b"checkpoint\n", extra=b"extra information")
    assert extra.to_bytes() == (
        b"c2sp.org/tlog-proof@v1\nextra ZXh0cmEgaW5mb3JtYXRpb24=\nindex 0\n\ncheckpoint\n"
    )


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"not a proof at all",
        b"c2sp.org/tlog-proof@v1\n",
        b"c2sp.org/tlog-proof@v2\nindex 0\n\ncheckpoint\n",
        b"c2sp.org/tlog-proof@v1\nindex notanumber\n\ncheckpoint\n",
        b"c2sp.org/tlog-proof@v1\nindex 01\n\ncheckpoint\n",
        b"c2sp.org/tlog-proof@v1\nindex -1\n\ncheckpoint\n",
        b"c2sp.org/tlog-proof@v1\n\ncheckpoint\n",
        b"c2sp.org/tlog-proof@v1\nextra !!notbase64!!\nindex 0\n\ncheckpoint\n",
        b"c2sp.org/tlog-proof@v1\nindex 0\nextra YQ==\n\ncheckpoint\n",
        b"c2sp.org/tlog-proof@v1\nindex 0\nYWJj\n\ncheckpoint\n",
        b"c2sp.org/tlog-proof@v1\r\nindex 0\n\ncheckpoint\n",
        "c2sp.org/tlog-proof@v1\nindex \u0661\n\ncheckpoint\n".encode(),
        f"c2sp.org/tlog-proof@v1\nindex 0\n{HASH[:-2]}R=\n\ncheckpoint\n".encode(),
        b"c2sp.org/tlog-proof@v1\nindex 0\n" + f"{HASH}\n".encode() * 64 + b"\ncheckpoint\n",
        b"c2sp.org/tlog-proof@v1\n" + b"x" * 2**20,
    ],
)
def test_what_is_no_proof(data: bytes) -> None:
    with pytest.raises(ProofError):
        parse_proof(data)


@pytest.mark.parametrize(
    "changes",
    [
        {"index": INDEX + 1},
        {"index": SIZE},
        {"hashes": PROOF.hashes[:-1]},
        {"hashes": (*PROOF.hashes, PROOF.hashes[0])},
        {"hashes": PROOF.hashes[::-1]},
        {"note": note_of(tree_of(SIZE + 1), "w1", "w2")},
    ],
    ids=str,
)
def test_a_proof_of_something_else(changes: dict[str, object]) -> None:
    fields = {"index": INDEX, "hashes": PROOF.hashes, "note": PROOF.note, **changes}
    with pytest.raises(ProofError):
        verify_proof(InclusionProof(**fields), ENTRY, policy())  # type: ignore[arg-type]


def test_another_entry_is_not_proven() -> None:
    with pytest.raises(ProofError, match="is not under this root"):
        verify_proof(PROOF, entries(SIZE)[INDEX + 1], policy())


def test_a_proof_without_its_witnesses_is_none() -> None:
    alone = InclusionProof(index=INDEX, hashes=PROOF.hashes, note=note_of(TREE, "w1"))
    with pytest.raises(NoteError, match="no quorum"):
        verify_proof(alone, ENTRY, policy())
