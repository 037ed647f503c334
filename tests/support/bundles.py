"""What an officer receives, in memory: every log of a small consortium, as files to be changed.

`honest` is written once. A tampering gets its own copy of the files, or tells another story and has
the keys sign it, as a dishonest owner can.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from support.logs import NOW, Story, encode, key_of, note_over, tell_story

from fedtrace.client.mirror import MIRROR_FOLDER
from fedtrace.governance.log.cosignature import Ed25519Cosigner, cosigned
from fedtrace.governance.log.note import parse_note

Files = dict[str, bytes]
"""Path below the bundle -> content."""

CONSORTIUM, SCHOOL = "consortium", "schools/school-1"
ORIGINS = {
    CONSORTIUM: "county/log",
    **{f"schools/school-{n}": f"county/schools/school-{n}" for n in range(1, 4)},
}
"""Home -> the origin of its own log."""


def honest() -> Files:
    """A fresh copy of the bundle of a job in which nobody cheated."""
    return dict(_written())


def told(change: Callable[[Story], None]) -> Files:
    """The bundle of another story: all owners and all witnesses sign it, and all copies agree."""
    story = tell_story()
    change(story)
    return _files(story)


def write(files: Files, root: Path) -> Path:
    """Lay a bundle down as a folder."""
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return root


def lines_of(files: Files, home: str) -> list[bytes]:
    """The entries of a home's own log."""
    return files[f"{home}/log/entries.jsonl"].splitlines()


def put_lines(files: Files, home: str, lines: Sequence[bytes]) -> Files:
    """Other entries under the checkpoint that is there: what somebody without the key can do."""
    files[f"{home}/log/entries.jsonl"] = b"".join(line + b"\n" for line in lines)
    return files


def sign_lines(
    files: Files, home: str, lines: Sequence[bytes], key: Ed25519PrivateKey | None = None
) -> Files:
    """Other entries, signed by the log's owner, who leaves witnesses and copies as they are."""
    files[f"{home}/log/checkpoint"] = note_over(lines, ORIGINS[home], key)
    return put_lines(files, home, lines)


def agree(files: Files, lines: Sequence[bytes]) -> Files:
    """The consortium signs other entries, and every witness and every copy goes along."""
    sign_lines(files, CONSORTIUM, lines)
    note = files[f"{CONSORTIUM}/log/checkpoint"]
    files[f"{CONSORTIUM}/log/cosigned"] = cosign(note, [*ORIGINS.values()][1:])
    for home in [*ORIGINS][1:]:
        files[f"{home}/{MIRROR_FOLDER}/entries.jsonl"] = files[f"{CONSORTIUM}/log/entries.jsonl"]
        files[f"{home}/{MIRROR_FOLDER}/checkpoint"] = note
    return files


def cosign(note: bytes, origins: Sequence[str]) -> bytes:
    """A checkpoint with cosignatures of these witnesses."""
    text = parse_note(note)[0]
    cosigners = [Ed25519Cosigner(origin, key_of(origin)) for origin in origins]
    return cosigned(note, [each.cosign(text, now=NOW) for each in cosigners])


@cache
def _written() -> Files:
    return _files(tell_story())


def _files(story: Story) -> Files:
    with tempfile.TemporaryDirectory() as folder:
        root = story.write(Path(folder))
        files = {
            str(path.relative_to(root)): path.read_bytes()
            for path in sorted(root.rglob("*"))
            if path.is_file()
        }
    return agree(files, encode(story.consortium, ORIGINS[CONSORTIUM]))
