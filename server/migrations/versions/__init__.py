"""One file a version of the database; Alembic runs them in order."""
