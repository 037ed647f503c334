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
from support.measurement import Measurement, spread

from fedtrace.client.ingest.catalogue import Catalogue
from fedtrace.client.sealing import StudentRecord
from fedtrace.client.store import SchoolStore
from fedtrace.client.vault import Vault
from fedtrace.governance.consent import Terms
from fedtrace.governance.ledger import PrivacyEvent

ROWS, STUDENTS, SKILLS = 1_000_000, 4_000, 120
REPETITIONS = 3
NOW = datetime(2026, 11, 2, tzinfo=UTC)
_CHILD = """
import json, resource, sys, time
from pathlib import Path
from fedtrace.client.ingest.assistments import ASSISTMENTS_2009
from fedtrace.client.ingest.catalogue import load_catalogue
from fedtrace.client.ingest.reader import read_csv

catalogue = load_catalogue(Path(sys.argv[2]).read_bytes())
start = time.perf_counter()
imported = read_csv(Path(sys.argv[1]), ASSISTMENTS_2009, catalogue)
seconds = time.perf_counter() - start
peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps({"rows": imported.report.rows_read, "seconds": seconds, "peak_mib": peak_mib}))
"""
CATALOGUE = Catalogue(skills=[f"Skill, number {number}" for number in range(SKILLS)])


def run() -> list[Measurement]:
    """Rows a second, peak memory, reading a cohort, reserving a round."""
    with tempfile.TemporaryDirectory() as directory:
        return [*_importing(Path(directory)), *_vault(Path(directory)), _ledger(Path(directory))]


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


def _rate(name: str, seconds: list[float]) -> Measurement:
    rates = [ROWS / each for each in seconds]
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


def _in_a_process(path: Path) -> dict[str, float]:
    catalogue = path.with_suffix(".json")
    catalogue.write_bytes(CATALOGUE.to_json())
    command = [sys.executable, "-c", _CHILD, str(path), str(catalogue)]
    finished = subprocess.run(command, check=True, capture_output=True, text=True)
    measured: dict[str, float] = json.loads(finished.stdout)
    if measured["rows"] != ROWS:
        raise ValueError(f"{measured['rows']} rows were read, not {ROWS}")
    return measured


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
