"""A SuperLink's state in a file, and what our repairs change in Flower put back afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from flwr.server.superlink.linkstate import sql_linkstate
from flwr.server.superlink.linkstate.sql_linkstate import SqlLinkState
from flwr.supercore import sql_mixin
from flwr.supercore.corestate import sql_corestate
from flwr.supercore.object_store.sql_object_store import SqlObjectStore
from flwr.superlink import main as app
from flwr.superlink.federation import NoOpFederationManager
from flwr.superlink.servicer.fleet import fleet_handlers
from uvicorn.protocols.http import h11_impl, httptools_impl

from fedtrace.deploy.network import superlink

_CHANGED = (
    (sql_mixin, "SQLITE_PRAGMAS"),
    (sql_mixin.SqlMixin, "session"),
    (app, "_get_middleware"),
    (h11_impl, "HIGH_WATER_LIMIT"),
    (httptools_impl, "HIGH_WATER_LIMIT"),
    (sql_corestate, "OBJECT_PUSH_SESSION_TTL_SECONDS"),
    (sql_corestate.SqlCoreState, "store_object"),
    (sql_corestate.SqlCoreState, "_cleanup_expired_task_tokens"),
    (sql_linkstate, "check_node_availability_for_in_message"),
    (SqlLinkState, "get_message_ins"),
    (SqlLinkState, "get_message_res"),
    (fleet_handlers, "confirm_message_received"),
)


@contextmanager
def repaired_state(folder: Path) -> Iterator[SqlLinkState]:
    """A repaired SuperLink's state in a new file; Flower is as it was when the block ends."""
    with pytest.MonkeyPatch.context() as before:
        for owner, name in _CHANGED:
            before.setattr(owner, name, getattr(owner, name))
        superlink.repair()
        superlink.repair()
        database = str(folder / "superlink.db")
        state = SqlLinkState(database, NoOpFederationManager(), SqlObjectStore(database))
        state.object_store.initialize()
        state.initialize()
        yield state
