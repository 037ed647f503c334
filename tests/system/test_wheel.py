"""Whoever builds the wheel again gets the same bytes, and can so check what was handed out."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from support.tree import ROOT, files

from fedtrace.deploy.network.installed import PACKAGES, code_digest, digest_of_folders

pytestmark = [pytest.mark.system, pytest.mark.timeout(600)]

BUILD = "from setuptools import build_meta; build_meta.build_wheel('out')"


def build(folder: Path) -> Path:
    """A wheel of the project's files, copied to a folder of their own."""
    for path in files():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / path, folder / path)
    (folder / "out").mkdir()
    environment = os.environ | {"SOURCE_DATE_EPOCH": "1767225600"}
    command = [sys.executable, "-W", "ignore", "-c", BUILD]
    subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)
    (wheel,) = (folder / "out").glob("*.whl")
    return wheel


def test_two_builds_are_the_same_bytes_and_the_code_that_is_here(tmp_path: Path) -> None:
    first, second = build(tmp_path / "first"), build(tmp_path / "elsewhere" / "second")
    assert first.name == second.name
    assert first.read_bytes() == second.read_bytes()
    with zipfile.ZipFile(first) as wheel:
        wheel.extractall(tmp_path / "unpacked")
    unpacked = tmp_path / "unpacked" / "fedtrace"
    assert digest_of_folders({name: unpacked / name for name in PACKAGES}) == code_digest()
