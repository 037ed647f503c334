"""The privacy ledger as a file that survives its database: written out, taken in again.

A school that sets up its node anew must not forget what it has spent. The file is signed with the
school's key; taking it in adds the entries that are not there and removes none.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from fedtrace.client.school import School
from fedtrace.governance.document import Digest, Document, Name, Rate, Section, UtcDatetime
from fedtrace.governance.plan import RoundKind, TrustMode
from fedtrace.governance.signing import sign_envelope, verify_envelope

EXPORT_TYPE = "application/vnd.fedtrace.ledger+json"
"""What the file's envelope says it holds."""


class ExportedEntry(Section):
    """One line of the ledger; the first nine fields are the privacy event."""

    plan_digest: Digest
    run_id: Name
    round: Annotated[int, Field(ge=1, le=1_000_000)]
    kind: RoundKind
    noise_multiplier: Annotated[float, Field(ge=0, le=1e9)]
    sampling_rate: Rate
    count: Annotated[int, Field(ge=1, le=1_000_000_000)]
    trust_mode: TrustMode
    student_year: Annotated[str, Field(pattern=r"^[0-9]{4}/[0-9]{2}$")]
    order_digest: Digest
    checkpoint_digest: Digest
    state: Literal["reserved", "committed", "abandoned"]
    reserved_at: UtcDatetime


class ExportedLedger(Document):
    """A school's whole ledger, oldest entry first."""

    payload_type: ClassVar[str] = EXPORT_TYPE
    limit_bytes: ClassVar[int] = 256 * 1024 * 1024

    format: Literal["fedtrace-ledger/1"] = "fedtrace-ledger/1"
    school: Name
    entries: tuple[ExportedEntry, ...]


def export_ledger(school: School) -> bytes:
    """The signed file.

    Raises:
        Corrupt: the ledger is damaged.
    """
    entries = tuple(ExportedEntry.model_validate(row) for row in school.store.ledger_rows())
    ledger = ExportedLedger(school=school.name, entries=entries)
    return sign_envelope(ledger.to_bytes(), EXPORT_TYPE, [school.signer])


def import_ledger(envelope: bytes, school: School) -> int:
    """Add what is in the file and not in the ledger; how many entries that were.

    An entry that was open when the file was written stays spent.

    Raises:
        SignatureError: this school's key did not sign the file.
        Rejected: signed, and not a ledger.
        ValueError: it is another school's.
    """
    verified = verify_envelope(envelope, EXPORT_TYPE, {school.name: school.signer.public_key}, 1)
    ledger = ExportedLedger.from_bytes(verified.payload)
    if ledger.school != school.name:
        raise ValueError(f"the file holds the ledger of {ledger.school}, this is {school.name}")
    return school.store.add_ledger_rows([entry.model_dump() for entry in ledger.entries])
