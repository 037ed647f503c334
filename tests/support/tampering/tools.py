"""What all tamperings need: a name, the checks that find it, and tools to change a log."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.logs import (
    Story,
    tell_story,
    write_lines,
)

from fedtrace.governance.canonical import digest
from fedtrace.governance.log.entries import (
    Entry,
)
from fedtrace.governance.log.storage import CHECKPOINT, ENTRIES

ORIGIN = "county/log"
OTHER = digest(b"something else")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tampering:
    """One thing that somebody did.

    Attributes:
        act: does it to a copy of the whole folder.
        fails: checks that fail, each once; ``crosscheck``, which only says that logs were not
            compared because of another, is left out.
        warns: checks that warn, each once.
    """

    act: Callable[[Path], None]
    fails: tuple[str, ...] = ()
    warns: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """What was done, for the test's name."""
        return getattr(self.act, "__name__", "").replace("_", " ").strip()


def log_of(demo: Path, school: str | None = None) -> Path:
    """The folder of a log."""
    return (demo / "schools" / school if school else demo / "consortium") / "log"


def lines_of(log: Path) -> list[bytes]:
    return (log / ENTRIES).read_bytes().splitlines()


def put_lines(log: Path, lines: Sequence[bytes]) -> None:
    """Change the entries and nothing else."""
    (log / ENTRIES).write_bytes(b"".join(line + b"\n" for line in lines))


def change_note(demo: Path, change: Callable[[bytes], bytes], name: str = CHECKPOINT) -> None:
    path = log_of(demo) / name
    path.write_bytes(change(path.read_bytes()))


def retell(demo: Path, edit: Callable[[Story], None], **story: Any) -> None:
    """Everybody who has a key lies in the same way: all logs are written and signed anew."""
    told = tell_story(**story)
    edit(told)
    shutil.rmtree(demo)
    told.write(demo)


def sign_anew(demo: Path, lines: Sequence[bytes]) -> None:
    """The consortium's owner puts other entries in place, signs them, and its witnesses too."""
    write_lines(log_of(demo), lines, ORIGIN)
    tell_story().cosign(log_of(demo))


def swapped_entry(story: Story, kind: type[Entry], **changes: object) -> None:
    """Change the first entry of a kind in the consortium's log."""
    at = next(i for i, each in enumerate(story.consortium) if isinstance(each, kind))
    story.consortium[at] = story.consortium[at].model_copy(update=changes)
