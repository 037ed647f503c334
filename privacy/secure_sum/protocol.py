"""One round of the secure sum: what a member computes, and what the server makes of it.

A member u adds to its input, modulo 2**32,

    mask(b_u) + sum over neighbours v of (+ if u < v else -) mask(s_uv)

where b_u is its own seed of the round and s_uv one that it shares with v (Bonawitz et al. 2017,
section 4). Pair masks cancel between survivors. Of a survivor the server learns b_u, of a lost
member the pair seeds that it shared with survivors: never both, or it would know u's input.

Unlike there, each pair seed is shared out by itself instead of the key that all of them come from:
what is revealed about a lost member is worth nothing in any other round.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from fedtrace.privacy.secure_sum.group import Group
from fedtrace.privacy.secure_sum.masks import (
    SEAL_BYTES,
    WordArray,
    derive,
    mask,
    pair_secret,
    seal,
    unseal,
)
from fedtrace.privacy.secure_sum.sharing import SHARE_BYTES, combine, split

COMMITMENT_BYTES = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskedInput:
    """What leaves a member in the first stage.

    Attributes:
        words: uint32 [size]: uniform to whoever lacks one of its masks.
        sealed: holder -> this member's shares for it, readable by the holder alone; in the order
            of the member's neighbours.
        commitments: SHA-256 of its own seed and of every pair seed, one after the other.
    """

    words: WordArray
    sealed: Mapping[str, bytes]
    commitments: bytes

    @property
    def parcel(self) -> bytes:
        """Commitments and sealed shares as they travel, one after the other."""
        return b"".join((self.commitments, *self.sealed.values()))


@dataclass(frozen=True, slots=True, kw_only=True)
class RevealedShares:
    """What a holder tells about one surviving member.

    Attributes:
        own: share of the member's own seed.
        pairs: lost neighbour -> share of the seed that the member shared with it.
    """

    own: bytes
    pairs: Mapping[str, bytes]


class Member:
    """One member's side of one round; equal arguments give equal masks and shares.

    Args:
        name: who.
        key: its X25519 key of the run.
        group: all members with their keys; this one among them.
        run: names plan and run.
        order: names the round; never used for two rounds, attempts included.

    Raises:
        ValueError: the group does not hold this member's key, or holds one that is none.
    """

    def __init__(
        self, name: str, key: X25519PrivateKey, group: Group, *, run: str, order: str
    ) -> None:
        if group.keys.get(name) != key.public_key().public_bytes_raw():
            raise ValueError(f"the group does not hold the key that {name} made for this run")
        self._name, self._group = name, group
        # Bound to the group: another group under the same order has other seeds, shares and keys.
        self._round = (order, group.digest)
        self._secret = derive(key.private_bytes_raw(), "member", run, *self._round)
        self._shared = {
            other: pair_secret(key, group.keys[other], run=run, members=frozenset((name, other)))
            for other in group.neighbours(name)
        }

    def mask(self, values: npt.NDArray[np.integer]) -> MaskedInput:
        """Mask an input and share out every seed.

        Args:
            values: [size], integers; taken modulo 2**32.
        """
        seeds = self._seeds()
        words = values.astype(np.int64).astype(np.uint32) + mask(seeds[self._name], len(values))
        for other in self._shared:
            stretched = mask(seeds[other], len(values))
            words = words + stretched if self._name < other else words - stretched
        return MaskedInput(
            words=words, sealed=self._sealed(seeds), commitments=_commitments(seeds.values())
        )

    def reveal(
        self, sealed: Mapping[str, bytes], survivors: Collection[str]
    ) -> dict[str, RevealedShares]:
        """The shares that this member holds and that the sum of the survivors takes.

        Args:
            sealed: owner -> its shares for this member, as they came. Shares that cannot be read
                are left out: the others can make up for them.
            survivors: whose inputs are summed; agreed on before.
        """
        revealed = {}
        for owner in sorted(set(survivors) & {*self._shared, self._name}):
            named = _secrets_of(owner, self._group)
            shares = self._shares_of(owner, sealed.get(owner, b""))
            if len(shares) != SHARE_BYTES * len(named):
                continue
            parts = {
                name: shares[SHARE_BYTES * i : SHARE_BYTES * (i + 1)]
                for i, name in enumerate(named)
            }
            lost = [name for name in named if name not in survivors]
            revealed[owner] = RevealedShares(
                own=parts[owner], pairs={name: parts[name] for name in lost}
            )
        return revealed

    def _seeds(self) -> dict[str, bytes]:
        """Its own seed under its own name, then a seed for every neighbour."""
        seeds = {self._name: derive(self._secret, "self")}
        for other, secret in self._shared.items():
            seeds[other] = derive(secret, "mask", *self._round)
        return seeds

    def _sealed(self, seeds: Mapping[str, bytes]) -> dict[str, bytes]:
        return {
            holder: seal(self._seal_key(holder, self._name, holder), shares, self._context)
            for holder, shares in self._split(seeds, tuple(self._shared)).items()
        }

    def _split(self, seeds: Mapping[str, bytes], holders: Sequence[str]) -> dict[str, bytes]:
        """Holder -> its shares of every seed, in the order of the seeds."""
        points = {self._group.point(name): name for name in holders}
        threshold = self._group.threshold(self._name)
        parts: dict[str, list[bytes]] = {name: [] for name in holders}
        for name, seed in seeds.items():
            key = derive(self._secret, "coefficients", name)
            shares = split(
                seed,
                threshold=threshold,
                points=tuple(points),
                randomness=mask(key, 16 * (threshold - 1)).tobytes(),
            )
            for point, share in shares.items():
                parts[points[point]].append(share)
        return {name: b"".join(each) for name, each in parts.items()}

    def _shares_of(self, owner: str, sealed: bytes) -> bytes:
        if owner == self._name:
            return self._split(self._seeds(), (owner,))[owner]
        try:
            return unseal(self._seal_key(owner, owner, self._name), sealed, self._context)
        except InvalidTag:
            return b""

    def _seal_key(self, other: str, sender: str, receiver: str) -> bytes:
        return derive(self._shared[other], "seal", *self._round, sender, receiver)

    @property
    def _context(self) -> bytes:
        return "\n".join(self._round).encode()


def unpack(parcel: bytes, owner: str, group: Group) -> tuple[bytes, ...]:
    """Take a member's parcel apart: its commitments, then the shares for each of its neighbours.

    Raises:
        ValueError: it has not the length that follows from the group.
    """
    seeds = 1 + len(group.neighbours(owner))
    head, each = COMMITMENT_BYTES * seeds, SHARE_BYTES * seeds + SEAL_BYTES
    length = head + each * (seeds - 1)
    if len(parcel) != length:
        raise ValueError(f"the shares of {owner} have {len(parcel)} bytes, not {length}")
    starts = range(head, length, each)
    return (parcel[:head], *(parcel[start : start + each] for start in starts))


def unmask(
    group: Group,
    total: WordArray,
    commitments: Mapping[str, bytes],
    revealed: Mapping[str, Mapping[str, RevealedShares]],
) -> npt.NDArray[np.int64]:
    """The sum of the survivors' inputs.

    Args:
        group: all members.
        total: uint32 [size], the sum of the survivors' masked inputs modulo 2**32.
        commitments: survivor -> its commitments; the survivors are its keys.
        revealed: holder -> what it told, by survivor.

    Returns:
        int64 [size], the sum as numbers from -2**31 to 2**31 - 1.

    Raises:
        ValueError: too few shares of a survivor came, or they give another seed than it promised.
    """
    survivors = frozenset(commitments)
    words = total.copy()
    for owner in sorted(survivors):
        named = _secrets_of(owner, group)
        told = {
            group.point(holder): shares[owner]
            for holder, shares in revealed.items()
            if owner in shares and holder in group.holders(owner)
        }
        for i, name in enumerate(named):
            if name != owner and name in survivors:
                continue
            shares = {
                point: each.own if name == owner else each.pairs[name]
                for point, each in told.items()
                if name == owner or name in each.pairs
            }
            promised = commitments[owner][COMMITMENT_BYTES * i : COMMITMENT_BYTES * (i + 1)]
            seed = _rebuilt(owner, shares, group.threshold(owner), promised)
            stretched = mask(seed, len(words))
            added = name == owner or owner < name
            words = words - stretched if added else words + stretched
    return words.view(np.int32).astype(np.int64)


def _rebuilt(owner: str, shares: Mapping[int, bytes], threshold: int, promised: bytes) -> bytes:
    if len(shares) < threshold:
        raise ValueError(f"{len(shares)} of the {threshold} shares of {owner} that are needed came")
    seed = combine({point: shares[point] for point in sorted(shares)[:threshold]})
    if seed is None or _commitments([seed]) != promised:
        raise ValueError(f"the shares of {owner} give another seed than it promised")
    return seed


def _secrets_of(owner: str, group: Group) -> Sequence[str]:
    """The names of a member's seeds, in the order in which they are shared out."""
    return (owner, *group.neighbours(owner))


def _commitments(seeds: Collection[bytes]) -> bytes:
    return b"".join(hashlib.sha256(seed).digest() for seed in seeds)
