"""What one piece of evidence comes to: a status, a sentence, and the entries that prove it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fedtrace.deploy.packs.facts import Entered, Facts
from fedtrace.deploy.packs.words import LineStatus
from fedtrace.governance.log.entries import Entry


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What the logs and plans say to one question.

    Attributes:
        status: how far that goes.
        sentence: it in plain words.
        entries: what proves it, oldest first.
    """

    status: LineStatus
    sentence: str
    entries: tuple[Entered, ...] = ()


Evidence = Callable[[Facts], Finding]
"""One question to the logs; the same facts always get the same answer."""

SCHOOL_LOG_MISSING = (
    "A school's own log would show this, and none is here: ask the school to make this report "
    "from its home."
)
CONSORTIUM_LOG_MISSING = (
    "The consortium's log would show this, and it is not here: name the consortium's home, or a "
    "school's, which has a copy."
)


def of_school(facts: Facts, kind: type[Entry], *kinds: type[Entry]) -> list[Entered] | Finding:
    """Entries of a school's log, or that none is here."""
    if not facts.has_school:
        return Finding(status="elsewhere", sentence=SCHOOL_LOG_MISSING)
    return facts.entries(kind, *kinds)


def of_consortium(facts: Facts, kind: type[Entry], *kinds: type[Entry]) -> list[Entered] | Finding:
    """Entries of the consortium's log, or that it is not here."""
    if not facts.has_consortium:
        return Finding(status="elsewhere", sentence=CONSORTIUM_LOG_MISSING)
    return facts.entries(kind, *kinds)


def happened(
    found: list[Entered] | Finding,
    *,
    nothing: str,
    sentence: Callable[[Sequence[Entered]], str],
    by_itself: bool = False,
) -> Finding:
    """What happened is shown; that nothing did is for a person, who knows whether it should have.

    Args:
        found: the entries, or why they cannot be had.
        nothing: what to say where there are none.
        sentence: what to say of those that there are.
        by_itself: the program writes such entries without being asked by anybody, so a log without
            them shows that there was no occasion.
    """
    if isinstance(found, Finding):
        return found
    if not found:
        return Finding(status="shown" if by_itself else "needs_a_person", sentence=nothing)
    return Finding(status="shown", sentence=sentence(found), entries=tuple(found))


def counted(number: int, one: str, many: str | None = None) -> str:
    """``1 round``, ``2 rounds``; thousands are separated."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def between(entries: Sequence[Entered]) -> str:
    """From the first day to the last."""
    first, last = (each(entry.time for entry in entries).date() for each in (min, max))
    return f"on {first}" if first == last else f"from {first} to {last}"
