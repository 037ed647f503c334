"""Whether a pinned package has a known vulnerability: ``python -m supply.advisories``.

pip-audit alone ends with "No known vulnerabilities found" and exit code 0 also where the advisory
service knew none of the packages, as behind a mirror. So its JSON is read here, and what was not
looked up is said. Exit code 0: nothing found, or nothing could be looked up and the last line says
SKIPPED; 1: a finding; 2: pip-audit gave no answer that can be read though the service was reached.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

CONSTRAINTS = Path(__file__).resolve().parents[2] / "constraints.txt"
_LONGEST_SECONDS = 300
_UNREACHABLE = ("ConnectionError", "ProxyError", "Timeout", "Could not connect")


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """What came of a look: the lines to print and the exit code."""

    lines: tuple[str, ...]
    code: int


def judge(answer: str, complaint: str) -> Looked:
    """What pip-audit's JSON says, or why there is none.

    Args:
        answer: its standard output with ``-f json``.
        complaint: its standard error.
    """
    try:
        rows = json.loads(answer)["dependencies"]
    except (ValueError, KeyError, TypeError):
        said = complaint.strip().splitlines() or ["it said nothing"]
        cut = [line for line in said if any(word in line for word in _UNREACHABLE)]
        reason = (cut or said)[-1]
        if cut:
            sentence = _skipped(f"the advisory service is not reachable ({reason})")
            return Looked(lines=(sentence,), code=0)
        return Looked(lines=(f"advisories: pip-audit gave no answer: {reason}",), code=2)
    missed = [row["name"] for row in rows if "skip_reason" in row]
    looked = len(rows) - len(missed)
    found = tuple(
        f"advisories: {row['name']} {row['version']} has {each['id']}; "
        f"repaired in {', '.join(each['fix_versions']) or 'no version yet'}"
        for row in rows
        for each in row.get("vulns", ())
    )
    if found:
        return Looked(lines=(*found, "advisories: raise what is named in constraints.txt"), code=1)
    if not looked:
        return Looked(
            lines=(_skipped(f"the service answered for none of the {len(rows)} packages"),), code=0
        )
    lines = [f"advisories: none known for {looked} of {len(rows)} pinned packages"]
    if missed:
        lines.append(f"advisories: NOT LOOKED UP: {', '.join(missed)}")
    return Looked(lines=tuple(lines), code=0)


def _skipped(why: str) -> str:
    return f"advisories: SKIPPED, nothing was checked: {why}. Run it where the service is reached."


def main() -> int:
    """Ask pip-audit about every line of constraints.txt, print what it found."""
    command = [sys.executable, "-m", "pip_audit", "-r", str(CONSTRAINTS), "-f", "json"]
    command += ["--no-deps", "--disable-pip", "--progress-spinner", "off", "--timeout", "10"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_LONGEST_SECONDS)
        looked = judge(done.stdout, done.stderr)
    except subprocess.TimeoutExpired:
        looked = judge("", f"Timeout after {_LONGEST_SECONDS} s")
    print("\n".join(looked.lines))
    return looked.code


if __name__ == "__main__":
    sys.exit(main())
