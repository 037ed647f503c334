"""What of a home belongs into a backup, what only together with the keys, and what never.

A backup takes what is named here and nothing else, so that a new kind of file is not carried out
of a school before somebody has thought about it; `Inventory.strangers` names such files.

Never in a backup: keys of runs (a mask would be used a second time), what a running service knows
of its jobs and messages, secrets that are made anew at every place, and logs of processes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal

Kind = Literal["school", "consortium"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """The files of one kind of home, as patterns of paths with slashes; ``*`` matches a slash too.

    Attributes:
        databases: SQLite files, in the order in which whoever writes several of them locks them.
        logs: folders with an audit log.
        secrets: in a backup only where the keys are asked for, and then encrypted.
        kept: everything else that is needed.
        never: known, and left out.
    """

    databases: tuple[str, ...]
    logs: tuple[str, ...]
    secrets: tuple[str, ...]
    kept: tuple[str, ...]
    never: tuple[str, ...]


_ANYWHERE = ("*/.*", ".*", "*.new", "*.staging", "*-wal", "*-shm", "*/lock")

CONTENTS: dict[Kind, Contents] = {
    "consortium": Contents(
        databases=("consortium.db",),
        logs=("log",),
        secrets=("keys/aggregator.pem", "keys/log.pem", "network/ca.key", "network/server.key"),
        kept=(
            "consortium.toml",
            "charter.json",
            "charters/*",
            "restored.json",
            "plans/*",
            "models/*",
            "network/address.json",
            "network/ca.pem",
            "network/server.pem",
            "network/enrolment/*.json",
            "network/nodes/*.pub",
        ),
        never=(
            "network/*",
            "log/*",
            "nodes.json",
            "waiting.json",
            "progress.jsonl",
            "serverapp.log",
            "serverapp.log.1",
            *_ANYWHERE,
        ),
    ),
    "school": Contents(
        databases=("school.db", "vault/students.db", "vault/keys.db"),
        logs=("log", "consortium-log"),
        # A proxy in node.json may have a password; joining.json holds the invite's secret.
        secrets=(
            "keys/school.pem",
            "keys/school.next.pem",
            "keys/log.pem",
            "keys/vault.key",
            "network/node.key",
            "network/node.json",
            "network/joining.json",
        ),
        kept=(
            "school.toml",
            "policy.toml",
            "policy.dsse.json",
            "charter.json",
            "charters/*",
            "plans/*",
            "evidence/*",
            "network/ca.pem",
            "network/node.pub",
        ),
        never=("keys/runs/*", "network/*", "log/*", "consortium-log/*", *_ANYWHERE),
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Inventory:
    """What lies in a home now.

    Attributes:
        databases: that are there, in the order of `Contents`.
        logs: folders that are there.
        secrets: that are there, sorted.
        kept: that are there, sorted.
        strangers: files that nobody has thought about; they are in no backup.
    """

    databases: tuple[str, ...]
    logs: tuple[str, ...]
    secrets: tuple[str, ...]
    kept: tuple[str, ...]
    strangers: tuple[str, ...]


def take_inventory(home: Path, kind: Kind) -> Inventory:
    """Sort the files of a home; a link is a stranger, wherever it leads.

    Raises:
        OSError: a folder cannot be read.
    """
    contents = CONTENTS[kind]
    found = sorted(path for path in home.rglob("*") if path.is_symlink() or path.is_file())
    plain = [path.relative_to(home).as_posix() for path in found if not path.is_symlink()]
    links = [path.relative_to(home).as_posix() for path in found if path.is_symlink()]
    secrets, strangers, kept = [], links, []
    for path in plain:
        if path in contents.databases:
            continue
        if path in contents.secrets:
            secrets.append(path)
        elif _is_one_of(path, _ANYWHERE):
            continue
        elif _is_one_of(path, contents.kept):
            kept.append(path)
        elif not _is_one_of(path, contents.never):
            strangers.append(path)
    return Inventory(
        databases=tuple(path for path in contents.databases if path in plain),
        logs=tuple(folder for folder in contents.logs if (home / folder).is_dir()),
        secrets=tuple(secrets),
        kept=tuple(kept),
        strangers=tuple(strangers),
    )


def _is_one_of(path: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(path, pattern) for pattern in patterns)
