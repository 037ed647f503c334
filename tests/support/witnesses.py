"""Witnesses and policies of the consortium of `support.logs`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey
from support.logs import key_of

from fedtrace.governance.log.checkpoint import LogCheckpoint, sign_checkpoint
from fedtrace.governance.log.cosignature import Ed25519Cosigner, MlDsaCosigner, cosigned
from fedtrace.governance.log.keys import KeyKind, VerifierKey
from fedtrace.governance.log.merkle import MerkleTree, leaf_hash
from fedtrace.governance.log.quorum import Group, TrustPolicy

ORIGIN = "county/log"
SEEN_AT = datetime(2026, 9, 1, 9, tzinfo=UTC)


def log_key(origin: str = ORIGIN) -> VerifierKey:
    """The log's key as a verifier is configured with it."""
    raw = key_of(origin).public_key().public_bytes_raw()
    return VerifierKey(name=origin, kind=KeyKind.ED25519, public_key=raw)


def witness(name: str) -> Ed25519Cosigner:
    """The same witness for the same name, every time."""
    return Ed25519Cosigner(name, key_of(name))


def ml_dsa_witness(name: str) -> MlDsaCosigner:
    """A post-quantum witness, the same for the same name."""
    seed = key_of(name).private_bytes_raw()
    return MlDsaCosigner(name, MLDSA44PrivateKey.from_seed_bytes(seed))


def policy(names: Sequence[str] = ("w1", "w2", "w3"), threshold: int = 2) -> TrustPolicy:
    """So many of these witnesses must have seen the log of county."""
    return TrustPolicy(
        logs=(log_key(),),
        witnesses={name: witness(name).verifier for name in names},
        groups={"members": Group(threshold=threshold, members=tuple(names))},
        quorum="members",
    )


def tree_of(count: int) -> MerkleTree:
    """A tree over so many made-up entries."""
    return MerkleTree(leaf_hash(entry) for entry in entries(count))


def entries(count: int) -> list[bytes]:
    """Made-up entries, the same beginning for every count."""
    return [f"entry {number}".encode() for number in range(count)]


def note_of(tree: MerkleTree, *cosigners: str, size: int | None = None) -> bytes:
    """A checkpoint of the log, cosigned by witnesses of these names."""
    shown = len(tree) if size is None else size
    checkpoint = LogCheckpoint(origin=ORIGIN, size=shown, root=tree.root(shown))
    note = sign_checkpoint(checkpoint, key_of(ORIGIN))
    lines = [witness(name).cosign(checkpoint.to_text(), now=SEEN_AT) for name in cosigners]
    return cosigned(note, lines)


@dataclass
class MemoryStore:
    """A witness's memory in memory."""

    kept: dict[str, LogCheckpoint] = field(default_factory=dict)
    observed: list[LogCheckpoint] = field(default_factory=list)

    def latest(self, origin: str) -> LogCheckpoint | None:
        return self.kept.get(origin)

    def record(self, checkpoint: LogCheckpoint, note: bytes) -> None:
        assert note
        self.kept[checkpoint.origin] = checkpoint

    def observe(self, checkpoint: LogCheckpoint, note: bytes) -> None:
        assert note
        self.observed.append(checkpoint)
