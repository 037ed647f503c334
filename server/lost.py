"""A job that the log tells of and the database has lost: neither gone on with nor begun anew.

A database that was restored from a backup, beside a newer log, lacks rounds that schools have
answered and paid for. Their sums are gone. To ask for them again would have every student's budget
spent a second time for the same plan, so that such a job stays where it is until a person gives
it up; what comes after it is another plan, with a budget that the schools weigh and sign anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from fedtrace.governance.errors import Corrupt, PolicyError
from fedtrace.governance.log.entries import Entry, RoundClosed, RunClosed, RunOpened, decode_entry
from fedtrace.governance.log.log import Log
from fedtrace.server.consortium import Consortium
from fedtrace.server.publishing import WAY_OUT
from fedtrace.server.sealing import verify_head


def require_known(log: Log, plan_digest: str, *, stored_run: str | None) -> None:
    """Refuse a job that was given up, or that the log tells of and the database does not.

    Args:
        log: the consortium's.
        plan_digest: of the job.
        stored_run: the run in the database, None where there is none.

    Raises:
        PolicyError: it was given up.
        Corrupt: the database lacks it.
    """
    closed = _closed(log, plan_digest)
    if closed is not None and closed.reason == "abandoned":
        raise PolicyError(
            f"the job of plan {plan_digest} was given up after round {closed.rounds}, because its "
            "database was lost: nothing of it is asked again; propose the plan under another name"
        )
    opened = _opened(log, plan_digest)
    if opened not in (None, stored_run):
        raise Corrupt(f"the log tells of {opened}, which the database lacks: {WAY_OUT}")


def abandon(consortium: Consortium, plan_digest: str, *, now: datetime) -> RunClosed:
    """Close a job for good whose rounds are in the log and not in the database.

    Nothing is asked, no model is released, and no run of this plan is opened again.

    Args:
        consortium: with the newer log.
        plan_digest: of the job.
        now: the time of the entry.

    Returns:
        How the log says that the job ended; a job that it had closed before is left as it is.

    Raises:
        PolicyError: the log tells of no job of this plan, or the database has all of it.
        Corrupt: the database is not merely older than the log.
    """
    consortium.publish_staged()
    run_id = _opened(consortium.log, plan_digest)
    if run_id is None:
        raise PolicyError(f"no job of plan {plan_digest} is in the log: there is none to give up")
    closed = _closed(consortium.log, plan_digest)
    if closed is not None:
        return closed
    rounds = _rounds(consortium.log, run_id)
    stored = consortium.store.head(plan_digest)
    if stored is not None:
        verify_head(stored.head, stored.seal, consortium.charter.aggregator.public_key)
        if stored.head.run_id == run_id and stored.head.round >= rounds:
            raise PolicyError(
                f"the database has all {rounds} rounds of {run_id} that the log tells of, so that "
                "nothing is lost: start the job again; who does not want it any more has the "
                "members revoke its plan"
            )
    entry = RunClosed(plan_digest=plan_digest, run_id=run_id, reason="abandoned", rounds=rounds)
    consortium.log.append(entry, now=now)
    return entry


def was_given_up(lines: Sequence[bytes], origin: str, run_id: str) -> bool:
    """Whether the lines of a consortium's log say that a person gave this run up.

    The database of such a run is older than the log, and shows it open for good.
    """
    told = (
        decode_entry(line, index=index, origin=origin).entry
        for index, line in enumerate(lines)
        if RunClosed.type.encode() in line and run_id.encode() in line
    )
    return any(
        isinstance(entry, RunClosed) and (entry.run_id, entry.reason) == (run_id, "abandoned")
        for entry in told
    )


def _opened(log: Log, plan_digest: str) -> str | None:
    """The run that the log last told of under this plan."""
    found = [e.run_id for e in _told(log, RunOpened, plan_digest) if isinstance(e, RunOpened)]
    return found[-1] if found else None


def _closed(log: Log, plan_digest: str) -> RunClosed | None:
    found = [e for e in _told(log, RunClosed, plan_digest) if isinstance(e, RunClosed)]
    return found[-1] if found else None


def _rounds(log: Log, run_id: str) -> int:
    """The last round of a run that the log says was closed; 0 before the first."""
    told = (e for e in _told(log, RoundClosed, run_id) if isinstance(e, RoundClosed))
    return max((e.round for e in told if e.run_id == run_id), default=0)


def _told(log: Log, kind: type[Entry], about: str) -> list[Entry]:
    """The entries of one kind whose line names this plan or run."""
    # Decoding is expensive; most lines of a log are about something else.
    wanted = kind.type.encode(), about.encode()
    return [
        decode_entry(line, index=index, origin=log.origin).entry
        for index, line in ((index, log.line(index)) for index in range(log.size))
        if all(word in line for word in wanted)
    ]
