"""From nothing to a finished job by the commands that people type: three schools, three rounds.

Every command of the path in docs/deployment.md is run as it stands there, one after the other, and
counted; the two services of the path run beside them. What people do in between, telephone and
read, takes no time here.
"""

from __future__ import annotations

import json
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from support.commands import approve, consortium_status, fedtrace, service, until
from support.measurement import Measurement

from fedtrace.client.ingest.catalogue import Catalogue
from fedtrace.deploy.network.ports import free_ports
from fedtrace.deploy.simulation.schools import simulated_tables, write_school_csv
from fedtrace.models.simulator import simulate_schools

SCHOOLS, STUDENTS, ROUNDS, SKILLS = 3, 40, 3, 8


class _Typed:
    """Counts what is typed and how long it takes."""

    def __init__(self) -> None:
        self.commands: dict[str, int] = {"consortium": 0, "school": 0, "plan": 0}
        self.started = time.monotonic()

    def __call__(self, *words: object) -> str:
        self.commands[str(words[0])] += 1
        return fedtrace(*words)


def run() -> list[Measurement]:
    """One walk along the path."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as running:
        root = Path(folder)
        tables = _tables(root)
        home = root / "consortium"
        (port,) = free_ports(1)
        typed = _Typed()
        typed("consortium", "init", "--home", home, "--name", "county",
              "--host", "localhost", "--port", port, "--listen", "127.0.0.1")  # fmt: skip
        typed.commands["consortium"] += 1
        running.enter_context(service("consortium", "serve", "--home", home, ready="authority"))
        homes = {name: root / name for name in tables}
        with ExitStack() as first:
            for name, school in homes.items():
                invite = typed("consortium", "invite", name, "--home", home)
                typed("school", "join", invite, "--home", school)
                typed.commands["school"] += 1
                first.enter_context(service("school", "run", "--home", school, ready="says: asked"))
            for name in homes:
                typed.commands["consortium"] += 1  # and one that shows what to compare
                approve(home, name)
            typed("consortium", "found", "--home", home)
            until(lambda: all(consortium_status(home)["schools"].values()))
        enrolled = time.monotonic() - typed.started
        _first_job(typed, root, home, homes)
        for school in homes.values():
            typed.commands["school"] += 1
            running.enter_context(service("school", "run", "--home", school, ready="connected"))
        typed("consortium", "start", "pilot", "--home", home)
        until(lambda: _is_over(home / "progress.jsonl"), seconds=300)
        seconds = time.monotonic() - typed.started
    counted = typed.commands
    return [
        _once("enrolment.until_all_are_members", enrolled, "s"),
        _once("enrolment.until_the_job_is_over", seconds, "s"),
        _once("enrolment.commands_of_a_school", counted["school"] / SCHOOLS, "commands"),
        _once("enrolment.commands_of_the_consortium", counted["consortium"], "commands"),
        _once("enrolment.commands_about_the_plan", counted["plan"], "commands"),
    ]


def _tables(root: Path) -> dict[str, Path]:
    """What three schools export from their systems, and the catalogue that they agreed on."""
    simulated = simulate_schools(
        schools=SCHOOLS, students_per_school=STUDENTS, skills=SKILLS, seed=1
    )
    catalogue = Catalogue(skills=[f"skill {number}" for number in range(SKILLS)])
    (root / "catalogue.json").write_text(json.dumps({"skills": list(catalogue.skills)}))
    columns = ("student", "order", "skill", "correct")
    mapping = "".join(f'{column} = "{column}"\n' for column in columns)
    (root / "mapping.toml").write_text(f"[columns]\n{mapping}")
    found = {}
    for name, table in simulated_tables(simulated).items():
        found[name] = root / f"{name}.csv"
        write_school_csv(table, tuple(catalogue.skills), found[name])
    return found


def _first_job(typed: _Typed, root: Path, home: Path, homes: dict[str, Path]) -> None:
    """Plan, signatures, activation, import and acceptance."""
    charter, catalogue = home / "charter.json", root / "catalogue.json"
    typed("plan", "new", "pilot", "--charter", charter, "--catalogue", catalogue,
          "--students", SCHOOLS * STUDENTS, "--rounds", ROUNDS, "--trust", "local",
          "--epsilon", 8, "--out", root)  # fmt: skip
    signed = root / "pilot.dsse.json"
    for school in homes.values():
        typed("plan", "sign", root / "pilot.toml", "--key", school / "keys" / "school.pem",
              "--charter", charter)  # fmt: skip
    typed("consortium", "activate", signed, "--home", home, "--catalogue", catalogue,
          "--initial", root / "pilot.initial.safetensors")  # fmt: skip
    for name, school in homes.items():
        typed("school", "import", root / f"{name}.csv", "--home", school,
              "--catalogue", catalogue, "--mapping", root / "mapping.toml")  # fmt: skip
        typed("school", "accept", signed, "--home", school, "--catalogue", catalogue)


def _is_over(progress: Path) -> bool:
    return progress.exists() and '"run.closed"' in progress.read_text(encoding="utf-8")


def _once(name: str, value: float, unit: str) -> Measurement:
    return Measurement(name=name, value=value, unit=unit, spread=0.0)
