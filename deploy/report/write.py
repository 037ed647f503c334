"""Writes ``report.json`` and ``report.html``, each whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

from fedtrace.deploy.report.model import Report
from fedtrace.deploy.report.render import render_page


def write_report(report: Report, out_dir: Path) -> tuple[Path, Path]:
    """Write both files into ``out_dir``, which is made where it is missing.

    The page is rendered before anything is written, so a report never stands beside the page of
    another run.

    Returns:
        The paths of ``report.json`` and ``report.html``.
    """
    page = render_page(report)
    out_dir.mkdir(parents=True, exist_ok=True)
    json_path, html_path = out_dir / "report.json", out_dir / "report.html"
    replace_file(json_path, report.model_dump_json(indent=2) + "\n")
    replace_file(html_path, page)
    return json_path, html_path


def replace_file(path: Path, text: str) -> None:
    """Put ``text`` at ``path`` in one step: a reader sees the old file or the new one."""
    staged = path.with_name(path.name + ".tmp")
    with staged.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    staged.replace(path)
