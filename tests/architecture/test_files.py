"""What holds for every file: size, a docstring, and nothing of the machine it was written on."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from support.tree import TOP, files, python_files, syntax, text

MAX_LINES = 500
# Put together here so that this file does not hold what it looks for.
REGISTRIES = ("py" + "pi.org", "python" + "hosted.org", "npm" + "js.org", "deb" + "ian.org")
MACHINE_PATH = re.compile(r"(?<![\w.])/(work|root|opt)/\w")
UNFINISHED = re.compile(r"\b(TO" + r"DO|FIX" + r"ME|XX" + r"X)\b")
TEXT_SUFFIXES = {".css", ".html", ".md", ".py", ".svg", ".toml", ".txt", ".yaml", ".yml", ""}
HEAVY = {".csv", ".xz", ".gz", ".zip", ".db", ".sqlite", ".pt", ".pth", ".pkl", ".npy", ".npz"}


def text_files() -> list[Path]:
    return [path for path in files() if path.suffix in TEXT_SUFFIXES]


def test_a_file_is_one_idea() -> None:
    long = {str(path): text(path).count("\n") for path in python_files(*TOP, "tests")}
    assert {path: lines for path, lines in long.items() if lines > MAX_LINES} == {}


def test_every_module_says_what_it_is_for() -> None:
    silent = [
        str(path) for path in python_files(*TOP) if len(ast.get_docstring(syntax(path)) or "") < 20
    ]
    assert silent == []


def test_product_code_raises_instead_of_asserting() -> None:
    """``python -O`` removes an assert, and a promise with it."""
    for path in python_files(*TOP):
        lines = [node.lineno for node in ast.walk(syntax(path)) if isinstance(node, ast.Assert)]
        assert not lines, f"{path} asserts in line {lines[0]}"


def test_no_registry_host_and_no_path_of_one_machine() -> None:
    for path in text_files():
        assert not [host for host in REGISTRIES if host in text(path)], path
        assert not MACHINE_PATH.search(text(path)), path


def test_nothing_is_left_unfinished() -> None:
    assert [str(path) for path in text_files() if UNFINISHED.search(text(path))] == []


def test_no_data_and_no_model_in_the_project() -> None:
    found = [path for path in files() if path.suffix in HEAVY]
    assert [str(path) for path in found if path.parts[:2] != ("tests", "golden")] == []
