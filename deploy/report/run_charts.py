"""How the run went, in two charts; None where there is nothing to show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from matplotlib.axes import Axes
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from fedtrace.deploy.report.canvas import (
    MAX_ROWS,
    Chart,
    draw_chart,
    legend,
    natural,
    shortened,
)
from fedtrace.deploy.report.model import Report, RoundRecord
from fedtrace.deploy.report.svg import ACCENT, INK, MUTED, RULE, SURFACE, WARN, Drawing

MAX_SEPARATE_ROUNDS = 40
"""In a longer run, neighbouring rounds with the same answer are drawn as one bar."""

_ANSWERS: Mapping[str, tuple[str, str, str]] = {
    "answered": (ACCENT, "", SURFACE),
    "missing": (SURFACE, "////", MUTED),
    "refused": (WARN, "xxxx", SURFACE),
    "rejected": (INK, "....", SURFACE),
}
"""What a school did in a round: fill, hatch and edge, so that nothing hangs on colour alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Segment:
    """One school doing one thing for one or more rounds."""

    school: str
    answer: str
    start: datetime
    end: datetime


def epsilon_by_round(report: Report) -> Chart | None:
    """How the run's epsilon grew; None where nothing bounds it."""
    spent = [epsilon for epsilon in report.epsilon_by_round if epsilon is not None]
    if not spent or len(spent) != len(report.epsilon_by_round):
        return None
    rounds = range(1, len(spent) + 1)

    def draw(axes: Axes, inches: float) -> None:
        marker = "o" if len(spent) <= 40 else ""
        axes.plot(rounds, spent, color=ACCENT, marker=marker, linewidth=2, markersize=6)
        axes.fill_between(rounds, spent, color=ACCENT, alpha=0.12, linewidth=0)
        axes.annotate(
            f"{spent[-1]:.2f}",
            (len(spent), spent[-1]),
            xytext=(0, 8),
            textcoords="offset points",
            ha="center",
            fontweight="bold",
            fontsize=11,
        )
        axes.set_xlim(0.7, len(spent) + max(0.3, len(spent) * 0.25 / inches))
        axes.set_ylim(0, max(spent) * 1.25 or 1)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=int(inches * 1.5)))
        axes.yaxis.set_major_locator(MaxNLocator(nbins=4))
        axes.grid(axis="y", color=RULE, linewidth=0.6)
        axes.set_axisbelow(True)
        axes.set_xlabel("Round")
        axes.set_ylabel("epsilon spent so far")

    return draw_chart(
        Drawing(
            name="epsilon",
            title="Epsilon over the rounds",
            description=f"Epsilon grows from {spent[0]:.2f} after round 1 to {spent[-1]:.2f} after "
            f"round {len(spent)}.",
        ),
        draw,
        height_inches=2.6,
    )


def timeline(report: Report) -> Chart | None:
    """One row a school, one segment a round: who answered when and who did not."""
    if not report.timeline:
        return None
    origin = report.timeline[0].start
    rows = schools_in(report.timeline)[:MAX_ROWS]
    last = max((record.end - origin).total_seconds() for record in report.timeline)
    unit, divisor = ("minutes", 60.0) if last > 300 else ("seconds", 1.0)
    segments = _segments(report.timeline)
    kinds = [kind for kind in _ANSWERS if any(segment.answer == kind for segment in segments)]

    def draw(axes: Axes, inches: float) -> None:
        for segment in segments:
            if segment.school not in rows:
                continue
            colour, hatch, edge = _ANSWERS[segment.answer]
            axes.barh(
                rows.index(segment.school),
                (segment.end - segment.start).total_seconds() / divisor,
                left=(segment.start - origin).total_seconds() / divisor,
                height=0.62,
                color=colour,
                hatch=hatch,
                edgecolor=edge,
                linewidth=0.8,
            )
        for record in report.timeline:
            width = (record.end - record.start).total_seconds()
            if width > last / 12:
                middle = ((record.start - origin).total_seconds() + width / 2) / divisor
                axes.text(middle, -0.62, f"{record.round}", ha="center", color=MUTED, fontsize=10)
        axes.set_xlim(0, last / divisor * 1.01 or 1)
        axes.set_ylim(len(rows) - 0.4, -1.1)
        axes.set_yticks(range(len(rows)), [shortened(s, int(inches * 4)) for s in rows])
        axes.xaxis.set_major_locator(MaxNLocator(nbins=int(inches)))
        axes.set_xlabel(f"{unit.capitalize()} since the first round began")
        handles = []
        for kind in kinds:
            colour, hatch, edge = _ANSWERS[kind]
            handles.append(Patch(facecolor=colour, hatch=hatch, edgecolor=edge, label=kind))
        legend(axes, columns=len(handles), handles=handles)

    incomplete = sum(bool(r.missing or r.refused or r.rejected) for r in report.timeline)
    return draw_chart(
        Drawing(
            name="timeline",
            title="Timeline of the rounds",
            description=f"{len(report.timeline)} rounds in {last / divisor:.1f} {unit}; in "
            f"{incomplete} of them a school was missing, refused or was rejected.",
        ),
        draw,
        height_inches=0.36 * len(rows) + 1.0,
        legend_rows=1,
    )


def _segments(records: Sequence[RoundRecord]) -> list[_Segment]:
    """What each school did round by round; in a long run, equal neighbours are joined."""
    joins = len(records) > MAX_SEPARATE_ROUNDS
    segments: dict[str, list[_Segment]] = {}
    for record in records:
        for answer in _ANSWERS:
            for school in getattr(record, answer):
                own = segments.setdefault(school, [])
                start = record.start
                if joins and own and own[-1].answer == answer:
                    start = own.pop().start
                own.append(_Segment(school=school, answer=answer, start=start, end=record.end))
    return [segment for own in segments.values() for segment in own]


def schools_in(records: Sequence[RoundRecord]) -> list[str]:
    """Every school that was asked in these rounds, by name."""
    return sorted(
        {s for r in records for s in (*r.answered, *r.missing, *r.refused, *r.rejected)},
        key=natural,
    )
