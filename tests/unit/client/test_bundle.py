import io
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

from flwr.cli.config_utils import get_fab_config, get_fab_metadata
from flwr.cli.install import install_from_fab

from fedtrace.client.bundle import PLAN_DIGEST_KEY, build_fab, fab_digest

ROOT = Path(__file__).parents[3]


def test_flower_accepts_the_bundle(tmp_path: Path) -> None:
    installed = install_from_fab(build_fab(), tmp_path, skip_prompt=True)
    assert {path.name for path in installed.iterdir()} == {"pyproject.toml", "README.md"}
    assert get_fab_metadata(build_fab())[0] == "consortium/fedtrace"


def test_it_names_the_entry_points_that_the_project_names() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    app = get_fab_config(build_fab())["tool"]["flwr"]["app"]
    assert app["components"] == project["tool"]["flwr"]["app"]["components"]
    assert app["publisher"] == project["tool"]["flwr"]["app"]["publisher"]
    assert app["config"] == {PLAN_DIGEST_KEY: ""}


def test_it_carries_no_code() -> None:
    with zipfile.ZipFile(io.BytesIO(build_fab())) as archive:
        assert sorted(archive.namelist()) == [".info/CONTENT", "README.md", "pyproject.toml"]


def test_every_process_builds_the_same_bytes() -> None:
    assert re.fullmatch("sha256:[0-9a-f]{64}", fab_digest())
    program = "from fedtrace.client.bundle import fab_digest; print(fab_digest())"
    other = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd="/"
    )
    assert other.stdout.strip() == fab_digest()
