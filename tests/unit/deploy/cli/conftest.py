"""Commands typed into a small consortium; it is made once and copied for every test."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from support.town import Run, Town, make_town, town_at
from typer.main import get_command

from fedtrace.deploy.cli.main import app


@pytest.fixture(scope="session")
def run() -> Run:
    """Type a command; whatever happens, no traceback comes out."""
    runner, command = CliRunner(), get_command(app)

    def invoke(*arguments: object) -> Result:
        result = runner.invoke(command, [str(argument) for argument in arguments])
        assert result.exception is None or isinstance(result.exception, SystemExit), result.output
        return result

    return invoke


@pytest.fixture(scope="session")
def original(tmp_path_factory: pytest.TempPathFactory, run: Run) -> Path:
    """Made once; the first school has records."""
    town = make_town(tmp_path_factory.mktemp("town"))
    imported = run("school", "import", town.export, *town.import_options())
    assert imported.exit_code == 0, imported.output
    return town.root


@pytest.fixture
def town(original: Path, tmp_path: Path) -> Town:
    """A copy for one test."""
    return town_at(shutil.copytree(original, tmp_path / "town"))
