"""Record what this version writes, once, at its release: ``make golden``.

Writes ``tests/golden/<version>/`` and adds its digests to ``SHA256SUMS``. What is there is never
written again: recordings of released versions are what schools and consortia have on their disks.
"""

from __future__ import annotations

import hashlib
import io
import json
import lzma
import shutil
import sys
import tarfile
import tempfile
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from support.federation import build_federation
from support.golden import (
    DIGESTS,
    FACTS,
    GOLDEN,
    HOMES,
    KEPT_ROUND,
    MESSAGES,
    Direct,
    Heard,
    SlowClock,
    order_of,
    round_of,
    sum_of,
)

from fedtrace.client.home import open_school
from fedtrace.deploy.enrolment.invites import Invite
from fedtrace.deploy.workspace import Workspace
from fedtrace.governance.canonical import digest
from fedtrace.governance.plan import Plan
from fedtrace.server.consortium import open_consortium
from fedtrace.server.outcome import JobOutcome
from fedtrace.server.ports import Request
from fedtrace.server.round import run_job


def record(target: Path) -> None:
    """Run three jobs and keep what was written and said.

    Raises:
        FileExistsError: this version was recorded before.
    """
    if target.exists():
        raise FileExistsError(target)
    now = datetime.now(UTC).replace(microsecond=0)
    with tempfile.TemporaryDirectory(dir=GOLDEN) as folder:
        root = Path(folder)
        new = root / "new"
        new.mkdir()
        built = build_federation(root / "first", tables=root / "tables", now=now)
        heard: list[Heard] = []
        facts: dict[str, object] = {
            "fedtrace": version("fedtrace"),
            "flwr": version("flwr"),
            "invite": _invite(now),
        }
        for job in ("distributed", "usual", "foreign"):
            copy = root / job
            shutil.copytree(built.workspace.root, copy)
            workspace = Workspace(root=copy, schools=built.schools)
            kept = new / HOMES if job == "distributed" else None
            said, outcome = _run(job, workspace, built.plans[job], now=now, kept=kept)
            heard += said
            facts[job] = {
                "plan_digest": built.plans[job].digest(),
                "reason": outcome.reason,
                "model": outcome.model_digest,
            }
        workspace = Workspace(root=root / "distributed", schools=built.schools)
        facts["sum"] = sum_of(workspace, round_of(heard, KEPT_ROUND))
        lines = "".join(f"{each.to_line()}\n" for each in heard)
        (new / MESSAGES).write_bytes(lzma.compress(lines.encode()))
        (new / FACTS).write_text(json.dumps(facts, indent=1, sort_keys=True) + "\n")
        new.rename(target)  # whole, or not at all


def _run(
    job: str, workspace: Workspace, plan: Plan, *, now: datetime, kept: Path | None
) -> tuple[list[Heard], JobOutcome]:
    """Run one job; keep the homes where they are wanted."""
    heard_before: list[int] = []
    with ExitStack() as opened:
        schools = {
            name: opened.enter_context(open_school(home))
            for name, home in workspace.school_homes.items()
        }
        consortium = opened.enter_context(closing(open_consortium(workspace.consortium_home)))
        transport = Direct(schools, SlowClock(now))

        def keep(request: Request) -> None:
            is_time = request.get("stage") == b"agree" and order_of(request).round == KEPT_ROUND
            if kept is not None and is_time and not heard_before:
                heard_before.append(len(transport.heard))
                kept.write_bytes(_packed(workspace.root))

        transport.before = keep
        outcome = run_job(
            consortium, plan.digest(), transport, transport.clock, progress=lambda event: None
        )
    split = heard_before[0] if heard_before else 0
    said = [
        Heard(job=job, school=s, now=at, is_after=place >= split, request=q, reply=a)
        for place, (s, at, q, a) in enumerate(transport.heard)
    ]
    return said, outcome


def _packed(root: Path) -> bytes:
    """The homes, with nobody's name and no time of this machine."""

    def plain(entry: tarfile.TarInfo) -> tarfile.TarInfo:
        entry.uid = entry.gid = entry.mtime = 0
        entry.uname = entry.gname = ""
        return entry

    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:xz") as archive:
        for path in sorted(root.iterdir()):
            archive.add(path, arcname=path.name, filter=plain)
    return packed.getvalue()


def _invite(now: datetime) -> str:
    return Invite(
        consortium="district",
        school="school-1",
        host="fedtrace.example.org",
        port=443,
        authority=digest(b"certificate"),
        secret="5" * 64,
        expires_at=now.replace(year=now.year + 100),
    ).to_line()


def add_digests(target: Path) -> None:
    """Append the new files to the list that `test_golden` compares."""
    with (GOLDEN / DIGESTS).open("a") as file:
        for path in sorted(target.iterdir()):
            name = path.relative_to(GOLDEN).as_posix()
            file.write(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {name}\n")


def main() -> int:
    """Record the installed version; 1 where that was done before."""
    target = GOLDEN / version("fedtrace")
    try:
        record(target)
    except FileExistsError:
        print(f"{target} is there already, and a recording is never written again")
        return 1
    add_digests(target)
    print(f"recorded {target}: add it to the release's commit")
    return 0


if __name__ == "__main__":
    sys.exit(main())
