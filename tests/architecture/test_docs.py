"""Every command, setting, refusal code and check that exists stands in the documents."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest
import typer.main
from click import Command, Group
from pydantic import BaseModel
from support.tree import ROOT, docs, files, text

from fedtrace.deploy.cli.main import app
from fedtrace.deploy.cli.output import ExitCode
from fedtrace.deploy.packs.model import PackReport
from fedtrace.deploy.packs.pack import Pack
from fedtrace.deploy.packs.words import EvidenceName, LineStatus, PackName
from fedtrace.deploy.report import Report
from fedtrace.governance.orders import RoundOrder
from fedtrace.governance.plan import Plan
from fedtrace.governance.policy import SchoolPolicy
from fedtrace.governance.refusals import REFUSALS, RefusalCode

FORMATS = Path("docs/formats")
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def commands() -> Iterator[tuple[str, Command]]:
    """Every command that a person can type."""

    def walk(command: Command, name: str) -> Iterator[tuple[str, Command]]:
        if isinstance(command, Group):
            for part in sorted(command.commands):
                yield from walk(command.commands[part], f"{name} {part}")
        else:
            yield name, command

    yield from walk(typer.main.get_command(app), "fedtrace")


def settings(model: type[BaseModel]) -> Iterator[str]:
    """Every key of a document, its sections' keys too."""
    for name, field in model.model_fields.items():
        yield field.alias or name
        inner = field.annotation
        for part in (inner, *get_args(inner)):
            if isinstance(part, type) and issubclass(part, BaseModel):
                yield from settings(part)


@pytest.mark.parametrize(("name", "command"), list(commands()), ids=str)
def test_every_command_and_option_is_documented(name: str, command: Command) -> None:
    page = text(Path("docs/cli.md"))
    assert f"## {name}\n" in page
    section = page.partition(f"## {name}\n")[2].partition("\n## ")[0]
    for parameter in command.params:
        for option in parameter.opts if parameter.opts[0].startswith("-") else ():
            if option not in ("--help", "--show-completion", "--install-completion"):
                assert f"`{option}" in section, f"{name} {option} is not in docs/cli.md"
    assert command.help, f"{name} has no help"


@pytest.mark.parametrize(
    ("model", "page"),
    [
        (Plan, "plan.md"),
        (SchoolPolicy, "school-policy.md"),
        (RoundOrder, "round-order.md"),
        (Report, "report.md"),
        (PackReport, "pack-report.md"),
        (Pack, "pack-report.md"),
    ],
)
def test_every_setting_is_documented(model: type[BaseModel], page: str) -> None:
    described = text(FORMATS / page)
    missing = [name for name in settings(model) if not re.search(rf"\b{name}\b", described)]
    assert not missing, f"docs/formats/{page} does not name {', '.join(missing)}"


def test_every_pack_and_its_evidence_are_documented() -> None:
    for name in get_args(PackName):
        assert f"| `{name}` |" in text(Path("docs/cli.md"))
    described = text(FORMATS / "pack-report.md")
    for word in (*get_args(EvidenceName), *get_args(LineStatus)):
        assert f"`{word}`" in described, f"docs/formats/pack-report.md does not name {word}"


def test_every_refusal_code_is_documented() -> None:
    page = text(Path("docs/refusal-codes.md"))
    words = " ".join(page.split())  # lines may end anywhere
    for code in RefusalCode:
        assert f"## {code}\n" in page
    for code, refusal in REFUSALS.items():
        assert refusal.sentence in words, f"{code}'s sentence is not the one in the document"


def test_every_acceptance_check_is_documented() -> None:
    found = set(re.findall(r"\bA\d\d\b", text(Path("server/acceptance.py"))))
    described = set(re.findall(r"^\| (A\d\d) \|", text(Path("docs/acceptance-checks.md")), re.M))
    assert found == described


def test_every_exit_code_is_documented() -> None:
    for code in ExitCode:
        assert f"| {int(code)} |" in text(Path("docs/cli.md"))


def test_every_environment_variable_is_documented() -> None:
    named = {
        name
        for path in files()
        if path.suffix == ".py" and path.name != Path(__file__).name
        for name in re.findall(r"\bFEDTRACE_[A-Z]+(?:_[A-Z]+)*\b", text(path))
    }
    assert {name for name in named if name not in docs()} == set()


def test_every_link_leads_somewhere() -> None:
    for path in files():
        if path.suffix != ".md":
            continue
        for target in LINK.findall(text(path)):
            if "://" in target or target.startswith(("#", "mailto:")):
                continue
            place = (ROOT / path).parent / target.partition("#")[0]
            assert place.exists(), f"{path} links to {target}"


def test_every_document_that_code_points_to_exists() -> None:
    for path in files():
        if path.suffix == ".py":
            for target in re.findall(r"\bdocs/[\w/-]+\.md\b", text(path)):
                assert (ROOT / target).exists(), f"{path} points to {target}"


def test_every_decision_record_is_listed() -> None:
    page = text(Path("docs/ARCHITECTURE.md"))
    for path in files():
        if path.parts[:2] == ("docs", "adr"):
            assert f"adr/{path.name}" in page
