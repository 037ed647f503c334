"""Importing a million rows, and what a school's disk costs a round.

The importer runs in a process of its own, so that its peak memory is its own; the baseline is the
csv module alone over the same file, which keeps nothing.
"""

from __future__ import annotations

import csv
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from support.exports import grade_event, item_event, json_lines, statement, zipped
from support.measurement import Measurement, spread

from fedtrace.client.ingest.catalogue import Catalogue
from fedtrace.client.sealing import StudentRecord
from fedtrace.client.store import SchoolStore
from fedtrace.client.vault import Vault
from fedtrace.governance.consent import Terms
from fedtrace.governance.ledger import PrivacyEvent

ROWS, STUDENTS, SKILLS = 1_000_000, 4_000, 120
EVENTS = 100_000
REPETITIONS = 3
NOW = datetime(2026, 11, 2, tzinfo=UTC)
_CHILD = """
import json, sys, time
from pathlib import Path
from fedtrace.client.ingest.catalogue import load_catalogue
from fedtrace.client.ingest.formats import Format, layout_of
from fedtrace.client.ingest.reader import read_export

catalogue = load_catalogue(Path(sys.argv[2]).read_bytes())
path = Path(sys.argv[1])
start = time.perf_counter()
layout = layout_of(path, Format.AUTO, mapping=None, kc_model=None)
imported = read_export(path, layout, catalogue)
seconds = time.perf_counter() - start
# Not ru_maxrss: a new process takes that over from the one that started it.
status = Path("/proc/self/status").read_text()
peak_mib = int(status.partition("VmHWM:")[2].split()[0]) / 1024
print(json.dumps({"rows": imported.report.rows_read, "seconds": seconds, "peak_mib": peak_mib}))
"""
_RESULT_COLUMNS = (
    *("sourcedId", "status", "dateLastModified", "lineItemSourcedId", "studentSourcedId"),
    *("scoreStatus", "score", "scoreDate", "comment"),
)
CATALOGUE = Catalogue(skills=[f"Skill, number {number}" for number in range(SKILLS)])


def run() -> list[Measurement]:
    """Rows a second, peak memory, reading a cohort, reserving a round."""
    with tempfile.TemporaryDirectory() as directory:
        return [
            *_importing(Path(directory)),
            *_formats(Path(directory)),
            *_vault(Path(directory)),
            _ledger(Path(directory)),
        ]


def _importing(directory: Path) -> list[Measurement]:
    clean, dirty = directory / "clean.csv", directory / "dirty.csv"
    _write(clean, missing_skill_every=0)
    _write(dirty, missing_skill_every=6)  # as often as in the ASSISTments 2009 export
    plain = [_csv_alone(clean) for _ in range(REPETITIONS)]
    baseline = "ingest/csv module alone"
    found = [_rate(baseline, plain)]
    for name, path in (("clean file", clean), ("every 6th row rejected", dirty)):
        runs = [_in_a_process(path) for _ in range(REPETITIONS)]
        seconds = [run["seconds"] for run in runs]
        ratio = statistics.median(plain) / statistics.median(seconds)
        found.append(replace(_rate(f"ingest/{name}", seconds), baseline=baseline, ratio=ratio))
        megabytes = [run["peak_mib"] for run in runs]
        found.append(
            Measurement(
                name=f"ingest/peak memory, {name}",
                value=statistics.median(megabytes),
                unit="MiB",
                spread=spread(megabytes),
            )
        )
    return found


def _formats(directory: Path) -> list[Measurement]:
    """Each of the other formats, made up with fields around what is read."""
    found = []
    for name, write, rows in (
        ("DataShop steps", _write_datashop, EVENTS),
        ("OneRoster gradebook", _write_oneroster, EVENTS),
        ("Caliper lines, item and grade", _write_caliper, 2 * EVENTS),
        ("xAPI lines", _write_xapi_lines, EVENTS),
        ("xAPI array", _write_xapi_array, EVENTS),
    ):
        path = directory / "export"
        write(path)
        runs = [_in_a_process(path, rows) for _ in range(REPETITIONS)]
        found.append(_rate(f"ingest/{name}", [run["seconds"] for run in runs], rows))
        megabytes = [run["peak_mib"] for run in runs]
        found.append(
            Measurement(
                name=f"ingest/peak memory, {name}",
                value=statistics.median(megabytes),
                unit="MiB",
                spread=spread(megabytes),
            )
        )
    return found


def _vault(directory: Path) -> list[Measurement]:
    rng = np.random.default_rng(0)
    vault = Vault(directory / "vault", bytes(32))
    records = [
        StudentRecord(
            external_id=str(number),
            skills=rng.integers(0, SKILLS, 66, dtype=np.int32),
            correct=rng.integers(0, 2, 66, dtype=np.int8),
        )
        for number in range(STUDENTS)
    ]

    def add() -> None:
        vault.add(records, retain_until=NOW + timedelta(days=1), catalogue_digest="sha256:c")

    def read() -> None:
        vault.read(
            vault.cohort(
                now=NOW,
                terms=Terms(purpose="learning_research", legal_basis="school_official"),
                catalogue_digest="sha256:c",
            )
        )

    found = [
        _seconds(f"vault/store {STUDENTS} students", add),
        _seconds(f"vault/freeze and decrypt {STUDENTS} students", read),
    ]
    vault.close()
    return found


def _ledger(directory: Path) -> Measurement:
    store = SchoolStore(directory / "school.db")
    event = PrivacyEvent(
        plan_digest="sha256:p",
        run_id="run-1",
        round=1,
        kind="train",
        noise_multiplier=1.0,
        sampling_rate=1.0,
        count=1,
        trust_mode="local",
        student_year="2026/27",
    )

    def one_round() -> None:
        reservation = store.reserve(
            event, order_digest="sha256:o", checkpoint_digest="sha256:c", now=NOW
        )
        store.commit(reservation, reply={"manifest": bytes(2_000), "payload": bytes(200_000)})

    found = _seconds("store/reserve and commit a round, on disk", one_round)
    store.close()
    return found


def _rate(name: str, seconds: list[float], rows: int = ROWS) -> Measurement:
    rates = [rows / each for each in seconds]
    return Measurement(
        name=name, value=statistics.median(rates), unit="rows/s", spread=spread(rates)
    )


def _seconds(name: str, act: Callable[[], None]) -> Measurement:
    act()
    seconds = []
    for _ in range(REPETITIONS):
        start = time.perf_counter()
        act()
        seconds.append(time.perf_counter() - start)
    return Measurement(
        name=name, value=statistics.median(seconds), unit="s", spread=spread(seconds)
    )


def _csv_alone(path: Path) -> float:
    start = time.perf_counter()
    with path.open(encoding="utf-8", newline="") as text:
        for _ in csv.reader(text):
            pass
    return time.perf_counter() - start


def _in_a_process(path: Path, rows: int = ROWS) -> dict[str, float]:
    catalogue = path.with_suffix(".json")
    catalogue.write_bytes(CATALOGUE.to_json())
    command = [sys.executable, "-c", _CHILD, str(path), str(catalogue)]
    finished = subprocess.run(command, check=True, capture_output=True, text=True)
    measured: dict[str, float] = json.loads(finished.stdout)
    if measured["rows"] != rows:
        raise ValueError(f"{measured['rows']} rows were read, not {rows}")
    return measured


def _made_up() -> list[tuple[int, str, str, int, str]]:
    """Number, student, skill, right or wrong and time of each answer."""
    rng = np.random.default_rng(2)
    students = rng.integers(0, STUDENTS, EVENTS).tolist()
    skills = rng.integers(0, SKILLS, EVENTS).tolist()
    right = rng.integers(0, 2, EVENTS).tolist()
    moments = [(NOW + timedelta(seconds=number)).isoformat() for number in range(EVENTS)]
    names = [CATALOGUE.skills[skill] for skill in skills]
    who = [f"u{student}" for student in students]
    return list(zip(range(EVENTS), who, names, right, moments, strict=True))


def _write_datashop(path: Path) -> None:
    rows = [
        f"{number}\t{student}\tUnit 1, Section 2\tP{number % 900}\tStep {number % 9}\t{at}\t"
        f"{'correct' if right else 'hint'}\t{number % 60}\t{skill}~~Other\t1"
        for number, student, skill, right, at in _made_up()
    ]
    header = (
        "Row\tAnon Student Id\tProblem Hierarchy\tProblem Name\tStep Name\tFirst Transaction Time\t"
        "First Attempt\tStep Duration (sec)\tKC (Default)\tOpportunity (Default)"
    )
    path.write_text("\n".join([header, *rows]), "utf-8")


def _write_oneroster(path: Path) -> None:
    results, objectives = [], []
    for number, student, skill, right, at in _made_up():
        results.append(f"r{number},active,,li,{student},fully graded,{right},{at[:10]},Well done")
        objectives.append(f'o{number},active,,r{number},case,"{skill}"')
    files = {
        "lineItems.csv": ["sourcedId,status,resultValueMin,resultValueMax", "li,active,0,1"],
        "results.csv": [
            ",".join(_RESULT_COLUMNS),
            *results,
        ],
        "resultLearningObjectiveIds.csv": [
            "sourcedId,status,dateLastModified,resultSourcedId,source,learningObjectiveId",
            *objectives,
        ],
    }
    path.write_bytes(zipped({name: "\n".join(lines) for name, lines in files.items()}))


def _write_caliper(path: Path) -> None:
    events = []
    for number, student, skill, right, _ in _made_up():
        events += [item_event(number, student, skill), grade_event(number, 2 * right)]
    path.write_bytes(json_lines(events))


def _statements() -> list[dict[str, object]]:
    return [
        statement(number, student, skill, bool(right), timestamp=at)
        for number, student, skill, right, at in _made_up()
    ]


def _write_xapi_lines(path: Path) -> None:
    path.write_bytes(json_lines(_statements()))


def _write_xapi_array(path: Path) -> None:
    path.write_text(json.dumps(_statements()), "utf-8")


def _write(path: Path, *, missing_skill_every: int) -> None:
    """An export with twelve columns; order, students and skills are mixed."""
    rng = np.random.default_rng(1)
    students = rng.integers(0, STUDENTS, ROWS).tolist()
    skills = rng.integers(0, SKILLS, ROWS).tolist()
    correct = rng.integers(0, 2, ROWS).tolist()
    with path.open("w", encoding="utf-8") as text:
        text.write(
            "order_id,assignment_id,user_id,assistment_id,problem_id,correct,attempt_count,"
            "ms_first_response,skill_name,teacher_id,school_id,answer_text\n"
        )
        for row, (student, skill, right) in enumerate(zip(students, skills, correct, strict=True)):
            missing = missing_skill_every and row % missing_skill_every == 0
            name = "" if missing else f'"{CATALOGUE.skills[skill]}"'
            text.write(
                f"{row},{row % 997},{student},{row % 7000},{row % 9000},{right},1,{row % 100_000},"
                f'{name},{row % 30},{row % 10},"x = {row % 100}"\n'
            )
