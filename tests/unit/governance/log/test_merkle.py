"""RFC 6962 against the reference vectors of certificate-transparency and a naive second tree."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import pytest

from fedtrace.governance.log.merkle import (
    EMPTY_ROOT,
    MerkleTree,
    ProofError,
    leaf_hash,
    require_consistency,
    require_inclusion,
    root_of,
)

# The tree of certificate-transparency's and transparency-dev/merkle's tests.
ENTRIES = [
    bytes.fromhex(entry)
    for entry in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
INCLUSION = {  # (index, size) -> proof
    (0, 8): [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ],
    (5, 8): [
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ],
    (2, 3): ["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"],
    (1, 5): [
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ],
}
CONSISTENCY = {  # (old, new) -> proof
    (1, 1): [],
    (1, 8): [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ],
    (6, 8): [
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ],
    (2, 5): [
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ],
    (6, 7): [
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "b08693ec2e721597130641e8211e7eedccb4c26413963eee6c1e2ed16ffb1a5f",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ],
}
LARGEST = 64
LEAVES = [leaf_hash(f"entry {index}".encode()) for index in range(LARGEST)]


def reference_tree() -> MerkleTree:
    return MerkleTree(leaf_hash(entry) for entry in ENTRIES)


# --- the naive second implementation: RFC 6962, section 2.1, word for word ------------------------


def split(count: int) -> int:
    power = 1
    while power * 2 < count:
        power *= 2
    return power


def naive_root(leaves: Sequence[bytes]) -> bytes:
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    middle = split(len(leaves))
    halves = naive_root(leaves[:middle]) + naive_root(leaves[middle:])
    return hashlib.sha256(b"\x01" + halves).digest()


def naive_path(index: int, leaves: Sequence[bytes]) -> list[bytes]:
    if len(leaves) == 1:
        return []
    middle = split(len(leaves))
    if index < middle:
        return [*naive_path(index, leaves[:middle]), naive_root(leaves[middle:])]
    return [*naive_path(index - middle, leaves[middle:]), naive_root(leaves[:middle])]


def naive_subproof(old: int, leaves: Sequence[bytes], complete: bool) -> list[bytes]:
    if old == len(leaves):
        return [] if complete else [naive_root(leaves)]
    middle = split(len(leaves))
    if old <= middle:
        return [*naive_subproof(old, leaves[:middle], complete), naive_root(leaves[middle:])]
    return [*naive_subproof(old - middle, leaves[middle:], False), naive_root(leaves[:middle])]


# --- vectors --------------------------------------------------------------------------------------


def test_the_empty_tree_and_the_empty_leaf_have_the_hashes_of_rfc_6962() -> None:
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert MerkleTree().root().hex() == EMPTY_ROOT.hex() == empty
    assert leaf_hash(b"").hex() == ROOTS[0]
    assert (
        leaf_hash(b"L123456").hex()
        == "395aa064aa4c29f7010acfe3f25db9485bbd4b91897b6ad7ad547639252b4d56"
    )


def test_roots_are_those_of_certificate_transparency() -> None:
    tree = reference_tree()
    assert [tree.root(size).hex() for size in range(1, 9)] == ROOTS


@pytest.mark.parametrize(("index", "size"), INCLUSION)
def test_inclusion_proofs_are_those_of_certificate_transparency(index: int, size: int) -> None:
    proof = reference_tree().inclusion_proof(index, size)
    assert [each.hex() for each in proof] == INCLUSION[index, size]


@pytest.mark.parametrize(("old", "new"), CONSISTENCY)
def test_consistency_proofs_are_those_of_certificate_transparency(old: int, new: int) -> None:
    proof = reference_tree().consistency_proof(old, new)
    assert [each.hex() for each in proof] == CONSISTENCY[old, new]


# --- every size up to 64 --------------------------------------------------------------------------


def test_every_root_and_proof_up_to_64_leaves_is_the_naive_one_and_verifies() -> None:
    tree = MerkleTree(LEAVES)
    roots = {size: naive_root(LEAVES[:size]) for size in range(1, LARGEST + 1)}
    for size in range(1, LARGEST + 1):
        assert tree.root(size) == roots[size]
        for index in range(size):
            proof = tree.inclusion_proof(index, size)
            if size % 7 in (0, 1) or size > 60:  # the naive tree is slow
                assert proof == naive_path(index, LEAVES[:size])
            require_inclusion(LEAVES[index], index, size, proof, roots[size])
        for old in range(1, size + 1):
            proof = tree.consistency_proof(old, size)
            if size % 7 in (0, 1) or size > 60:
                assert proof == naive_subproof(old, LEAVES[:size], True)
            require_consistency(old, roots[old], size, roots[size], proof)


# --- what must not verify -------------------------------------------------------------------------


def flipped(value: bytes) -> bytes:
    return bytes([value[0] ^ 8]) + value[1:]


@pytest.mark.parametrize(("index", "size"), [(0, 8), (5, 8), (2, 3), (1, 5), (0, 1)])
def test_no_changed_inclusion_proof_verifies(index: int, size: int) -> None:
    tree = reference_tree()
    leaf, root = leaf_hash(ENTRIES[index]), tree.root(size)
    proof = tree.inclusion_proof(index, size)
    require_inclusion(leaf, index, size, proof, root)
    wrong = [
        (leaf, index - 1, size, proof, root),
        (leaf, index + 1, size, proof, root),
        (leaf, index ^ 2, size, proof, root),
        (leaf, index, size * 2, proof, root),
        (leaf, index, size // 2, proof, root),
        (leaf, index, 0, proof, root),
        (flipped(leaf), index, size, proof, root),
        (b"short", index, size, proof, root),
        (leaf, index, size, proof, flipped(root)),
        (leaf, index, size, proof, EMPTY_ROOT),
        (leaf, index, size, [*proof, b""], root),
        (leaf, index, size, [*proof, root], root),
        (leaf, index, size, [root, *proof], root),
        *((leaf, index, size, proof[:n], root) for n in range(len(proof))),
        *(
            (leaf, index, size, [*proof[:n], flipped(proof[n]), *proof[n + 1 :]], root)
            for n in range(len(proof))
        ),
    ]
    for case in wrong:
        with pytest.raises(ProofError):
            require_inclusion(*case)


@pytest.mark.parametrize(("old", "new"), [(1, 8), (6, 8), (2, 5), (6, 7), (4, 4)])
def test_no_changed_consistency_proof_verifies(old: int, new: int) -> None:
    tree = reference_tree()
    old_root, new_root = tree.root(old), tree.root(new)
    proof = tree.consistency_proof(old, new)
    require_consistency(old, old_root, new, new_root, proof)
    wrong = [
        (0, EMPTY_ROOT, new, new_root, proof),
        (old + 1, old_root, new, new_root, proof),
        (new + 1, old_root, new, new_root, proof),
        (old, old_root, new * 2, new_root, proof),
        (old, flipped(old_root), new, new_root, proof),
        (old, b"short", new, new_root, proof),
        (old, old_root, new, flipped(new_root), proof),
        (old, old_root, new, new_root, [*proof, new_root]),
        (old, old_root, new, new_root, [old_root, *proof]),
        (old, old_root, new, new_root, [*proof, b""]),
        *((old, old_root, new, new_root, proof[:n]) for n in range(len(proof))),
        *(
            (old, old_root, new, new_root, [*proof[:n], flipped(proof[n]), *proof[n + 1 :]])
            for n in range(len(proof))
        ),
    ]
    for case in wrong:
        with pytest.raises(ProofError):
            require_consistency(*case)


@pytest.mark.parametrize("size", [-1, 9])
def test_a_size_that_the_tree_never_had_is_refused(size: int) -> None:
    tree = reference_tree()
    with pytest.raises(ValueError, match="8 leaves"):
        tree.root(size)
    with pytest.raises(ValueError, match="8 leaves"):
        tree.inclusion_proof(0, size)
    with pytest.raises(ValueError, match="8 leaves"):
        tree.consistency_proof(1, size)


@pytest.mark.parametrize("size", [*range(18), 31, 32, 33, 100])
def test_the_root_alone_is_the_trees(size: int) -> None:
    entries = [b"%d" % number for number in range(size)]
    tree = MerkleTree(map(leaf_hash, entries))
    assert root_of(entries) == tree.root()
    for kept in {0, size // 2, size}:
        tree.truncate(kept)
        assert tree.root() == root_of(entries[:kept])
        for entry in entries[kept:]:
            tree.append(leaf_hash(entry))
        assert tree.root() == root_of(entries)


def test_a_tree_cannot_be_cut_to_a_size_that_it_never_had() -> None:
    with pytest.raises(ValueError, match="outside the tree of 0 leaves"):
        MerkleTree().truncate(1)
