"""Run by Alembic: migrates over the connection, and in the transaction, that it was given."""

from __future__ import annotations

from alembic import context

from fedtrace.server.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,  # SQLite cannot alter most columns in place
)
context.run_migrations()
