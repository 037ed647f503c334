"""The versions of the consortium's database, and the way from each to the newest.

One file a version in ``versions/``, written for Alembic and never changed after a release.
`fedtrace.server.tables` is the newest version; a test holds the two against each other on SQLite
and on PostgreSQL. A new version: add a file there, change the tables, raise
`fedtrace.server.migrations.upgrade.NEWEST`.
"""
