"""Help answers at once, and says where to start."""

from __future__ import annotations

import subprocess
import sys

import pytest
from support.town import Run

HEAVY = ("torch", "matplotlib", "scipy", "flwr", "sqlalchemy", "opacus", "dp_accounting")


def test_help_loads_nothing_heavy() -> None:
    program = (
        "import sys, contextlib\n"
        "from fedtrace.deploy.cli.main import main\n"
        "sys.argv = ['fedtrace', '--help']\n"
        "with contextlib.suppress(SystemExit):\n"
        "    main()\n"
        f"print('loaded:', [name for name in {HEAVY} if name in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert "Start with: fedtrace demo" in done.stdout
    assert done.stdout.splitlines()[-1] == "loaded: []"


@pytest.mark.parametrize("group", [(), ("plan",), ("school",), ("audit",)])
def test_a_group_alone_shows_its_commands(run: Run, group: tuple[str, ...]) -> None:
    result = run(*group)
    assert result.exit_code == 2
    assert "Commands" in result.output


@pytest.mark.parametrize(
    "arguments",
    [
        ("nothing",),
        ("demo", "--schools", 1),
        ("demo", "--rounds", 0),
        ("simulate", "--data", "a.csv"),
        ("simulate", "--data", "a.csv", "--school-column", "s", "--model", "other"),
        ("simulate", "--data", "a.csv", "--school-column", "s", "--epsilon", 0),
        ("school", "status"),
        ("audit", "verify"),
    ],
)
def test_usage_errors_end_with_2(run: Run, arguments: tuple[object, ...]) -> None:
    assert run(*arguments).exit_code == 2
