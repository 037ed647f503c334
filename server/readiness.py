"""Before a job is opened: have enough schools accepted its plan?

A school that has not accepted a plan refuses its orders, and a job that enough schools refuse is
over for good. So a deployment asks first, which costs no school anything and is in no log, and
fails the run where too few are ready; the service starts it again later. A school's answer is only
a hint: one that says yes and then refuses is refused for by its signed notice, as ever.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

from fedtrace.governance.plan_signing import SignedPlan
from fedtrace.server.files import write_durably
from fedtrace.server.ports import Clock, Transport

WAITING_FILE = "waiting.json"

ASKED = "accepted"
"""The part of a request that holds a plan's digest, and of the reply that holds yes or no."""

_SECONDS = 60
_SECONDS_A_SCHOOL = 3
"""On two cores a SuperLink hands on about two messages a second."""

_NAMED = 10


class SchoolsNotReady(ConnectionError):  # noqa: N818 - says what is
    """Too few schools are connected and have accepted the plan; nothing was opened or logged."""


def require_ready(home: Path, signed: SignedPlan, transport: Transport, clock: Clock) -> None:
    """Ask the plan's schools whether they have accepted it.

    Args:
        home: the consortium's; ``waiting.json`` says there who is waited for.
        signed: the plan.
        transport: the way to the schools.
        clock: the time.

    Raises:
        SchoolsNotReady: a round of it could not be closed now.
        OSError: the file cannot be written.
    """
    plan = signed.plan
    connected = transport.connected() & set(plan.schools.members)
    request = {ASKED: signed.digest.encode()}
    begun = clock.now()
    deadline = begun + timedelta(seconds=max(_SECONDS, _SECONDS_A_SCHOOL * len(connected)))
    requests = dict.fromkeys(sorted(connected), request)
    ready: set[str] = set()
    for school, reply in transport.ask(requests, deadline=deadline) if requests else ():
        if (reply or {}).get(ASKED) == b"yes":
            ready.add(school)
        late = clock.now() > begun + timedelta(seconds=_SECONDS)
        if late and len(ready) >= plan.schools.minimum_per_round:
            break
    waiting = _read(home)
    waiting.pop(signed.digest, None)
    is_ready = len(ready) >= plan.schools.minimum_per_round
    missing = [school for school in plan.schools.members if school not in ready]
    if not is_ready:
        waiting[signed.digest] = missing
    _write(home, waiting)
    if not is_ready:
        more = f" and {len(missing) - _NAMED} more" if len(missing) > _NAMED else ""
        raise SchoolsNotReady(
            f"{len(ready)} of the {plan.schools.minimum_per_round} schools that a round of "
            f"{plan.name} needs are connected and have accepted it; waiting for "
            f"{', '.join(missing[:_NAMED])}{more}"
        )


def waited_for(home: Path, plan_digest: str) -> tuple[str, ...]:
    """The schools that a job waited for when it was tried last; none where it was opened."""
    return tuple(_read(home).get(plan_digest, ()))


def _read(home: Path) -> dict[str, list[str]]:
    try:
        found: Mapping[str, list[str]] = json.loads((home / WAITING_FILE).read_bytes())
        return dict(found)
    except (FileNotFoundError, ValueError):
        return {}


def _write(home: Path, waiting: Mapping[str, list[str]]) -> None:
    if waiting:
        write_durably(home / WAITING_FILE, json.dumps(waiting, indent=2).encode())
    else:
        (home / WAITING_FILE).unlink(missing_ok=True)
