"""The page's four charts; each is drawn twice, for a wide and for a narrow screen.

A drawing that is only scaled down has unreadable text at 320 pixels, so the page holds both and
shows one. Every chart returns None where there is nothing to show.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import matplotlib as mpl
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from fedtrace.deploy.report.model import CONDITIONS, Condition, Report, RoundRecord
from fedtrace.deploy.report.svg import (
    ACCENT,
    INK,
    MUTED,
    RULE,
    SECOND,
    SURFACE,
    THIRD,
    WARN,
    Drawing,
    settings,
    to_svg,
)

WIDE_INCHES, NARROW_INCHES = 9.6, 3.9
MAX_ROWS = 30
"""Schools in one chart; the table beside it has them all."""
MAX_COMPARED = 4
MAX_SEPARATE_ROUNDS = 40
"""In a longer run, neighbouring rounds with the same answer are drawn as one bar."""
GUESSING = 0.5

_COMPARED: tuple[Condition, ...] = (
    "private",
    "private_finetuned",
    "local_only",
    "centralised",
    "federated_finetuned",
    "federated",
)
_MARKERS = (("o", ACCENT), ("D", INK), ("s", SECOND), ("^", THIRD))


_ANSWERS: Mapping[str, tuple[str, str, str]] = {
    "answered": (ACCENT, "", SURFACE),
    "missing": (SURFACE, "////", MUTED),
    "refused": (WARN, "xxxx", SURFACE),
}
"""What a school did in a round: fill, hatch and edge, so that nothing hangs on colour alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Segment:
    """One school doing one thing for one or more rounds."""

    school: str
    answer: str
    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """One chart in two widths."""

    wide: Markup
    narrow: Markup


def auc_by_condition(report: Report) -> Chart | None:
    """Bars from guessing to each condition's pooled AUC."""
    found = [(c, report.metrics[c].pooled.auc) for c in CONDITIONS if c in report.metrics]
    bars = [(condition, auc) for condition, auc in found if auc is not None]
    if not bars:
        return None
    start = min(GUESSING, *(auc for _, auc in bars))

    def draw(axes: Axes, inches: float) -> None:
        for row, (condition, auc) in enumerate(bars):
            colour = ACCENT if condition.startswith("private") else SECOND
            axes.barh(row, auc - start, left=start, height=0.38, color=colour)
            axes.text(start, row - 0.34, CONDITIONS[condition].title, va="bottom", fontsize=11)
            axes.annotate(
                f"{auc:.3f}",
                (auc, row),
                xytext=(4, 0),
                textcoords="offset points",
                va="center",
                fontsize=11,
                fontweight="bold",
            )
        top = max(auc for _, auc in bars)
        axes.set_xlim(start, top + (top - start) * 0.9 / inches + 0.02)
        axes.set_ylim(len(bars) - 0.6, -0.9)
        axes.set_yticks([])
        axes.set_xlabel(f"AUC (bars start at {start:.2f}; guessing: 0.50)")

    listed = "; ".join(f"{CONDITIONS[condition].title}: {auc:.3f}" for condition, auc in bars)
    return _chart(
        Drawing(name="auc", title="AUC by way of training", description=f"Pooled AUC. {listed}."),
        draw,
        height_inches=0.72 * len(bars) + 0.75,
    )


def auc_by_school(report: Report) -> Chart | None:
    """One row a school, one marker a condition; the schools with most test students first."""
    compared = [c for c in _COMPARED if c in report.metrics][:MAX_COMPARED]
    rows = schools_by_size(report)[:MAX_ROWS]
    points = {
        condition: [
            (scores.auc, row)
            for row, school in enumerate(rows)
            if (scores := report.metrics[condition].per_school.get(school)) is not None
            and scores.auc is not None
        ]
        for condition in compared
    }
    values = [auc for found in points.values() for auc, _ in found]
    if not values:
        return None

    def draw(axes: Axes, inches: float) -> None:
        axes.hlines(range(len(rows)), 0, 1, color=RULE, linewidth=0.6)
        axes.axvline(GUESSING, color=MUTED, linewidth=1, linestyle=(0, (4, 3)))
        for (marker, colour), (condition, found) in zip(_MARKERS, points.items(), strict=False):
            axes.scatter(
                [auc for auc, _ in found],
                [row for _, row in found],
                marker=marker,
                s=46,
                color=colour,
                edgecolors=SURFACE,
                linewidths=0.8,
                label=CONDITIONS[condition].title,
                zorder=3,
            )
        margin = 0.03
        axes.set_xlim(min(GUESSING, *values) - margin, max(values) + margin)
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.set_yticks(range(len(rows)), [shortened(s, int(inches * 4)) for s in rows])
        axes.set_xlabel("AUC (dashed line: guessing)")
        _legend(axes, columns=2 if inches > NARROW_INCHES else 1)

    cut = len(rows) == MAX_ROWS < report.schools
    shown = f"The {MAX_ROWS} largest of {report.schools} schools" if cut else f"{len(rows)} schools"
    return _chart(
        Drawing(
            name="schools",
            title="AUC by school",
            description=f"{shown}, AUC from {min(values):.3f} to {max(values):.3f}; the table "
            "below the chart has every number.",
        ),
        draw,
        height_inches=0.34 * len(rows) + 0.8,
        legend_rows=len(compared),
    )


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

    return _chart(
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
    """One row a school, one segment a round: who answered when, who was missing or refused."""
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
        _legend(axes, columns=len(handles), handles=handles)

    incomplete = sum(bool(record.missing or record.refused) for record in report.timeline)
    return _chart(
        Drawing(
            name="timeline",
            title="Timeline of the rounds",
            description=f"{len(report.timeline)} rounds in {last / divisor:.1f} {unit}; in "
            f"{incomplete} of them a school was missing or refused.",
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


def schools_by_size(report: Report) -> list[str]:
    """Every scored school, the one with most test students first, then by name."""
    size: dict[str, int] = {}
    for scores in report.metrics.values():
        for school, found in scores.per_school.items():
            size[school] = max(size.get(school, 0), found.students or found.interactions or 0)
    return sorted(size, key=lambda school: (-size[school], _natural(school)))


def schools_in(records: Sequence[RoundRecord]) -> list[str]:
    """Every school that was asked in these rounds, by name."""
    return sorted({s for r in records for s in (*r.answered, *r.missing, *r.refused)}, key=_natural)


def _natural(name: str) -> tuple[tuple[int, str], ...]:
    """A sort key that puts school-2 before school-10."""
    parts = re.split(r"(\d+)", name)
    return tuple((int(part), "") if part.isdecimal() else (0, part) for part in parts)


def shortened(name: str, length: int) -> str:
    """``name`` with its end cut off where it is longer than ``length``."""
    return name if len(name) <= length else name[: length - 1] + "…"


def _chart(
    drawing: Drawing,
    draw: Callable[[Axes, float], None],
    *,
    height_inches: float,
    legend_rows: int = 0,
) -> Chart:
    """Draw both widths with one look: no frame, quiet axes, text in the page's font."""

    def one(width: str, inches: float) -> Markup:
        below = 0.26 * (legend_rows if inches == NARROW_INCHES else (legend_rows + 1) // 2)
        with mpl.rc_context(settings()), warnings.catch_warnings():
            # The page's own fonts draw the text, whatever matplotlib's font lacks.
            warnings.filterwarnings("ignore", message="Glyph .* missing from font")
            figure = Figure(figsize=(inches, height_inches + below), layout="constrained")
            axes = figure.add_subplot()
            draw(axes, inches)
            axes.spines[["top", "right", "left"]].set_visible(False)
            axes.tick_params(length=0, labelsize=11)
            axes.xaxis.label.set_fontsize(10.5)
            axes.yaxis.label.set_fontsize(10.5)
            return to_svg(
                figure,
                Drawing(
                    name=f"{drawing.name}-{width}",
                    title=drawing.title,
                    description=drawing.description,
                ),
            )

    return Chart(wide=one("wide", WIDE_INCHES), narrow=one("narrow", NARROW_INCHES))


def _legend(axes: Axes, *, columns: int, handles: Sequence[Patch | Line2D] | None = None) -> None:
    """A legend under the axes, without a frame."""
    figure = axes.get_figure()
    if figure is None:
        raise ValueError("the axes belong to no figure")
    figure.legend(
        handles=handles or axes.get_legend_handles_labels()[0],
        loc="outside lower left",
        ncols=columns,
        frameon=False,
        fontsize=10.5,
    )
