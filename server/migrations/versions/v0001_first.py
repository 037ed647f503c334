"""The first version: runs, rounds, checkpoints, receipts, histograms, events, staged entries."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "runs",
        sa.Column("run_id", sa.String(64), primary_key=True),
        sa.Column("plan_digest", sa.String(80), nullable=False, unique=True),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("reason", sa.String(32), nullable=True),
        sa.Column("round", sa.Integer, nullable=False),
        sa.Column("finished", sa.Integer, nullable=False),
        sa.Column("checkpoint_digest", sa.String(80), nullable=False),
        sa.Column("optimiser_digest", sa.String(80), nullable=False),
        sa.Column("model_digest", sa.String(80), nullable=True),
        sa.Column("previous_record_digest", sa.String(80), nullable=True),
        sa.Column("started_at", sa.String(40), nullable=False),
        sa.Column("ended_at", sa.String(40), nullable=True),
        sa.Column("resumed", sa.Integer, nullable=False),
        sa.Column("open_order", sa.LargeBinary, nullable=True),
        sa.Column("open_attempt", sa.Integer, nullable=True),
        sa.Column("opened_at", sa.String(40), nullable=True),
        sa.Column("open_sum", sa.LargeBinary, nullable=True),
        sa.Column("seal", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "rounds",
        sa.Column("run_id", sa.String(64), primary_key=True),
        sa.Column("round", sa.Integer, primary_key=True),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("closed", sa.Boolean, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("start_seconds", sa.Double, nullable=False),
        sa.Column("end_seconds", sa.Double, nullable=False),
        sa.Column("checkpoint_digest", sa.String(80), nullable=False),
        sa.Column("record", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "checkpoints",
        sa.Column("run_id", sa.String(64), primary_key=True),
        sa.Column("round", sa.Integer, primary_key=True),
        sa.Column("parameters", sa.LargeBinary, nullable=False),
        sa.Column("optimiser", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "receipts",
        sa.Column("run_id", sa.String(64), primary_key=True),
        sa.Column("round", sa.Integer, primary_key=True),
        sa.Column("attempt", sa.Integer, primary_key=True),
        sa.Column("position", sa.Integer, primary_key=True),
        sa.Column("school", sa.String(200), nullable=False),
        sa.Column("disposition", sa.String(16), nullable=False),
        sa.Column("code", sa.String(16), nullable=False),
        sa.Column("digest", sa.String(80), nullable=False),
        sa.Column("received_bytes", sa.BigInteger, nullable=False),
        sa.Column("received_seconds", sa.Double, nullable=False),
    )
    op.create_table(
        "histograms",
        sa.Column("run_id", sa.String(64), primary_key=True),
        sa.Column("round", sa.Integer, primary_key=True),
        sa.Column("school", sa.String(200), primary_key=True),
        sa.Column("payload", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "privacy_events",
        sa.Column("run_id", sa.String(64), primary_key=True),
        sa.Column("round", sa.Integer, primary_key=True),
        sa.Column("attempt", sa.Integer, primary_key=True),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("noise_multiplier", sa.Double, nullable=False),
        sa.Column("sampling_rate", sa.Double, nullable=False),
        sa.Column("count", sa.Integer, nullable=False),
        sa.Column("trust_mode", sa.String(16), nullable=False),
        sa.Column("student_year", sa.String(16), nullable=False),
        sa.Column("plan_digest", sa.String(80), nullable=False),
    )
    op.create_table(
        "staged_entries",
        sa.Column("log_index", sa.BigInteger, primary_key=True),
        sa.Column("entry", sa.LargeBinary, nullable=False),
    )
