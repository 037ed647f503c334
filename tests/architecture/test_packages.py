"""The folders, the package list and what a package shows to others."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path

import pytest
from support.tree import ROOT, TOP, files, pyproject, python_files, syntax, text

ALLOWED_TOP = {*TOP, "tests", "docs", "typings", ".ci"}
ALLOWED_FILES = {
    ".gitignore",
    ".pre-commit-config.yaml",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "LICENSE",
    "Makefile",
    "README.md",
    "SECURITY.md",
    "constraints.txt",
    "pyproject.toml",
    "requirements.lock",
}
SETUPTOOLS = pyproject()["tool"]["setuptools"]
PACKAGES: list[str] = SETUPTOOLS["packages"]


def folder(package: str) -> Path:
    return Path(*package.split(".")[1:])


def test_only_known_folders_and_files_at_the_top() -> None:
    assert {path.parts[0] for path in files() if len(path.parts) > 1} <= ALLOWED_TOP
    assert {path.name for path in files() if len(path.parts) == 1} <= ALLOWED_FILES


def test_no_folder_shadows_the_namespace() -> None:
    assert not (ROOT / "fedtrace").exists()
    assert not (ROOT / "__init__.py").exists()


def test_the_package_list_is_the_folders() -> None:
    found = {f"fedtrace.{'.'.join(path.parent.parts)}" for path in python_files(*TOP)}
    assert found == set(PACKAGES)
    assert sorted(PACKAGES) == PACKAGES
    assert SETUPTOOLS["package-dir"] == {name: str(folder(name)) for name in PACKAGES}


@pytest.mark.parametrize("top", TOP)
def test_every_top_folder_is_typed_and_linked_for_the_type_checker(top: str) -> None:
    assert (ROOT / top / "py.typed").exists()
    link = ROOT / "typings" / "fedtrace" / top
    assert link.is_symlink()
    assert link.resolve() == ROOT / top


@pytest.mark.parametrize("package", PACKAGES)
def test_every_package_says_what_it_is_for_and_exports_what_it_says(package: str) -> None:
    module = importlib.import_module(package)
    assert len(module.__doc__ or "") > 20
    tree = syntax(folder(package) / "__init__.py")
    bound = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module != "__future__"
        for alias in node.names
    }
    exported = getattr(module, "__all__", [])
    assert bound == set(exported), "an __init__ imports what it exports and nothing else"
    assert sorted(exported) == sorted(set(exported))
    for name in exported:
        assert hasattr(module, name)


def test_every_dependency_is_pinned_once() -> None:
    pins = [line for line in text(Path("constraints.txt")).splitlines() if line[:1] not in "#"]
    names = [pin.partition("==")[0] for pin in pins]
    assert len(names) == len(set(names))
    assert all(pin.count("==") == 1 and "+" not in pin and "@" not in pin for pin in pins)
    project = pyproject()["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    for requirement in wanted:
        name = requirement.partition(">")[0].partition("=")[0].partition("[")[0].strip()
        assert name.lower() in names, f"{name} is not in constraints.txt"
