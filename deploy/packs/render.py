"""Turns a pack's report into one self-contained page, to be read, printed and filed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from types import MappingProxyType

from fedtrace.deploy.packs.model import PackReport
from fedtrace.deploy.packs.words import LineStatus
from fedtrace.deploy.report.pages import page_environment, styles

WORDS: Mapping[LineStatus, str] = MappingProxyType(
    {
        "shown": "shown",
        "needs_a_person": "needs a person",
        "elsewhere": "shown elsewhere",
        "not_shown": "not shown",
    }
)
MEANINGS: Mapping[LineStatus, str] = MappingProxyType(
    {
        "shown": "The logs and signed plans show it, all of it.",
        "needs_a_person": "A tool cannot know it, or not all of it: read what a person has to do.",
        "elsewhere": "A log or a plan that would show it is not in this folder.",
        "not_shown": "It should be here and is not: find out why before you rely on it.",
    }
)
VERDICTS: Mapping[str, str] = MappingProxyType(
    {
        "PASS": "The logs that this report draws from verify: every check passed.",
        "WARN": "The logs that this report draws from verify, with warnings: read them first.",
        "FAIL": "The logs do not verify: nothing in them counts as evidence. Keep a copy of the "
        "folder as it is, and tell the privacy officer.",
    }
)


def render_page(report: PackReport) -> str:
    """The page for ``report``: one file, no script, nothing fetched from elsewhere."""
    environment = page_environment("fedtrace.deploy.packs")
    return environment.get_template("pack.html").render(
        report=report,
        css=styles(environment, "report.css", "pack.css"),
        counts=Counter(line.status for line in report.lines),
        words=WORDS,
        meanings=MEANINGS,
        verdict=VERDICTS[report.verification],
    )
