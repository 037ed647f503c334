"""From the database's staging to the audit log, as often as needed, with the same result.

A step decides its log entries together with everything else, in one transaction, at the index
where they belong. Only then are they appended to the log. A crash in between leaves them staged,
and the next start appends what is missing.
"""

from __future__ import annotations

from collections.abc import Mapping

from fedtrace.governance.errors import Corrupt
from fedtrace.governance.log.entries import RoundClosed, decode_entry
from fedtrace.governance.log.log import Log
from fedtrace.server.head import Head

WAY_OUT = (
    "the database was restored from an older copy. What the schools have paid for since is lost "
    "and is not asked for again: give the job up with `fedtrace consortium abandon`, and propose "
    "its plan under another name"
)


def publish(log: Log, staged: Mapping[int, bytes]) -> None:
    """Append the staged entries that the log does not have yet.

    Args:
        log: the consortium's log.
        staged: index -> entry, consecutive.

    Raises:
        Corrupt: the log has other entries in their place, or ends before they begin: it was cut
            short, or somebody wrote to it past the database.
    """
    missing: list[bytes] = []
    for index in sorted(staged):
        if index >= log.size + len(missing) + 1:
            raise Corrupt(
                f"the log has {log.size} entries, the database goes on at {index}: "
                "entries of the log are lost"
            )
        if index >= log.size:
            missing.append(staged[index])
        elif log.line(index) != staged[index]:
            raise Corrupt(f"entry {index} of the log is not the one that the database staged")
    if missing:
        log.append_lines(missing)


def require_closed_round(log: Log, head: Head) -> None:
    """Check that log and database agree on the last closed round of a run.

    Raises:
        Corrupt: the log knows another last round, or another checkpoint.
    """
    last = _last_closed(log, head.run_id)
    found = (last.round, last.output_digest) if last else (0, None)
    expected = (head.round, head.checkpoint_digest if head.round else None)
    if found[0] > expected[0]:
        raise Corrupt(
            f"the log ends run {head.run_id} with round {found[0]}, the database with round "
            f"{expected[0]}: {WAY_OUT}"
        )
    if found != expected:
        raise Corrupt(
            f"the log ends run {head.run_id} with round {found[0]}, the database with round "
            f"{expected[0]}, or with another checkpoint"
        )


def _last_closed(log: Log, run_id: str) -> RoundClosed | None:
    for index in reversed(range(log.size)):
        line = log.line(index)
        # Decoding is expensive; most lines of a log are about schools.
        if RoundClosed.type.encode() not in line:
            continue
        entry = decode_entry(line, index=index, origin=log.origin).entry
        if isinstance(entry, RoundClosed) and entry.run_id == run_id:
            return entry
    return None
