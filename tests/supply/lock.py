"""Every package of an installation with its hash: ``python -m supply.lock`` (``make lock``).

pip itself decides what an installation on this machine takes, in the versions of constraints.txt,
and says the SHA-256 of each file. ``requirements.lock`` then has what `pip install
--require-hashes` needs: a file that was exchanged on the way is refused.
"""

from __future__ import annotations

import json
import platform
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
LOCK = ROOT / "requirements.lock"

HEADER = """\
# Made by `make lock` from constraints.txt: what an installation of fedtrace takes on {platform}.
# pip install --require-hashes -r requirements.lock && pip install --no-deps .
# torch: the build for CPUs. For another build or platform, make the file anew there, and compare.
"""


def locked(report: dict[str, Any], *, on: str) -> str:
    """The file's text.

    Args:
        report: of `pip install --report`.
        on: the platform that pip decided for.

    Raises:
        ValueError: a package is no wheel, or without a hash.
    """
    rows = sorted(_row(each) for each in report["install"] if not _is_local(each))
    return HEADER.format(platform=on) + "".join(f"{row}\n" for row in rows)


def _is_local(each: dict[str, Any]) -> bool:
    return "dir_info" in each["download_info"]


def _row(each: dict[str, Any]) -> str:
    name = str(each["metadata"]["name"]).lower().replace("_", "-").replace(".", "-")
    version = str(each["metadata"]["version"]).partition("+")[0]  # torch's local build
    found = each["download_info"]
    digest = found.get("archive_info", {}).get("hashes", {}).get("sha256")
    if digest is None or not str(found["url"]).endswith(".whl"):
        raise ValueError(f"{name} {version} has no wheel with a SHA-256")
    return f"{name}=={version} --hash=sha256:{digest}"


def main(arguments: Sequence[str] = ()) -> int:
    """Ask pip, and write the file."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        command = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed"]
        command += ["--quiet", "--only-binary", ":all:", "--report", str(report), *arguments]
        subprocess.run([*command, "-c", str(ROOT / "constraints.txt"), str(ROOT)], check=True)
        found = json.loads(report.read_text(encoding="utf-8"))
    version = ".".join(platform.python_version_tuple()[:2])
    on = f"{platform.system()} {platform.machine()}, Python {version}"
    LOCK.write_text(locked(found, on=on), encoding="utf-8")
    print(f"{LOCK.name}: {len(found['install']) - 1} packages, {on}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
