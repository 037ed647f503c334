"""Writes what a school holds about a student as one ZIP file: a page, tables, and proofs."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from fedtrace.client.files import write_private
from fedtrace.deploy.access.collect import Everything
from fedtrace.deploy.report.pages import page_environment

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def write_package(found: Everything, charter: bytes, out: Path) -> None:
    """Write the file, readable by its owner alone.

    Args:
        found: what is in it.
        charter: canonical JSON; the proofs are checked with its keys.
        out: a file that is not there yet.

    Raises:
        FileExistsError: it is.
        OSError: it cannot be written.
    """
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w", compression=zipfile.ZIP_DEFLATED) as package:
        for name, content in _files(found, charter):
            moment = found.made_at.timetuple()[:6]
            entry = zipfile.ZipInfo(name, date_time=moment)
            entry.external_attr = 0o600 << 16
            package.writestr(entry, content, compress_type=zipfile.ZIP_DEFLATED)
    write_private(out, memory.getvalue())


def _files(found: Everything, charter: bytes) -> Iterable[tuple[str, bytes]]:
    yield "index.html", _page(found).encode("utf-8")
    yield "everything.json", _json(found)
    answers = [[each.order, each.skill, int(each.correct)] for each in found.answers]
    yield "answers.csv", _table(["order", "skill", "correct"], answers)
    yield (
        "rounds.csv",
        _table(
            ["time", "plan", "run", "round", "kind", "could_be_drawn"],
            [
                [r.time, r.plan_digest, r.run_id, r.round, r.kind, _yes_no(r.could_be_drawn)]
                for r in found.rounds
            ],
        ),
    )
    for proof in found.proofs:
        yield f"proofs/round-{proof.round}.json", proof.to_bytes()
    yield "proofs/charter.json", charter


def _page(found: Everything) -> str:
    environment = page_environment("fedtrace.deploy.access")
    return environment.get_template("page.html").render(found=found, yes_no=_yes_no)


def _json(found: Everything) -> bytes:
    whole = {
        "school": found.school,
        "made_at": found.made_at.isoformat(),
        "student": found.student,
        "fold": found.fold,
        "retain_until": found.retain_until.isoformat(),
        "answers": [
            {"order": each.order, "skill": each.skill, "correct": each.correct}
            for each in found.answers
        ],
        "consents": [each.model_dump(mode="json") for each in found.consents],
        "holds": [
            {"scope": each.scope, "matter": each.matter, "placed_at": each.placed_at.isoformat()}
            for each in found.holds
        ],
        "rounds": [
            {
                "plan_digest": each.plan_digest,
                "run_id": each.run_id,
                "round": each.round,
                "kind": each.kind,
                "time": each.time,
                "could_be_drawn": each.could_be_drawn,
            }
            for each in found.rounds
        ],
        "privacy": list(found.privacy),
    }
    return json.dumps(whole, indent=2, ensure_ascii=False).encode("utf-8")


def _table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(header)
    writer.writerows([_harmless(value) for value in row] for row in rows)
    return text.getvalue().encode("utf-8")


def _harmless(value: object) -> object:
    """A spreadsheet would run a text that begins like a formula."""
    if isinstance(value, str) and value.startswith(_FORMULA_STARTS):
        return f"'{value}"
    return value


def _yes_no(value: bool | None) -> str:
    return {True: "yes", False: "no", None: "destroyed"}[value]
