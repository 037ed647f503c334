"""How every chart of the page looks: two widths, quiet axes, text in the page's own font.

A drawing that is only scaled down has unreadable text at 320 pixels, so the page holds a wide and
a narrow one and shows one.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import matplotlib as mpl
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from fedtrace.deploy.report.svg import Drawing, settings, to_svg

WIDE_INCHES, NARROW_INCHES = 9.6, 3.9
MAX_ROWS = 30
"""Schools in one chart; the table beside it has them all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """One chart in two widths."""

    wide: Markup
    narrow: Markup


def draw_chart(
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


def legend(axes: Axes, *, columns: int, handles: Sequence[Patch | Line2D] | None = None) -> None:
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


def shortened(name: str, length: int) -> str:
    """``name`` with its end cut off where it is longer than ``length``."""
    return name if len(name) <= length else name[: length - 1] + "…"


def natural(name: str) -> tuple[tuple[int, str], ...]:
    """A sort key that puts school-2 before school-10."""
    parts = re.split(r"(\d+)", name)
    return tuple((int(part), "") if part.isdecimal() else (0, part) for part in parts)
