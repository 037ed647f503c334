"""Proofs that an entry is in a log, in one file that anybody checks alone, offline.

The format is https://c2sp.org/tlog-proof; fedtrace puts the entry itself into ``extra``::

    c2sp.org/tlog-proof@v1
    extra eyJkYXRhIjp7ImRpZ2VzdCI6InNoYTI1NjowMmU2...
    index 2
    PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=

    county/log
    3
    Q5CJkne/P1VwumJ4wvgHl1d0KuMZBocRsj0o161tUd8=

    — county/log ukR8pun1qxtpK0K/vIWnUSFI7P9ZHAB86/6KDctPwQFS0Ad6IT6fCv9uzM/OlAk5A1oWWx7EC8x...

``extra`` is not authenticated by the format. Here it is believed for one reason alone: its hash is
the leaf that the proof leads from.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from fedtrace.governance.log.merkle import HASH_BYTES, ProofError, leaf_hash, require_inclusion
from fedtrace.governance.log.note import (
    NOTE_LIMIT_BYTES,
    NoteError,
    decode_base64,
    encode_base64,
)
from fedtrace.governance.log.quorum import TrustPolicy, Witnessed

HEADER = "c2sp.org/tlog-proof@v1"
PROOF_LIMIT_HASHES = 63
"""A longer path belongs to a tree that nobody can have."""

PROOF_LIMIT_BYTES = NOTE_LIMIT_BYTES + 64 * 1024
"""A longer file is not read."""

_INDEX = re.compile(r"index (0|[1-9][0-9]{0,18})")


@dataclass(frozen=True, slots=True, kw_only=True)
class InclusionProof:
    """A proof as it is stored; nothing about it is believed yet.

    Attributes:
        index: the entry's, from 0.
        hashes: from the leaf's sibling upwards, 32 bytes each.
        note: the checkpoint with all its signature lines.
        extra: the entry, or whatever else a program put there; None where nothing.
    """

    index: int
    hashes: tuple[bytes, ...]
    note: bytes
    extra: bytes | None = None

    def to_bytes(self) -> bytes:
        """The file."""
        lines = [HEADER]
        if self.extra is not None:
            lines.append(f"extra {encode_base64(self.extra)}")
        lines.append(f"index {self.index}")
        lines += [encode_base64(each) for each in self.hashes]
        return "".join(f"{line}\n" for line in lines).encode("ascii") + b"\n" + self.note


def parse_proof(data: bytes) -> InclusionProof:
    """Read a proof; total: a value or an error.

    Raises:
        ProofError: it is not one.
    """
    if len(data) > PROOF_LIMIT_BYTES:
        raise ProofError(f"a proof of {len(data)} bytes, at most {PROOF_LIMIT_BYTES} are read")
    head, separator, note = data.partition(b"\n\n")
    try:
        lines = head.decode("ascii").split("\n")
        if not separator or lines.pop(0) != HEADER:
            raise ProofError(f"it does not begin with {HEADER}, or has no checkpoint")
        extra = None
        if lines and lines[0].startswith("extra "):
            extra = decode_base64(lines.pop(0).removeprefix("extra "))
        index = _INDEX.fullmatch(lines.pop(0)) if lines else None
        if index is None:
            raise ProofError("it does not say which entry it is about")
        hashes = decode_hashes(lines)
    except UnicodeDecodeError as error:
        raise ProofError("it is not ASCII above its checkpoint") from error
    except NoteError as error:
        raise ProofError(f"it is not well formed: {error}") from error
    return InclusionProof(index=int(index[1]), hashes=hashes, note=note, extra=extra)


def decode_hashes(lines: Sequence[str]) -> tuple[bytes, ...]:
    """A hash a line, in base64.

    Raises:
        ProofError: too many, or one of another length.
        NoteError: one is not base64.
    """
    if len(lines) > PROOF_LIMIT_HASHES:
        raise ProofError(f"it has {len(lines)} hashes, at most {PROOF_LIMIT_HASHES} are possible")
    hashes = tuple(decode_base64(line) for line in lines)
    if any(len(each) != HASH_BYTES for each in hashes):
        raise ProofError(f"a hash in it does not have {HASH_BYTES} bytes")
    return hashes


def verify_proof(proof: InclusionProof, entry: bytes, policy: TrustPolicy) -> Witnessed:
    """Check that an entry is in a log that this policy trusts.

    Args:
        proof: as it was read.
        entry: the entry's exact bytes.
        policy: whose log, and which witnesses must have seen it.

    Raises:
        NoteError: the checkpoint is not one that the policy accepts.
        ProofError: the entry is not shown to be under it.
    """
    witnessed = policy.open(proof.note)
    size, root = witnessed.checkpoint.size, witnessed.checkpoint.root
    require_inclusion(leaf_hash(entry), proof.index, size, proof.hashes, root)
    return witnessed
