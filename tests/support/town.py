"""A small consortium as its people find it at the command line: homes, plans, an export."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from click.testing import Result
from support.gate import PLAN_TOML, plan_with

from fedtrace.client.ingest.catalogue import Catalogue
from fedtrace.client.keys import load_keys
from fedtrace.deploy.workspace import create_workspace
from fedtrace.governance.plan import Plan
from fedtrace.governance.plan_signing import sign_plan

SCHOOLS = ("school-1", "school-2", "school-3")
CATALOGUE = Catalogue(skills=["add", "subtract"])
MAPPING = '[columns]\nstudent = "student"\nskill = "skill"\ncorrect = "correct"\norder = "seq"\n'
HEADER = "student,seq,skill,correct\n"
EXPORT = HEADER + "".join(
    f"pupil-{student},{answer},add,{answer % 2}\n" for student in range(5) for answer in range(4)
)

Run = Callable[..., Result]


@dataclass(frozen=True, slots=True, kw_only=True)
class Town:
    """Where a test's own copies are.

    Attributes:
        root: the folder of all homes.
        home: the first school's, with five students and no plan.
        catalogue, mapping, export: what an import takes.
        plan: TOML that lint finds nothing in today.
        envelope: another plan, for this catalogue, signed by two schools of three.
        charter: the consortium's.
    """

    root: Path
    home: Path
    catalogue: Path
    mapping: Path
    export: Path
    plan: Path
    envelope: Path
    charter: Path

    def import_options(self) -> list[str]:
        """Home, catalogue and mapping."""
        return [
            *("--home", str(self.home)),
            *("--catalogue", str(self.catalogue)),
            *("--mapping", str(self.mapping)),
        ]


def as_a_person_writes(catalogue: Catalogue) -> str:
    """The same names on lines of their own: not the bytes that a plan's digest is over."""
    return json.dumps(catalogue.model_dump(), indent=2) + "\n"


def make_town(root: Path) -> Town:
    """Three homes without records, and the files that people pass around."""
    now = datetime.now(UTC)
    workspace = create_workspace(root, schools=SCHOOLS, max_epsilon=4.0, now=now)
    first, last = now - timedelta(days=1), now + timedelta(days=200)
    signers = [load_keys(workspace.school_homes[name] / "keys").signer for name in SCHOOLS[:2]]
    plan = plan_for(first, last)
    (root / "signed.dsse.json").write_bytes(sign_plan(plan, signers))
    (root / "plan.toml").write_text(toml_for(first, last), encoding="utf-8")
    (root / "catalogue.json").write_text(as_a_person_writes(CATALOGUE), encoding="utf-8")
    (root / "mapping.toml").write_text(MAPPING, encoding="utf-8")
    (root / "export.csv").write_text(EXPORT, encoding="utf-8")
    return town_at(root)


def plan_for(first: datetime, last: datetime) -> Plan:
    """The example plan with this catalogue, between two moments."""
    return plan_with(
        {
            "valid_from": first.isoformat(),
            "valid_until": last.isoformat(),
            "data.skills": len(CATALOGUE),
            "data.min_students": 5,
            "data.skill_catalogue_digest": CATALOGUE.digest(),
        }
    )


def toml_for(first: datetime, last: datetime) -> str:
    """The example plan between two days."""
    text = PLAN_TOML.replace("2026-09-01T00:00:00Z", first.strftime("%Y-%m-%dT00:00:00Z"))
    return text.replace("2027-07-31T00:00:00Z", last.strftime("%Y-%m-%dT00:00:00Z"))


def one_sentence(result: Result) -> str:
    """What a failed command says: one line, its program first, nothing on standard output."""
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1, result.output
    assert lines[0].startswith("fedtrace: ")
    assert result.stdout == ""
    return lines[0].removeprefix("fedtrace: ")


def town_at(root: Path) -> Town:
    """The same files in a copy."""
    return Town(
        root=root,
        home=root / "schools" / SCHOOLS[0],
        catalogue=root / "catalogue.json",
        mapping=root / "mapping.toml",
        export=root / "export.csv",
        plan=root / "plan.toml",
        envelope=root / "signed.dsse.json",
        charter=root / "consortium" / "charter.json",
    )
