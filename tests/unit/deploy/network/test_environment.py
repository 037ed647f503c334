import os
import sys
from pathlib import Path

import pytest

from fedtrace.deploy.network.environment import flower_environment


def test_flower_is_quiet_and_has_its_own_home(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("FLWR_TELEMETRY_ENABLED", "1")
    variables = flower_environment(tmp_path)
    assert variables["FLWR_TELEMETRY_ENABLED"] == "0"
    assert variables["FLWR_DISABLE_UPDATE_CHECK"] == "1"
    assert variables["FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION"] == "1"
    assert variables["FLWR_HOME"] == str(tmp_path)


def test_nothing_else_of_the_shell_is_passed_on(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("HTTPS_PROXY", "all_proxy", "AWS_SECRET_ACCESS_KEY", "PYTHONPATH"):
        monkeypatch.setenv(name, "x")
    assert not {"HTTPS_PROXY", "all_proxy", "AWS_SECRET_ACCESS_KEY", "PYTHONPATH"} & set(
        flower_environment(tmp_path)
    )


def test_flowers_commands_are_found_without_an_activated_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", "/usr/bin")
    first = flower_environment(tmp_path)["PATH"].split(os.pathsep)[0]
    assert first == str(Path(sys.executable).parent)


def test_threads(tmp_path: Path) -> None:
    assert flower_environment(tmp_path, threads=1)["OMP_NUM_THREADS"] == "1"
    assert "OMP_NUM_THREADS" not in flower_environment(tmp_path)
