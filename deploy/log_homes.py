"""Find the logs that lie under a path, and the charter whose keys count for them.

A log lies there as its owner keeps it (``entries.jsonl`` and ``checkpoint``), or as an export in
tiles; both are the same log.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fedtrace.client.mirror import MIRROR_FOLDER
from fedtrace.governance.charter_history import CHARTER_FILE as CHARTER
from fedtrace.governance.charter_history import CharterHistory, read_charters
from fedtrace.governance.log.checkpoint import parse_checkpoint
from fedtrace.governance.log.note import NOTE_LIMIT_BYTES, parse_note
from fedtrace.governance.log.storage import (
    CHECKPOINT,
    COSIGNED,
    ENTRIES,
    StoredLog,
    read_limited,
    read_log,
)
from fedtrace.governance.log.tiles import read_tiles
from fedtrace.governance.signing import ENVELOPE_LIMIT_BYTES

TILES = "tile"
PLANS, PLAN_FILE, REVOCATION_FILE = "plans", "plan.dsse.json", "revocation.dsse.json"

_TILE_LIMIT_BYTES = 16 * 1024 * 1024
"""256 entries of 32 KiB, each with its length, stay below."""

_WHERE_TO_LOOK = (
    "name a school's or the consortium's home, its log folder, or a folder with consortium/ and "
    "schools/"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class LogHome:
    """A folder with a charter and a log; a school's copy of the consortium's counts as one too.

    Attributes:
        charter: the charter's file.
        log: the log's folder.
    """

    charter: Path
    log: Path


def find_homes(path: Path) -> tuple[list[LogHome], bool]:
    """Every home under a path, the consortium's first; true where it should be all of them.

    Raises:
        ValueError: there is none.
        OSError: a folder cannot be read.
    """
    if not path.exists():
        raise ValueError(f"There is nothing at {path}: check the path, or {_WHERE_TO_LOOK}.")
    if not path.is_dir():
        raise ValueError(f"{path} is a file: {_WHERE_TO_LOOK}.")
    if (path / "consortium").is_dir() or (path / "schools").is_dir():
        schools = path / "schools"
        folders = [path / "consortium"]
        if schools.is_dir():
            folders += sorted(each for each in schools.iterdir() if each.is_dir())
        return [LogHome(charter=each / CHARTER, log=each / "log") for each in folders], True
    if (path / MIRROR_FOLDER).is_dir():
        mirror = LogHome(charter=path / CHARTER, log=path / MIRROR_FOLDER)
        return [mirror, LogHome(charter=path / CHARTER, log=path / "log")], False
    if (path / "log").is_dir() or ((path / CHARTER).exists() and not (path / TILES).is_dir()):
        return [LogHome(charter=path / CHARTER, log=path / "log")], False
    if (path / TILES).is_dir():
        return [LogHome(charter=path / CHARTER, log=path)], False
    if (path / ENTRIES).exists() or (path / CHECKPOINT).exists():
        return [LogHome(charter=path.absolute().parent / CHARTER, log=path)], False
    raise ValueError(f"There is no log at {path}: {_WHERE_TO_LOOK}.")


def read_history(homes: Sequence[LogHome]) -> CharterHistory:
    """The charter of all homes, in all its versions; a home may not have heard of the last ones.

    Raises:
        ValueError: one is missing or not a charter, nobody agreed to a version, or they differ.
        Corrupt, OSError: it cannot be read.
    """
    histories = []
    for folder in dict.fromkeys(home.charter.parent for home in homes):
        try:
            histories.append(read_charters(folder))
        except FileNotFoundError as error:
            raise ValueError(
                f"{folder / CHARTER} is missing: without a charter nobody knows whose keys count. "
                "Ask whoever gave you this folder for it."
            ) from error
    longest = max(histories, key=lambda each: len(each.versions))
    if any(each.versions != longest.versions[: len(each.versions)] for each in histories):
        raise ValueError(
            "The homes have different charters, so their logs cannot be compared. Ask which one "
            "the schools signed."
        )
    return longest


def read_stored(directory: Path) -> StoredLog:
    """A log's bytes from its files or from its tiles; nothing about them is believed yet.

    Raises:
        NoteError: a checkpoint beside tiles cannot be read, so nobody knows how many there are.
        Corrupt: a file is too large, a link or missing, or a tile does not fit its entries.
        OSError: it cannot be read.
    """
    if not (directory / TILES).is_dir():
        return read_log(directory)
    checkpoint = read_limited(directory / CHECKPOINT, NOTE_LIMIT_BYTES)
    if checkpoint is None:
        return StoredLog(lines=[], torn_bytes=0, checkpoint=None)
    size = parse_checkpoint(parse_note(checkpoint)[0]).size
    lines = read_tiles(lambda path: read_limited(directory / path, _TILE_LIMIT_BYTES), size)
    return StoredLog(lines=lines, torn_bytes=0, checkpoint=checkpoint)


def read_plans(home: LogHome, plan_digest: str, name: str = PLAN_FILE) -> tuple[bytes, ...]:
    """The copies of the signed plan of that digest beside a log, unverified; usually one.

    With `REVOCATION_FILE` as the name: those of its revocation.

    The consortium's folders of plans have the digest's hex for a name, a school's also say
    ``sha256-``; an export is written like the consortium's.

    Raises:
        Corrupt, OSError: as `read_limited`.
    """
    hexadecimal = plan_digest.removeprefix("sha256:")
    folder = home.charter.parent / PLANS
    copies = (
        read_limited(folder / each / name, ENVELOPE_LIMIT_BYTES)
        for each in (hexadecimal, f"sha256-{hexadecimal}")
    )
    return tuple(copy for copy in copies if copy is not None)


def read_cosigned(directory: Path) -> bytes | None:
    """The last checkpoint that witnesses cosigned, unverified; None where there is none.

    Raises:
        Corrupt, OSError: as `read_limited`.
    """
    return read_limited(directory / COSIGNED, NOTE_LIMIT_BYTES)


def is_beginning(part: Sequence[object], whole: Sequence[object]) -> bool:
    """Whether one log's entries are the first ones of another's, or all of them."""
    return list(part) == list(whole[: len(part)])
