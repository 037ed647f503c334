"""The file for a student: no formula in a table, no script in a page."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from pathlib import Path

from support.gate import NOW
from support.town import SCHOOLS

from fedtrace.client.vault import Fold
from fedtrace.deploy.access import write_package
from fedtrace.deploy.access.collect import Everything, GivenAnswer


def made_up(**changes: object) -> Everything:
    values = {
        "school": SCHOOLS[0],
        "made_at": NOW,
        "student": "0" * 32,
        "fold": Fold.TRAIN,
        "retain_until": NOW,
        "answers": (),
        "consents": (),
        "holds": (),
        "rounds": (),
        "proofs": (),
        "privacy": ("nothing was spent.",),
    }
    return Everything(**values | changes)  # type: ignore[arg-type]


def test_no_spreadsheet_runs_what_is_in_it(tmp_path: Path) -> None:
    skills = ["=1+1", "+x", "-y", "@z", "\tq", '<script>"', "fine"]
    answers = tuple(
        GivenAnswer(order=n, skill=skill, correct=True) for n, skill in enumerate(skills)
    )
    write_package(made_up(answers=answers), b"{}", tmp_path / "out.zip")
    with zipfile.ZipFile(tmp_path / "out.zip") as package:
        table = list(csv.reader(io.StringIO(package.read("answers.csv").decode())))
        page = package.read("index.html").decode()
        whole = json.loads(package.read("everything.json"))
    assert [row[1] for row in table[1:]] == [f"'{s}" for s in skills[:5]] + skills[5:]
    assert [each["skill"] for each in whole["answers"]] == skills
    assert "<script>" not in page
    assert "default-src 'none'" in page
