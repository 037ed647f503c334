"""How well the model predicts, in two charts; None where there is nothing to show."""

from __future__ import annotations

from matplotlib.axes import Axes

from fedtrace.deploy.report.canvas import (
    MAX_ROWS,
    NARROW_INCHES,
    Chart,
    draw_chart,
    legend,
    natural,
    shortened,
)
from fedtrace.deploy.report.model import CONDITIONS, Condition, Report
from fedtrace.deploy.report.svg import ACCENT, INK, MUTED, RULE, SECOND, SURFACE, THIRD, Drawing

MAX_COMPARED = 4
"""Ways of training in the chart by school; the table beside it has them all."""
GUESSING = 0.5

_COMPARED: tuple[Condition, ...] = (
    "private",
    "personalised",
    "local_only",
    "centralised",
    "federated_finetuned",
    "federated",
)
_MARKERS = (("o", ACCENT), ("D", INK), ("s", SECOND), ("^", THIRD))


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
    return draw_chart(
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
        legend(axes, columns=2 if inches > NARROW_INCHES else 1)

    cut = len(rows) == MAX_ROWS < report.schools
    shown = f"The {MAX_ROWS} largest of {report.schools} schools" if cut else f"{len(rows)} schools"
    return draw_chart(
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


def schools_by_size(report: Report) -> list[str]:
    """Every scored school, the one with most test students first, then by name."""
    size: dict[str, int] = {}
    for scores in report.metrics.values():
        for school, found in scores.per_school.items():
            size[school] = max(size.get(school, 0), found.students or found.interactions or 0)
    return sorted(size, key=lambda school: (-size[school], natural(school)))
