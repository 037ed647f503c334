"""Scripted tamperings with a bundle, and the check that must find each.

Three kinds of cheats: who changes files without any key; an owner who signs again what he changed;
and a consortium whose witnesses all went along, which the schools' own logs still contradict.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass

from support.bundles import (
    CONSORTIUM,
    ORIGINS,
    SCHOOL,
    Files,
    agree,
    cosign,
    honest,
    lines_of,
    put_lines,
    sign_lines,
)
from support.logs import note_over

LOG = f"{CONSORTIUM}/log"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tampering:
    """One way to cheat.

    Attributes:
        name: what was done.
        check: the check that finds it.
        make: the bundle after it.
        warns: a person is asked to look; otherwise the check fails.
    """

    name: str
    check: str
    make: Callable[[], Files]
    warns: bool = False


def tampering(
    name: str,
    check: str,
    make: Callable[[], Files],
    *,
    warns: bool = False,
) -> Tampering:
    """One row of the corpus."""
    return Tampering(name=name, check=check, make=make, warns=warns)


def edit(path: str, old: bytes, new: bytes, *, count: int = 1) -> Callable[[], Files]:
    def make() -> Files:
        files = honest()
        if old not in files[path]:
            raise ValueError(f"{old!r} is not in {path}")
        files[path] = files[path].replace(old, new, count)
        return files

    return make


def without(*paths: str) -> Callable[[], Files]:
    def make() -> Files:
        return {name: content for name, content in honest().items() if not name.startswith(paths)}

    return make


def lines(change: Callable[[list[bytes]], list[bytes]], home: str = CONSORTIUM) -> Files:
    files = honest()
    return put_lines(files, home, change(lines_of(files, home)))


def all_sign(change: Callable[[list[bytes]], list[bytes]]) -> Files:
    files = honest()
    return agree(files, change(lines_of(files, CONSORTIUM)))


def school_signs(change: Callable[[list[bytes]], list[bytes]]) -> Files:
    files = honest()
    return sign_lines(files, SCHOOL, change(lines_of(files, SCHOOL)))


def swap_bytes(path: str, at: int, flip: int = 1) -> Callable[[], Files]:
    def make() -> Files:
        files = honest()
        content = bytearray(files[path])
        content[at] ^= flip
        files[path] = bytes(content)
        return files

    return make


def entry(index: int, old: bytes, new: bytes) -> Callable[[list[bytes]], list[bytes]]:
    def change(lines: list[bytes]) -> list[bytes]:
        if old not in lines[index]:
            raise ValueError(f"{old!r} is not in entry {index}")
        return [*lines[:index], lines[index].replace(old, new, 1), *lines[index + 1 :]]

    return change


def copied_school() -> Files:
    files = honest()
    return files | {
        name.replace("school-1", "copy", 1): content
        for name, content in files.items()
        if name.startswith(SCHOOL)
    }


def checkpoint(content: Callable[[Files], bytes], home: str = CONSORTIUM) -> Callable[[], Files]:
    def make() -> Files:
        files = honest()
        files[f"{home}/log/checkpoint"] = content(files)
        return files

    return make


def invalid_signature(note: bytes) -> bytes:
    head, _, last = note.rstrip(b"\n").rpartition(b" ")
    raw = bytearray(base64.b64decode(last))
    raw[20] ^= 1
    return head + b" " + base64.b64encode(raw) + b"\n"


def flip_cosignature() -> Files:
    files = honest()
    files[f"{LOG}/cosigned"] = invalid_signature(files[f"{LOG}/cosigned"])
    return files


def cosigned_by(names: int) -> Files:
    files = honest()
    note = files[f"{LOG}/checkpoint"]
    files[f"{LOG}/cosigned"] = cosign(note, [*ORIGINS.values()][1 : 1 + names])
    return files


def replayed_cosignature() -> Files:
    """Signature lines of an older checkpoint under the checkpoint of now."""
    files = honest()
    old = note_over(lines_of(files, CONSORTIUM)[:10], ORIGINS[CONSORTIUM])
    theirs = cosign(old, [*ORIGINS.values()][1:]).rpartition(b"\n\n")[2].splitlines(keepends=True)
    files[f"{LOG}/cosigned"] = files[f"{LOG}/checkpoint"] + b"".join(theirs[1:])
    return files
