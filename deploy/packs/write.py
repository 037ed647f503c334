"""Writes a pack's report as a page and as JSON, each whole or not at all."""

from __future__ import annotations

from pathlib import Path

from fedtrace.deploy.packs.model import PackReport
from fedtrace.deploy.packs.render import render_page
from fedtrace.deploy.report.write import replace_file


def write_report(report: PackReport, page: Path) -> Path:
    """Write the page, and beside it the same as JSON.

    Args:
        report: what to write.
        page: the page's path, ending in ``.html``; its folder is made where it is missing.

    Returns:
        The path of the JSON.

    Raises:
        OSError: they cannot be written.
    """
    rendered = render_page(report)
    page.parent.mkdir(parents=True, exist_ok=True)
    data = page.with_suffix(".json")
    replace_file(data, report.model_dump_json(indent=2) + "\n")
    replace_file(page, rendered)
    return data
