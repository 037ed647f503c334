"""RFC 6962 Merkle trees: roots, inclusion proofs and consistency proofs.

Hashes are those of RFC 6962, section 2.1; proofs are verified by the algorithms of RFC 9162,
sections 2.1.3.2 and 2.1.4.2. Sizes and indices are numbers of leaves.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

HASH_BYTES = 32
EMPTY_ROOT = hashlib.sha256(b"").digest()
"""The root of a tree without leaves."""

_LEAF, _NODE = b"\x00", b"\x01"


class ProofError(ValueError):
    """A proof that does not show what it claims to show."""


def leaf_hash(entry: bytes) -> bytes:
    """The hash of one entry."""
    return hashlib.sha256(_LEAF + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of two subtrees."""
    return hashlib.sha256(_NODE + left + right).digest()


def root_of(entries: Iterable[bytes]) -> bytes:
    """The root over these entries, without keeping the tree.

    Pairs are hashed level by level; one without a partner moves up as it is, which is the same
    tree as that of RFC 6962, section 2.1.
    """
    sha256 = hashlib.sha256
    level = [sha256(_LEAF + entry).digest() for entry in entries]
    if not level:
        return EMPTY_ROOT
    while len(level) > 1:
        pairs = zip(level[::2], level[1::2], strict=False)
        above = [sha256(_NODE + left + right).digest() for left, right in pairs]
        if len(level) % 2:
            above.append(level[-1])
        level = above
    return level[0]


class MerkleTree:
    """A growing tree that keeps every complete subtree's hash.

    An append costs O(1) hashes on average, a root or a proof O(log n). Memory is 64 bytes a leaf.
    """

    def __init__(self, leaves: Iterable[bytes] = ()) -> None:
        # _levels[k][i] is the hash of the complete subtree over leaves i * 2^k to (i + 1) * 2^k.
        self._levels: list[list[bytes]] = [[]]
        for leaf in leaves:
            self.append(leaf)

    def __len__(self) -> int:
        """The number of leaves."""
        return len(self._levels[0])

    def append(self, leaf: bytes) -> None:
        """Add one leaf hash."""
        self._levels[0].append(leaf)
        level = 0
        while len(self._levels[level]) % 2 == 0:
            pair = self._levels[level][-2:]
            level += 1
            if level == len(self._levels):
                self._levels.append([])
            self._levels[level].append(node_hash(pair[0], pair[1]))

    def truncate(self, size: int) -> None:
        """Forget every leaf after the first ``size``.

        Raises:
            ValueError: the tree never had that size.
        """
        if not 0 <= size <= len(self):
            raise ValueError(f"size {size} is outside the tree of {len(self)} leaves")
        for level, hashes in enumerate(self._levels):
            del hashes[size >> level :]

    def root(self, size: int | None = None) -> bytes:
        """The root of the first ``size`` leaves; of all where none is given.

        Raises:
            ValueError: the tree never had that size.
        """
        end = len(self) if size is None else size
        if not 0 <= end <= len(self):
            raise ValueError(f"size {end} is outside the tree of {len(self)} leaves")
        return self._hash(0, end) if end else EMPTY_ROOT

    def inclusion_proof(self, index: int, size: int) -> list[bytes]:
        """The audit path of a leaf (RFC 6962, section 2.1.1), from the leaf upwards.

        Raises:
            ValueError: the leaf is not in a tree of that size.
        """
        if not 0 <= index < size <= len(self):
            raise ValueError(f"leaf {index} of {size} is outside the tree of {len(self)} leaves")
        return self._path(index, 0, size)

    def consistency_proof(self, old: int, new: int) -> list[bytes]:
        """That the first ``new`` leaves begin with the first ``old`` (RFC 6962, section 2.1.2).

        Raises:
            ValueError: sizes out of order or outside the tree.
        """
        if not 0 < old <= new <= len(self):
            raise ValueError(f"sizes {old} and {new} do not fit a tree of {len(self)} leaves")
        return self._consistency(old, 0, new, whole=True)

    def _hash(self, start: int, end: int) -> bytes:
        """The hash over leaves start to end, where start lies on a power of two >= their number."""
        count = end - start
        level = count.bit_length() - 1
        if count == 1 << level:
            return self._levels[level][start >> level]
        middle = start + _split(count)
        return node_hash(self._hash(start, middle), self._hash(middle, end))

    def _path(self, index: int, start: int, end: int) -> list[bytes]:
        if end - start == 1:
            return []
        middle = start + _split(end - start)
        if index < middle:
            return [*self._path(index, start, middle), self._hash(middle, end)]
        return [*self._path(index, middle, end), self._hash(start, middle)]

    def _consistency(self, old: int, start: int, end: int, *, whole: bool) -> list[bytes]:
        """SUBPROOF(old - start, leaves start to end, whole)."""
        if old == end:
            return [] if whole else [self._hash(start, end)]
        middle = start + _split(end - start)
        if old <= middle:
            proof = self._consistency(old, start, middle, whole=whole)
            return [*proof, self._hash(middle, end)]
        proof = self._consistency(old, middle, end, whole=False)
        return [*proof, self._hash(start, middle)]


def require_inclusion(
    leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes
) -> None:
    """Check an inclusion proof (RFC 9162, section 2.1.3.2).

    Raises:
        ProofError: the leaf is not shown to be at that index under that root.
    """
    if not 0 <= index < size:
        raise ProofError(f"leaf {index} cannot be in a tree of {size} leaves")
    _require_hashes(leaf, *proof)
    node, last, computed = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            raise ProofError("the inclusion proof is too long")
        if node & 1 or node == last:
            computed = node_hash(sibling, computed)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            computed = node_hash(computed, sibling)
        node, last = node >> 1, last >> 1
    if last != 0 or computed != root:
        raise ProofError(f"leaf {index} is not under this root of {size} leaves")


def require_consistency(
    old_size: int, old_root: bytes, new_size: int, new_root: bytes, proof: Sequence[bytes]
) -> None:
    """Check a consistency proof (RFC 9162, section 2.1.4.2).

    Raises:
        ProofError: the newer tree is not shown to begin with the older one.
    """
    if not 0 < old_size <= new_size:
        raise ProofError(f"a tree of {new_size} leaves cannot continue one of {old_size}")
    _require_hashes(old_root, *proof)
    if old_size == new_size:
        if proof or old_root != new_root:
            raise ProofError(f"two different trees of {old_size} leaves")
        return
    if not proof:
        raise ProofError("the consistency proof is empty")
    # A complete subtree of the old tree is a node of the new one; the proof leaves it out.
    path = [old_root, *proof] if old_size & (old_size - 1) == 0 else list(proof)
    node, last = old_size - 1, new_size - 1
    while node & 1:
        node, last = node >> 1, last >> 1
    old = new = path[0]
    for sibling in path[1:]:
        if last == 0:
            raise ProofError("the consistency proof is too long")
        if node & 1 or node == last:
            old, new = node_hash(sibling, old), node_hash(sibling, new)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            new = node_hash(new, sibling)
        node, last = node >> 1, last >> 1
    if last != 0 or old != old_root or new != new_root:
        raise ProofError(f"the tree of {new_size} leaves does not begin with that of {old_size}")


def _require_hashes(*hashes: bytes) -> None:
    if any(len(each) != HASH_BYTES for each in hashes):
        raise ProofError(f"a hash in the proof does not have {HASH_BYTES} bytes")


def _split(count: int) -> int:
    """The largest power of two below ``count``."""
    return 1 << ((count - 1).bit_length() - 1)
