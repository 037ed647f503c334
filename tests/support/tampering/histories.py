"""Other histories, signed in their time or anew."""

from __future__ import annotations

from pathlib import Path

from support.logs import (
    encode,
    note_over,
    tell_story,
    write_lines,
)
from support.tampering.tools import ORIGIN, Tampering, lines_of, log_of

from fedtrace.governance.log.entries import (
    PlanAccepted,
    RoundClosed,
    SchoolInitialised,
)
from fedtrace.governance.log.storage import CHECKPOINT, COSIGNED


def an_old_checkpoint_put_back(demo: Path) -> None:
    """The entries are all there, the signature is an earlier one: the rest counts as unsigned."""
    lines = lines_of(log_of(demo))
    (log_of(demo) / CHECKPOINT).write_bytes(note_over(lines[:12], ORIGIN))


def the_consortium_set_back(demo: Path) -> None:
    """Log and checkpoint of yesterday; the witnesses' cosignatures are of today."""
    write_lines(log_of(demo), encode(tell_story().consortium[:-9], ORIGIN), ORIGIN)


def the_consortium_set_back_with_its_cosignatures(demo: Path) -> None:
    write_lines(log_of(demo), encode(tell_story().consortium[:-9], ORIGIN), ORIGIN)
    (log_of(demo) / COSIGNED).unlink()


def history_written_anew(demo: Path) -> None:
    """The owner leaves a school's update out and signs again; nobody cosigns that."""
    story = tell_story()
    at = next(i for i, e in enumerate(story.consortium) if isinstance(e, RoundClosed))
    entry = story.consortium[at]
    story.consortium[at] = entry.model_copy(update={"rule": "sgd"})
    write_lines(log_of(demo), encode(story.consortium, ORIGIN), ORIGIN)


def a_school_set_back(demo: Path) -> None:
    """Its owner restores an old state, signed in its time: the log alone is whole."""
    origin = "county/schools/school-1"
    entries = tell_story().schools["school-1"][:-2]
    write_lines(log_of(demo, "school-1"), encode(entries, origin), origin)


def a_school_that_denies_everything(demo: Path) -> None:
    origin = "county/schools/school-2"
    entries = [
        each
        for each in tell_story().schools["school-2"]
        if isinstance(each, SchoolInitialised | PlanAccepted)
    ]
    write_lines(log_of(demo, "school-2"), encode(entries, origin), origin)


TAMPERINGS: tuple[Tampering, ...] = (
    Tampering(
        act=an_old_checkpoint_put_back,
        fails=("log.witnesses",),
        warns=("log.tail", "updates.received"),
    ),
    Tampering(act=the_consortium_set_back, fails=("log.witnesses",), warns=("updates.received",)),
    Tampering(
        act=the_consortium_set_back_with_its_cosignatures,
        warns=("log.witnesses", "updates.received"),
    ),
    Tampering(act=history_written_anew, fails=("log.witnesses",)),
    Tampering(act=a_school_set_back, fails=("updates.sent",)),
    Tampering(act=a_school_that_denies_everything, fails=("updates.sent",)),
)
