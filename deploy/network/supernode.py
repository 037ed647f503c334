"""Flower's SuperNode with one repair: a run that ends while its message arrives is forgotten.

A SuperNode of flwr 1.41.0 announces a message to the gate before its content has arrived. Where
the run ends in between, as it does when a consortium's process is killed, its loop drops the
message and leaves the announcement (``start_client_internal._pull_and_store_message``: its clean-up
is for `Exception`, and ``RunNotRunningException`` is none). The gate claims it and waits for the
content for up to two hours, and for that long the school answers nobody.
"""

from __future__ import annotations

from collections.abc import Callable

from flwr.supercore.inflatable.inflatable_utils import pull_objects
from flwr.supercore.run import RunNotRunningException
from flwr.supernode import start_client_internal
from flwr.supernode.cli import flower_supernode as flowers_own


class RunEndedError(Exception):
    """The run ended before the content of its message had arrived."""


def repair() -> None:
    """Have Flower's loop clean up after a run that ended; doing it twice changes nothing."""
    start_client_internal.pull_objects = _pull_objects


def _pull_objects(
    object_ids: list[str], pull_object_fn: Callable[[str], bytes]
) -> dict[str, bytes]:
    """Called by Flower as its own function is; see there."""
    try:
        contents: dict[str, bytes] = pull_objects(object_ids, pull_object_fn=pull_object_fn)
    except RunNotRunningException as error:
        raise RunEndedError("its run has ended") from error
    return contents


def flower_supernode() -> None:
    """Run a SuperNode: the entry point of its process, by the name that Flower gives it."""
    repair()
    flowers_own()
