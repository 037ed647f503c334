"""Federations in one process: the production code of schools and aggregator without a network.

``simulate`` measures on a table of real answers; tests use ``grid`` to run rounds in milliseconds.
"""
