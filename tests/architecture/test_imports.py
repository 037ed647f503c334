"""Who may import whom, and names that nobody may import."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from support.tree import ROOT, TOP, pyproject, python_files, syntax

FORBIDDEN = {
    **dict.fromkeys(TOP, "the bare name loads a second copy"),
    "pickle": "loading a pickle runs code",
    "cloudpickle": "loading a pickle runs code",
    "dill": "loading a pickle runs code",
    "joblib": "loading a pickle runs code",
    "marshal": "loading marshalled bytes can crash",
    "random": "noise and coins come from fedtrace.privacy.noise",
}
ONLY_IN_TESTS = {"support", "pytest", "hypothesis", "tests"}


def imported(path: Path) -> Iterator[str]:
    """The top name of every absolute import in a file."""
    for node in ast.walk(syntax(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


def test_the_import_contracts_hold() -> None:
    """In a process of its own: import-linter replaces the logging of the one that it runs in."""
    command = Path(sys.executable).with_name("lint-imports")
    ran = subprocess.run(
        [command, "--no-cache"], cwd=ROOT, capture_output=True, text=True, timeout=100
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    contracts = pyproject()["tool"]["importlinter"]["contracts"]
    assert f"{len(contracts)} kept, 0 broken" in ran.stdout


def test_no_forbidden_import() -> None:
    for path in python_files(*TOP, "tests"):
        for name in imported(path):
            assert name not in FORBIDDEN, f"{path} imports {name}: {FORBIDDEN[name]}"


def test_product_code_imports_nothing_from_the_tests() -> None:
    for path in python_files(*TOP):
        assert not ONLY_IN_TESTS & set(imported(path)), path


def test_imports_are_absolute() -> None:
    for path in python_files(*TOP):
        for node in ast.walk(syntax(path)):
            assert not (isinstance(node, ast.ImportFrom) and node.level), path
