"""Restoring a home from a backup: everything is checked first, and nothing is overwritten.

A restored school trains nothing until a person says so: its kill switch is on. A restored
consortium writes nothing into its log until a quorum of its witnesses has shown that nobody has a
newer one (`fedtrace.server.restored`), because a second history could never be taken back.

With a newer copy of the log, brought by a person, the home goes on from that: what the log says
was erased is erased again as soon as the home is opened.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from fedtrace.client.files import write_private
from fedtrace.client.signed_log import SignedLog
from fedtrace.client.store import SchoolStore
from fedtrace.deploy.recovery.bundle import Manifest, unpack
from fedtrace.deploy.recovery.contents import Kind
from fedtrace.deploy.recovery.errors import BackupError
from fedtrace.governance.charter import Charter
from fedtrace.governance.charter_history import CHARTER_FILE
from fedtrace.governance.errors import Corrupt
from fedtrace.governance.log.storage import CHECKPOINT, ENTRIES
from fedtrace.governance.witnessing import school_origin
from fedtrace.server.consortium import LOG_FOLDER
from fedtrace.server.files import flush_directory
from fedtrace.server.restored import mark_restored

_STAGED_SUFFIX = ".restoring"


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """A home that is there again.

    Attributes:
        manifest: what was in the backup.
        missing: secrets that were not; the home works when they are back.
        newer_entries: entries of the log that are newer than the backup; None where no log was
            brought.
    """

    manifest: Manifest
    missing: tuple[str, ...]
    newer_entries: int | None


def restore(
    backup: Path, home: Path, kind: Kind, *, passphrase: str | None, newer_log: Path | None = None
) -> Restored:
    """Make a home again; it is whole when this returns, and not there when this raises.

    Args:
        backup: made by `take_backup`.
        home: a folder that is not there yet, or is empty.
        kind: whose home it should be.
        passphrase: of an encrypted backup.
        newer_log: a folder with a copy of this home's own log that is as new or newer.

    Raises:
        BackupError: it is damaged, somebody else's or another kind; or the log does not continue
            the one in it.
        FileExistsError: there is something in ``home``.
        Corrupt: what is in it contradicts itself.
        OSError: it cannot be read, or the home not written.
    """
    if home.exists() and (not home.is_dir() or any(home.iterdir())):
        raise FileExistsError(
            f"{home} is there already: a restore never overwrites. Move it away and keep it until "
            "everything works again"
        )
    staged = home.absolute().with_name(f".{home.name}{_STAGED_SUFFIX}")
    shutil.rmtree(staged, ignore_errors=True)  # left by a restore that died here
    staged.parent.mkdir(parents=True, exist_ok=True)
    try:
        manifest = unpack(backup, staged, passphrase=passphrase)
        if manifest.kind != kind:
            raise BackupError(
                f"{backup} is a backup of the {manifest.kind} {manifest.name}: restore it with "
                f"fedtrace {manifest.kind} restore"
            )
        newer = None if newer_log is None else _bring(newer_log, staged, manifest)
        if kind == "school":
            _stop_training(staged)
        elif newer is None and (staged / CHARTER_FILE).exists():
            mark_restored(staged, made_at=manifest.made_at)
        if home.exists():
            home.rmdir()
        staged.rename(home)
    except BaseException:
        shutil.rmtree(staged, ignore_errors=True)
        raise
    flush_directory(home.absolute().parent)
    return Restored(manifest=manifest, missing=manifest.left_out, newer_entries=newer)


def _stop_training(home: Path) -> None:
    """Whether this school may train again is for a person to say: `fedtrace school resume`."""
    store = SchoolStore(home / "school.db")
    try:
        store.set_kill_switch(True)
    finally:
        store.close()


def _bring(newer: Path, home: Path, manifest: Manifest) -> int:
    """Replace the log by a newer copy of itself; how many entries that adds.

    Raises:
        BackupError: it is another log, or does not continue the one that is there.
        OSError: it cannot be read.
    """
    charter = Charter.from_bytes((home / CHARTER_FILE).read_bytes())
    origin, key = charter.log.origin, charter.log.public_key
    if manifest.kind == "school":
        (member,) = (each for each in charter.members if each.name == manifest.name)
        origin, key = school_origin(charter, member.name), member.log_public_key
    try:
        found = SignedLog.read(newer, origin=origin, public_key=key)
    except Corrupt as error:
        raise BackupError(f"{newer} does not hold a copy of the log {origin}: {error}") from error
    present = SignedLog.read(home / LOG_FOLDER, origin=origin, public_key=key)
    had = len(present.lines)
    if found.lines[:had] != present.lines:
        raise BackupError(
            f"the log in {newer} has {len(found.lines)} entries and does not continue the "
            f"{had} of the backup: it is older, or another history; then see docs/runbook.md"
        )
    content = b"".join(line + b"\n" for line in found.lines)
    write_private(home / LOG_FOLDER / ENTRIES, content, replace=True)
    write_private(home / LOG_FOLDER / CHECKPOINT, found.checkpoint, replace=True)
    return len(found.lines) - had
