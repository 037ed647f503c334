"""Trying a backup: restore it beside everything, open it, verify its logs, throw it away.

A backup that nobody has restored is a hope. A drill touches no home and no database but its own.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime, timedelta
from pathlib import Path

from fedtrace.client.home import open_school
from fedtrace.client.vault import Vault
from fedtrace.deploy.audit import verify_path
from fedtrace.deploy.recovery.bundle import Manifest
from fedtrace.deploy.recovery.contents import CONTENTS, Kind
from fedtrace.deploy.recovery.restore import restore
from fedtrace.deploy.recovery.standstill import require_intact
from fedtrace.governance.charter_history import CHARTER_FILE
from fedtrace.governance.errors import Corrupt, PolicyError, Rejected
from fedtrace.governance.log.verify import Line
from fedtrace.server.consortium import DATABASE_FILE, Consortium, open_consortium
from fedtrace.server.journal import Journal

OLD_AFTER = timedelta(days=2)
"""A backup that is made every night is younger."""


def drill(
    backup: Path, kind: Kind, *, passphrase: str | None, now: datetime
) -> tuple[Manifest, tuple[Line, ...]]:
    """Restore a backup into a temporary folder and look whether it would do.

    Args:
        backup: made by `take_backup`.
        kind: whose it should be.
        passphrase: of an encrypted one.
        now: the time, for its age.

    Returns:
        What is in it, and the checks, in order.

    Raises:
        BackupError: it is damaged, or another kind.
        OSError: it cannot be read, or there is no room to unpack it.
    """
    with tempfile.TemporaryDirectory(prefix="fedtrace-drill-") as folder:
        home = Path(folder) / "home"
        manifest = restore(backup, home, kind, passphrase=passphrase).manifest
        lines = [_age(manifest, now), _keys(manifest)]
        if not manifest.with_keys:
            lines.append(_tried_databases(home, kind))
        elif kind == "consortium":
            lines += _tried_consortium(home, manifest)
        else:
            lines += _tried_school(home)
        if (home / CHARTER_FILE).exists():
            lines += verify_path(home).lines
    return manifest, tuple(lines)


def _age(manifest: Manifest, now: datetime) -> Line:
    age = now - manifest.made_at
    sentence = (
        f"The backup of {manifest.name} was made at {manifest.made_at:%Y-%m-%d %H:%M} UTC by "
        f"release {manifest.release}, {_spoken(age)} ago. It has {len(manifest.files)} files, and "
        "each is what was stored."
    )
    return Line(status="WARN" if age > OLD_AFTER else "PASS", check="backup.age", sentence=sentence)


def _spoken(age: timedelta) -> str:
    hours = age.total_seconds() / 3600
    return f"{hours:.1f} hours" if hours < 48 else f"{hours / 24:.0f} days"


def _keys(manifest: Manifest) -> Line:
    if manifest.with_keys:
        sentence = "The keys are in it."
        return Line(status="PASS", check="backup.keys", sentence=sentence)
    sentence = (
        f"The keys are not in it, so whether they fit was not tried: {', '.join(manifest.left_out)}"
        ". Where are they?"
    )
    return Line(status="WARN", check="backup.keys", sentence=sentence)


def _tried_databases(home: Path, kind: Kind) -> Line:
    """What can be tried without keys: every database, read from end to end."""
    with _reported("databases") as lines:
        names = [path for path in CONTENTS[kind].databases if (home / path).exists()]
        for path in names:
            require_intact(home / path)
        found = f"Every database is intact: {', '.join(names) or 'there is none in it'}."
        lines.append(Line(status="PASS", check="databases", sentence=found))
    return lines[0]


def _tried_school(home: Path) -> list[Line]:
    """Open everything as the school would, and read one record."""
    with _reported("home") as lines, open_school(home) as opened:
        vault: Vault = opened.vault
        vault.require_key()
        vault.consents.all()
        _ = opened.log
        sentence = (
            f"The home of {opened.name} opens: {len(vault)} students' records with the key that "
            f"wrote them, {len(opened.store.ledger())} entries of the ledger; training is stopped "
            "until a person says otherwise."
        )
        lines.append(Line(status="PASS", check="home", sentence=sentence))
    return lines


def _tried_consortium(home: Path, manifest: Manifest) -> list[Line]:
    """Open everything as the server would, and take up every job as far as it was."""
    if manifest.database != "sqlite":
        sentence = "Its database is PostgreSQL and not in this file: try pg_restore's too."
        return [Line(status="WARN", check="home", sentence=sentence)]
    if not (home / CHARTER_FILE).exists():
        sentence = "The consortium was not founded yet: there is no log and no job."
        return [Line(status="PASS", check="home", sentence=sentence)]
    with _reported("home") as lines:
        # Never the database that a variable of this shell names: that may be the live one.
        database = f"sqlite:///{home / DATABASE_FILE}"
        with closing(open_consortium(home, database=database)) as consortium:
            jobs = _jobs(consortium)
        sentence = f"The consortium's home opens, and its {jobs} jobs would go on where they were."
        lines.append(Line(status="PASS", check="home", sentence=sentence))
    return lines


def _jobs(consortium: Consortium) -> int:
    digests = consortium.store.plan_digests()
    for digest in digests:
        Journal(consortium, consortium.plans.open_past(digest, consortium.charters)).restore()
    return len(digests)


@contextmanager
def _reported(check: str) -> Iterator[list[Line]]:
    """The lines of a block; what it raises about the backup becomes one."""
    lines: list[Line] = []
    try:
        yield lines
    except (Corrupt, PolicyError, Rejected, ValueError) as error:
        sentence = f"It cannot be opened: {error}. Keep an older backup, and find out why."
        lines[:] = [Line(status="FAIL", check=check, sentence=sentence)]
