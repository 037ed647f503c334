"""``backup``, ``restore`` and ``drill`` of both sides: the same words for a school's home."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedtrace.deploy.cli.options import ConsortiumHome, Home, Json
from fedtrace.deploy.cli.output import (
    ExitCode,
    plain_errors,
    print_checks,
    print_json,
    print_lines,
    say_next,
)
from fedtrace.deploy.cli.passphrase import ask_passphrase

if TYPE_CHECKING:
    from fedtrace.deploy.recovery.contents import Kind

PASSPHRASE_VARIABLE = "FEDTRACE_BACKUP_PASSPHRASE"  # noqa: S105 - a name
"""Environment variable with the passphrase, for a backup that nobody sits at."""

Backup = Annotated[Path, typer.Argument(help="A backup.", metavar="FILE")]
To = Annotated[Path, typer.Option("--to", help="A new file, on another disk than the home.")]
WithKeys = Annotated[
    bool,
    typer.Option(
        "--with-keys", help="The secrets too; the file is encrypted with a passphrase then."
    ),
]
NewerLog = Annotated[
    Path | None,
    typer.Option("--log", help="A folder with a copy of this home's log, as new or newer."),
]


def backup_consortium(home: ConsortiumHome, to: To, with_keys: WithKeys = False) -> None:
    """Write the home into one file while the server runs; every file of the same moment."""
    _back_up(home, "consortium", to, with_keys=with_keys)


def backup_school(home: Home, to: To, with_keys: WithKeys = False) -> None:
    """Write the home into one file while the node runs; every file of the same moment."""
    _back_up(home, "school", to, with_keys=with_keys)


def restore_consortium(backup: Backup, home: ConsortiumHome, log: NewerLog = None) -> None:
    """Make a home from a backup; nothing is ever overwritten.

    Its server logs nothing before a quorum of schools has said that it knows no newer log, or
    --log brought one: the consortium-log folder of a school.

    Exit code 0: the home is complete; 1: its keys have to be brought back.
    """
    _restore(backup, home, "consortium", log)


def restore_school(backup: Backup, home: Home, log: NewerLog = None) -> None:
    """Make a home from a backup; nothing is ever overwritten, and training is stopped.

    Bring the newest copy of the school's own log with --log, as from the damaged home: records that
    it says were erased since are erased again.

    Exit code 0: the home is complete; 1: its keys have to be brought back.
    """
    _restore(backup, home, "school", log)


def drill_consortium(backup: Backup, json: Json = False) -> None:
    """Restore a backup into a temporary folder, open and verify everything, throw it away.

    Exit code 0: it would do; 1: with what the lines say; 2: it would not.
    """
    _drill(backup, "consortium", json=json)


def drill_school(backup: Backup, json: Json = False) -> None:
    """Restore a backup into a temporary folder, open and verify everything, throw it away.

    Exit code 0: it would do; 1: with what the lines say; 2: it would not.
    """
    _drill(backup, "school", json=json)


def _back_up(home: Path, kind: Kind, to: Path, *, with_keys: bool) -> None:
    from fedtrace.deploy.recovery.backup import take_backup

    with plain_errors():
        passphrase = _passphrase(twice=True) if with_keys else None
        taken = take_backup(home, kind, to, passphrase=passphrase, now=datetime.now(UTC))
    manifest = taken.manifest
    print_lines(
        f"{to} has {len(manifest.files)} files of {manifest.name}, {taken.size_bytes:,} bytes"
    )
    for stranger in taken.strangers:
        print_lines(f"! not in it, because nobody knows what it is for: {stranger}")
    if manifest.database == "postgresql":
        print_lines("! the database is PostgreSQL and not in it: run pg_dump before the next start")
    if manifest.left_out:
        print_lines(
            f"! not in it, keep them apart (or use --with-keys): {', '.join(manifest.left_out)}"
        )
    say_next(f"fedtrace {kind} drill {to} tries whether it would do")


def _restore(backup: Path, home: Path, kind: Kind, log: Path | None) -> None:
    from fedtrace.deploy.recovery.restore import restore

    with plain_errors():
        restored = restore(backup, home, kind, passphrase=_needed(backup), newer_log=log)
    manifest = restored.manifest
    print_lines(
        f"{home} is the home of {manifest.name} as it was at {manifest.made_at:%Y-%m-%d %H:%M} UTC"
    )
    if restored.newer_entries is not None:
        print_lines(f"the log that was brought has {restored.newer_entries} entries more")
    for path in restored.missing:
        print_lines(f"! missing, bring it back with mode 600: {home / path}")
    if manifest.database == "postgresql":
        print_lines("! restore the PostgreSQL database from the dump that belongs to this backup")
    say_next(_AFTER[kind].format(home=home, at=f"{manifest.made_at:%Y-%m-%d %H:%M}"))
    raise typer.Exit(ExitCode.WARNING if restored.missing else ExitCode.DONE)


_AFTER = {
    "school": (
        "training is stopped. Enter again what people said after {at} UTC: withdrawals, holds, "
        "erasures that no log says. fedtrace school status --home {home} says what else is wrong; "
        "then a person decides: fedtrace school resume --home {home}"
    ),
    "consortium": (
        "fedtrace consortium serve --home {home}. Compare fedtrace consortium members with what "
        "was approved or revoked after {at} UTC, and start the jobs again"
    ),
}


def _drill(backup: Path, kind: Kind, *, json: bool) -> None:
    from fedtrace.deploy.recovery.drill import drill
    from fedtrace.governance.log.verify import exit_code

    with plain_errors():
        manifest, lines = drill(backup, kind, passphrase=_needed(backup), now=datetime.now(UTC))
    if json:
        print_json(
            {
                "name": manifest.name,
                "made_at": manifest.made_at.isoformat(),
                "lines": [
                    {"status": line.status, "check": line.check, "sentence": line.sentence}
                    for line in lines
                ],
            }
        )
    else:
        print_checks((line.status, line.sentence) for line in lines)
    raise typer.Exit(exit_code(lines))


def _needed(backup: Path) -> str | None:
    """The passphrase of an encrypted backup."""
    from fedtrace.deploy.recovery.bundle import is_sealed

    return _passphrase(twice=False) if is_sealed(backup) else None


def _passphrase(*, twice: bool) -> str:
    return ask_passphrase("Passphrase of the backup", PASSPHRASE_VARIABLE, twice=twice)
