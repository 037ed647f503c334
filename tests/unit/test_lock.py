"""The file of hashes is the one that belongs to constraints.txt and to what fedtrace imports."""

from __future__ import annotations

import re
from importlib.metadata import requires
from typing import Any

import pytest
from packaging.requirements import Requirement
from supply.lock import LOCK, ROOT, locked

PINS = dict(
    line.split("==")
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    if line and not line.startswith("#")
)
ROWS = {
    found["name"]: found
    for line in LOCK.read_text(encoding="utf-8").splitlines()
    if (
        found := re.fullmatch(
            r"(?P<name>[a-z0-9-]+)==(?P<version>\S+) --hash=sha256:[0-9a-f]{64}", line
        )
    )
}


def test_every_line_has_the_version_of_the_constraints_and_a_hash() -> None:
    lines = [each for each in LOCK.read_text(encoding="utf-8").splitlines() if each[0] != "#"]
    assert len(lines) == len(ROWS)
    assert {name: row["version"] for name, row in ROWS.items()} == {
        name: PINS[name] for name in ROWS
    }


def test_all_that_an_installation_needs_is_in_it() -> None:
    """Run `make lock` after a dependency has changed."""
    missing, seen, left = set(), set(), ["fedtrace"]
    while left:
        name = left.pop()
        for line in requires(name) or ():
            wanted = Requirement(line)
            found = wanted.name.lower().replace("_", "-").replace(".", "-")
            if found in seen or (wanted.marker and not wanted.marker.evaluate({"extra": ""})):
                continue
            seen.add(found)
            if found in ROWS:
                left.append(found)
            else:
                missing.add(found)
    assert not missing
    assert len(seen) > 20


def report(url: str, hashes: dict[str, str]) -> dict[str, Any]:
    found = {"url": url, "archive_info": {"hashes": hashes}}
    torch = {"metadata": {"name": "Torch", "version": "2.13.0+cpu"}, "download_info": found}
    own = {"metadata": {"name": "fedtrace", "version": "0.1.0"}, "download_info": {"dir_info": {}}}
    return {"install": [torch, own]}


def test_a_package_without_a_hash_or_a_wheel_is_no_line() -> None:
    digest = {"sha256": "ab" * 32}
    text = locked(report("file:///torch.whl", digest), on="here")
    assert text.splitlines()[-1] == f"torch==2.13.0 --hash=sha256:{'ab' * 32}"
    assert "file:" not in text
    for wrong in (report("file:///torch.tar.gz", digest), report("file:///torch.whl", {})):
        with pytest.raises(ValueError, match=r"torch 2\.13\.0 has no wheel"):
            locked(wrong, on="here")
