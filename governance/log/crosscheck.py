"""Hold the logs against each other: what one side says it sent, the other must say it received.

One dishonest log can be perfectly signed. Logs kept by different people that agree on every
digest are harder to make up.

======================  ==========================================================================
``rounds.privacy``      the noise and sampling of a round are those that the schools reserved for
``updates.sent``        every update that the consortium counts was sent by that school
``updates.received``    every update that a school sent was received and summed
``epsilon.recomputed``  see `fedtrace.governance.log.spending`
======================  ==========================================================================
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from fedtrace.governance.charter_history import CharterHistory
from fedtrace.governance.log.entries import (
    Entry,
    EvaluationClosed,
    LoggedEntry,
    RoundClosed,
    RoundReserved,
    SchoolMissing,
    UpdateReceived,
    UpdateRejected,
    UpdateSent,
    UpdateUnused,
)
from fedtrace.governance.log.selfcheck import (
    Round,
    check_consortium,
    check_schools,
    line,
    round_of,
)
from fedtrace.governance.log.spending import Accountant, recompute_epsilons
from fedtrace.governance.log.verify import Line

ORPHANS_SHOWN = 5
"""More updates without a counterpart are counted, not listed."""

Schools = Mapping[str, Sequence[Entry]]


def crosscheck(
    consortium: Sequence[LoggedEntry] | None,
    schools: Mapping[str, Sequence[LoggedEntry]],
    *,
    charters: CharterHistory,
    epsilon: Accountant,
) -> Iterator[Line]:
    """Check each log against itself and against the others, as far as they are at hand; total.

    Args:
        consortium: its entries, verified; None where its log is not at hand.
        schools: school -> its entries, verified; any number of the members.
        charters: say who the members were and how many had to sign.
        epsilon: recomputes what was spent.
    """
    theirs = {school: [each.entry for each in log] for school, log in sorted(schools.items())}
    if theirs:
        yield from check_schools(theirs)
    if consortium is None:
        return
    ours = [each.entry for each in consortium]
    yield from check_consortium(ours, charters)
    if theirs:
        yield line(
            "rounds.privacy",
            _other_privacy(ours, theirs),
            "Consortium and schools tell of the same noise and sampling in every round.",
        )
        yield line(
            "updates.sent",
            _invented_update(ours, theirs),
            "Every update that the consortium counts was sent by the school that it names.",
        )
        yield from _find_orphans(ours, theirs)
    yield from recompute_epsilons(consortium, schools, epsilon=epsilon)


def _other_privacy(consortium: Sequence[Entry], schools: Schools) -> str | None:
    told = {
        round_of(entry): (
            entry.noise_multiplier,
            entry.sampling_rate if isinstance(entry, RoundClosed) else "1",
        )
        for entry in consortium
        if isinstance(entry, RoundClosed | EvaluationClosed)
    }
    for school, entries in schools.items():
        for entry in entries:
            if isinstance(entry, RoundReserved):
                reserved = (entry.noise_multiplier, entry.sampling_rate)
                if told.get(round_of(entry), reserved) != reserved:
                    return (
                        f"The consortium tells of another noise or sampling in round {entry.round} "
                        f"than {school} reserved for."
                    )
    return None


def _invented_update(consortium: Sequence[Entry], schools: Schools) -> str | None:
    sent = {
        school: {(round_of(e), e.digest) for e in entries if isinstance(e, UpdateSent)}
        for school, entries in schools.items()
    }
    for entry in consortium:
        if not isinstance(entry, UpdateReceived) or entry.school not in sent:
            continue
        if (round_of(entry), entry.digest) not in sent[entry.school]:
            return (
                f"The consortium counts {entry.digest} in round {entry.round} as an update from "
                f"{entry.school}, and the log of {entry.school} does not know it."
            )
    return None


def _find_orphans(consortium: Sequence[Entry], schools: Schools) -> Iterator[Line]:
    """Every update that a school sent and that no round summed, with what became of it."""
    fates = _Fates(consortium)
    whole = True
    for school, entries in schools.items():
        orphans = [
            f"round {entry.round}, {entry.digest}: {fate}"
            for entry in entries
            if isinstance(entry, UpdateSent)
            if (fate := fates.of(entry, school))
        ]
        if orphans:
            whole = False
            more = len(orphans) - ORPHANS_SHOWN
            listed = "; ".join(orphans[:ORPHANS_SHOWN]) + (f"; and {more} more" if more > 0 else "")
            sentence = f"{school} sent updates that no round summed: {listed}."
            yield Line(status="WARN", check="updates.received", sentence=sentence)
    if whole:
        sent = sum(isinstance(entry, UpdateSent) for log in schools.values() for entry in log)
        sentence = f"All {sent} updates that the schools sent were received unchanged and summed."
        yield Line(status="PASS", check="updates.received", sentence=sentence)


class _Fates:
    """What the consortium's log says became of an update."""

    def __init__(self, consortium: Sequence[Entry]) -> None:
        self._received: set[tuple[Round, str]] = set()
        self._unused: set[tuple[Round, str]] = set()
        self._closed: set[Round] = set()
        self._without_update: dict[tuple[Round, str], str] = {}
        for entry in consortium:
            if isinstance(entry, UpdateUnused):
                self._unused.add((round_of(entry), entry.digest))
            elif isinstance(entry, UpdateReceived):
                self._received.add((round_of(entry), entry.digest))
            elif isinstance(entry, RoundClosed | EvaluationClosed):
                self._closed.add(round_of(entry))
            elif isinstance(entry, UpdateRejected):
                why = f"rejected by check {entry.check}"
                self._without_update[round_of(entry), entry.school] = why
            elif isinstance(entry, SchoolMissing):
                why = "it did not come before the deadline"
                self._without_update[round_of(entry), entry.school] = why

    def of(self, sent: UpdateSent, school: str) -> str | None:
        """Why no round summed an update; None where one did."""
        which = round_of(sent)
        if (which, sent.digest) in self._unused:
            return "it came masked and was never unmasked, so nothing of it was learnt"
        if (which, sent.digest) not in self._received:
            return self._without_update.get((which, school), "the consortium does not know it")
        return None if which in self._closed else "it was received, and the round was not closed"
