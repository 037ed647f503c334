"""The consortium's tables. Only `fedtrace.server.store` reads and writes them.

Types are the plain ones that SQLite and PostgreSQL share: text for instants (ISO 8601, UTC),
bytes for tensors and signed documents. Nothing here describes a student.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
)

metadata = MetaData()

runs = Table(
    "runs",
    metadata,
    Column("run_id", String(64), primary_key=True),
    Column("plan_digest", String(80), nullable=False, unique=True),
    Column("version", Integer, nullable=False),
    Column("state", String(16), nullable=False),
    Column("reason", String(32), nullable=True),
    Column("round", Integer, nullable=False),
    Column("finished", Integer, nullable=False),
    Column("checkpoint_digest", String(80), nullable=False),
    Column("optimiser_digest", String(80), nullable=False),
    Column("model_digest", String(80), nullable=True),
    Column("previous_record_digest", String(80), nullable=True),
    Column("started_at", String(40), nullable=False),
    Column("ended_at", String(40), nullable=True),
    Column("resumed", Integer, nullable=False),
    Column("open_order", LargeBinary, nullable=True),
    Column("open_attempt", Integer, nullable=True),
    Column("opened_at", String(40), nullable=True),
    Column("open_sum", LargeBinary, nullable=True),
    Column("seal", LargeBinary, nullable=False),
)
"""One row a job: the head that every transaction swaps, from one version to the next."""

rounds = Table(
    "rounds",
    metadata,
    Column("run_id", String(64), primary_key=True),
    Column("round", Integer, primary_key=True),
    Column("kind", String(16), nullable=False),
    Column("closed", Boolean, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("start_seconds", Double, nullable=False),
    Column("end_seconds", Double, nullable=False),
    Column("checkpoint_digest", String(80), nullable=False),
    Column("record", LargeBinary, nullable=False),
)
"""One row a finished round, with its signed record; append-only."""

checkpoints = Table(
    "checkpoints",
    metadata,
    Column("run_id", String(64), primary_key=True),
    Column("round", Integer, primary_key=True),
    Column("parameters", LargeBinary, nullable=False),
    Column("optimiser", LargeBinary, nullable=False),
)
"""The checkpoints that the released model is averaged from; older ones go as new ones come."""

receipts = Table(
    "receipts",
    metadata,
    Column("run_id", String(64), primary_key=True),
    Column("round", Integer, primary_key=True),
    Column("attempt", Integer, primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("school", String(200), nullable=False),
    Column("disposition", String(16), nullable=False),
    Column("code", String(16), nullable=False),
    Column("digest", String(80), nullable=False),
    Column("received_bytes", BigInteger, nullable=False),
    Column("received_seconds", Double, nullable=False),
)
"""What became of every answer, in the order in which they came."""

histograms = Table(
    "histograms",
    metadata,
    Column("run_id", String(64), primary_key=True),
    Column("round", Integer, primary_key=True),
    Column("school", String(200), primary_key=True),
    Column("payload", LargeBinary, nullable=False),
)
"""The noised score histograms of an evaluation, one a school."""

events = Table(
    "privacy_events",
    metadata,
    Column("run_id", String(64), primary_key=True),
    Column("round", Integer, primary_key=True),
    Column("attempt", Integer, primary_key=True),
    Column("kind", String(16), nullable=False),
    Column("noise_multiplier", Double, nullable=False),
    Column("sampling_rate", Double, nullable=False),
    Column("count", Integer, nullable=False),
    Column("trust_mode", String(16), nullable=False),
    Column("student_year", String(16), nullable=False),
    Column("plan_digest", String(80), nullable=False),
)
"""The consortium's ledger: one event an order, written before the order is sent."""

staged_entries = Table(
    "staged_entries",
    metadata,
    Column("log_index", BigInteger, primary_key=True),
    Column("entry", LargeBinary, nullable=False),
)
"""Log entries that are decided but perhaps not yet in the log, at the index where they belong."""
