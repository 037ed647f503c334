"""Flower's SuperLink, repaired to serve more than a handful of schools.

Every model, update and sign of life passes through one SQLite file, which one may write at a time.
A SuperLink of flwr 1.41.0

- has forty threads try to write again and again, asleep for up to 0.1 s in between, and answers
  with error 500 where that took 5 s, which a SuperNode does not outlive: with 10 schools and a
  million parameters that happened in the first round. Here they stand in a queue.
- looks for tasks without a sign of life at every request of every school, which writes to the
  file (``SqlCoreState._cleanup_expired_task_tokens``). Once a second is enough to find that a
  process has been silent for half a minute.
- sends every request of a school through five layers that concern other requests only, each of
  which costs a millisecond, and once more for every 64 KiB of a model.
- keeps 64 MB of every connection's pages in memory, which are models and not read twice.
- refuses an object that it has already: a school whose connection broke after its upload sends it
  again, is told no, and is missing in the round. An object's id is the hash of its bytes, so one
  that is there is the one that was sent.
- gives an upload 180 s, which a school with a slow line needs longer for.
- hands each order out once; `fedtrace.deploy.network.redelivery` has it handed out again.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from flwr.supercore import sql_mixin
from flwr.supercore.corestate import sql_corestate
from flwr.superlink import main as app
from flwr.superlink.cli import flower_superlink as flowers_own
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http import h11_impl, httptools_impl

from fedtrace.deploy.network import redelivery

BUSY_SECONDS = 120
LOOK_SECONDS = 1.0
UPLOAD_SECONDS = 2 * 60 * 60
"""What the largest message takes at the slowest speed that the front allows, and then some."""

_PRAGMAS = {
    "busy_timeout": str(BUSY_SECONDS * 1000),
    "cache_size": "-4000",  # kB
    "mmap_size": "0",
}
_PART_BYTES = 8 * 1024 * 1024
_CONCERNS = {
    app.ControlSensitiveResponseMiddleware: "/v1/control/",
    app.ControlAuthenticationMiddleware: "/v1/control/",
    app.ControlLicenseMiddleware: "/v1/control/",
    app.ControlEventLogMiddleware: "/v1/control/",
    app.RuntimeTracingMiddleware: "/v1/runtime/",
    app.NodeAuthMiddleware: "/v1/fleet/",
    app.FleetEventLogMiddleware: "/v1/fleet/",
}
"""Flower's layers and the requests that they act on; they pass all others on as they are."""

_layers = app._get_middleware
_look = sql_corestate.SqlCoreState._cleanup_expired_task_tokens
_store = sql_corestate.SqlCoreState.store_object
_session = sql_mixin.SqlMixin.session
_turn = threading.Lock()


def repair() -> None:
    """Change these things; doing it twice changes nothing."""
    redelivery.repair()
    app._get_middleware = lambda: [_passed_by(layer) for layer in _layers()]
    for protocol in (h11_impl, httptools_impl):
        protocol.HIGH_WATER_LIMIT = _PART_BYTES  # type: ignore[attr-defined]
    sql_mixin.SqlMixin.session = _session_in_turn
    sql_mixin.SQLITE_PRAGMAS = tuple({**dict(sql_mixin.SQLITE_PRAGMAS), **_PRAGMAS}.items())
    sql_corestate.SqlCoreState._cleanup_expired_task_tokens = _at_most_every(
        LOOK_SECONDS, _look, redelivery.forget_expired
    )
    sql_corestate.SqlCoreState.store_object = _stored
    sql_corestate.OBJECT_PUSH_SESSION_TTL_SECONDS = UPLOAD_SECONDS


class _PassedBy:
    """A layer that requests below other known paths go around; unknown ones pass through it."""

    def __init__(self, inner: ASGIApp, layer: Middleware, paths: tuple[str, ...]) -> None:
        self._inner, self._paths = inner, paths
        self._through = layer.cls(inner, *layer.args, **layer.kwargs)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        around = scope["type"] == "http" and scope["path"].startswith(self._paths)
        await (self._inner if around else self._through)(scope, receive, send)


def _passed_by(layer: Middleware) -> Middleware:
    if layer.cls not in _CONCERNS:
        return layer
    others = set(_CONCERNS.values()) - {_CONCERNS[layer.cls]}
    return Middleware(_PassedBy, layer=layer, paths=tuple(sorted(others)))


@contextmanager
def _session_in_turn(database: sql_mixin.SqlMixin) -> Iterator[object]:
    """Flower's session; whoever is in one already goes on in it."""
    if database._session_scope in (sql_mixin._current_sessions.get() or {}):
        with _session(database) as session:
            yield session
        return
    with _turn, _session(database) as session:
        yield session


def _stored(
    state: sql_corestate.SqlCoreState, run_id: int, session_id: str, object_id: str, content: bytes
) -> bool:
    """Flower's answer, and yes where the run has the object already."""
    return bool(
        _store(state, run_id, session_id, object_id, content) or state.get_object(run_id, object_id)
    )


def _at_most_every(
    seconds: float, *looks: Callable[[sql_corestate.SqlCoreState], None]
) -> Callable[[sql_corestate.SqlCoreState], None]:
    lock = threading.Lock()
    next_look = 0.0

    def sometimes(state: sql_corestate.SqlCoreState) -> None:
        nonlocal next_look
        with lock:
            if time.monotonic() < next_look:
                return
            next_look = time.monotonic() + seconds
        for look in looks:
            look(state)

    return sometimes


def flower_superlink() -> None:
    """Run a SuperLink: the entry point of its process, by the name that Flower gives it."""
    repair()
    flowers_own()
