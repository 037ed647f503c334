"""Turns a matplotlib figure into an SVG that belongs in a page.

The figure is drawn in placeholder colours that become CSS variables, so that one drawing serves
light, dark and print; text stays text; title and description are what a screen reader says.
"""

from __future__ import annotations

import io
import re
from dataclasses import dataclass

# Our own figure's markup, written in this process: nothing untrusted is parsed.
from xml.etree import ElementTree as ET

import matplotlib as mpl
from markupsafe import Markup
from matplotlib.figure import Figure

INK = "#010101"
MUTED = "#020202"
RULE = "#030303"
ACCENT = "#040404"
SECOND = "#050505"
THIRD = "#060606"
WARN = "#070707"
SURFACE = "#080808"
_VARIABLES = {
    INK: "var(--ink)",
    MUTED: "var(--muted)",
    RULE: "var(--rule)",
    ACCENT: "var(--accent)",
    SECOND: "var(--second)",
    THIRD: "var(--third)",
    WARN: "var(--warn)",
    SURFACE: "var(--surface)",
}
_SVG = "{http://www.w3.org/2000/svg}"
_LINK = "{http://www.w3.org/1999/xlink}href"
_SETTINGS = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "axes.edgecolor": RULE,
    "axes.labelcolor": MUTED,
    "xtick.color": RULE,
    "ytick.color": RULE,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": INK,
    "text.color": INK,
    "text.parse_math": False,  # a school's name may hold a dollar sign
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """One figure with the words that stand for it.

    Attributes:
        name: unique in its page; a prefix of every id.
        title: what the figure is.
        description: what it shows, for those who do not see it.
    """

    name: str
    title: str
    description: str


def settings() -> dict[str, object]:
    """The matplotlib settings under which a figure has to be made and written."""
    return dict(_SETTINGS)


def to_svg(figure: Figure, drawing: Drawing) -> Markup:
    """Write ``figure`` as markup for a page.

    Returns:
        ``<svg>`` with ``<title>`` and ``<desc>``, without size (the page decides), date or ids
        that another drawing could have.
    """
    buffer = io.BytesIO()
    with mpl.rc_context({**_SETTINGS, "svg.hashsalt": drawing.name}):
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    ET.register_namespace("", _SVG[1:-1])
    ET.register_namespace("xlink", _LINK[1 : _LINK.index("}")])
    root = ET.fromstring(buffer.getvalue())  # noqa: S314
    _describe(root, drawing)
    _rename_ids(root, drawing.name)
    text = ET.tostring(root, encoding="unicode")
    for colour, variable in _VARIABLES.items():
        text = text.replace(colour, variable)
    text = re.sub(r"font: ([\d.]+)px [^;\"]*", r"font-size: \1px", text)
    return Markup(text)  # noqa: S704  (ET escaped every name in it)


def _describe(root: ET.Element, drawing: Drawing) -> None:
    """Replace file metadata and size by title, description and role."""
    for element in root.findall(f"{_SVG}metadata"):
        root.remove(element)
    for attribute in ("width", "height", "version"):
        root.attrib.pop(attribute, None)
    title, description = ET.Element(f"{_SVG}title"), ET.Element(f"{_SVG}desc")
    title.text, description.text = drawing.title, drawing.description
    title.set("id", "title")
    description.set("id", "desc")
    root.insert(0, title)
    root.insert(1, description)
    root.set("role", "img")
    root.set("aria-labelledby", "title")
    root.set("aria-describedby", "desc")


def _rename_ids(root: ET.Element, prefix: str) -> None:
    """Keep only the ids that something points to, and make them unique in the page."""
    text = ET.tostring(root, encoding="unicode")
    wanted = set(re.findall(r'url\(#([^)]+)\)|href="#([^"]+)"', text))
    kept = {name for pair in wanted for name in pair if name} | {"title", "desc"}
    for element in root.iter():
        name = element.attrib.pop("id", None)
        if name in kept:
            element.set("id", f"{prefix}-{name}")
        for attribute, value in list(element.attrib.items()):
            if attribute == _LINK:
                element.set(attribute, f"#{prefix}-{value[1:]}")
            elif attribute.startswith("aria-"):
                element.set(attribute, f"{prefix}-{value}")
            elif "url(#" in value:
                element.set(attribute, value.replace("url(#", f"url(#{prefix}-"))
