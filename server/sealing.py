"""Seals on a job's state, and the check that what the database holds is what was sealed.

The database may be on another machine and in other hands than the aggregator's key. Every head
and the record of every finished round is signed; tensors are bound to those by their digests.
Whatever does not fit is `Corrupt`: nothing here is repaired.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fedtrace.governance.canonical import digest
from fedtrace.governance.errors import Corrupt, Rejected
from fedtrace.governance.signing import (
    PublicKey,
    SignatureError,
    Signer,
    sign_envelope,
    verify_envelope,
)
from fedtrace.server.codec import checkpoint_spec, decode, decode_optimiser
from fedtrace.server.head import Checkpoint, Head, JobRecord
from fedtrace.server.rows import StoredCheckpoint
from fedtrace.server.store import ConsortiumStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Seal:
    """A signed record of a head.

    Attributes:
        envelope: DSSE bytes.
        digest: of the signed record; the next order's ``previous_round_digest``.
    """

    envelope: bytes
    digest: str


def seal(head: Head, aggregator: Signer) -> Seal:
    """Sign the record of a head."""
    payload = head.record().to_bytes()
    envelope = sign_envelope(payload, JobRecord.payload_type, [aggregator])
    return Seal(envelope=envelope, digest=digest(payload))


def open_seal(envelope: bytes, key: PublicKey) -> tuple[JobRecord, str]:
    """Verify a seal: the record and its digest.

    Raises:
        Corrupt: the aggregator did not sign it, or it cannot be read.
    """
    try:
        payload = verify_envelope(envelope, JobRecord.payload_type, {"aggregator": key}, 1).payload
        return JobRecord.from_bytes(payload), digest(payload)
    except (SignatureError, Rejected) as error:
        raise Corrupt("a stored record is not one that the aggregator signed") from error


def verify_head(head: Head, envelope: bytes, key: PublicKey) -> str:
    """Check that a stored head is the one that was sealed; returns its record's digest.

    Raises:
        Corrupt: it is not.
    """
    record, record_digest = open_seal(envelope, key)
    if record != head.record():
        raise Corrupt(f"the stored state of run {head.run_id} is not the one that was signed")
    return record_digest


def verify_records(envelopes: Sequence[bytes], key: PublicKey) -> tuple[JobRecord, ...]:
    """Check that the records of a run's finished rounds form one chain.

    Args:
        envelopes: the records of the finished rounds, in order.
        key: the aggregator's.

    Raises:
        Corrupt: a record is not signed, or not the successor of the one before it.
    """
    records: list[JobRecord] = []
    previous: str | None = None
    for envelope in envelopes:
        record, record_digest = open_seal(envelope, key)
        if record.previous_record_digest != previous:
            raise Corrupt(f"a record of run {record.run_id} does not follow the one before it")
        records.append(record)
        previous = record_digest
    return tuple(records)


def load_checkpoint(
    store: ConsortiumStore, sealed: Head | JobRecord, *, parameters: int
) -> Checkpoint:
    """Read the checkpoint that a sealed head or record names.

    Args:
        store: where it lies.
        sealed: the verified head, or the verified record of the round that left it.
        parameters: how many numbers it has.

    Raises:
        Corrupt: it is gone, or not the one that was sealed.
    """
    stored = store.checkpoint(sealed.run_id, sealed.round)
    _require_sealed(stored, sealed)
    try:
        vector = decode(stored.parameters, checkpoint_spec(parameters))
        optimiser = decode_optimiser(stored.optimiser)
    except ValueError as error:
        raise Corrupt(f"the checkpoint of round {sealed.round} cannot be read") from error
    return Checkpoint(round=sealed.round, parameters=vector.astype(np.float32), optimiser=optimiser)


def _require_sealed(stored: StoredCheckpoint, record: Head | JobRecord) -> None:
    if digest(stored.parameters) != record.checkpoint_digest:
        raise Corrupt(
            f"the stored checkpoint of round {stored.round} is not the one that was signed: it was "
            "changed after the round"
        )
    if digest(stored.optimiser) != record.optimiser_digest:
        raise Corrupt(
            f"the stored optimiser state of round {stored.round} is not the one that was signed"
        )
