"""The backup's one file: a tar with a manifest in front, whole or not there, checked to the byte.

The manifest names every file with its size and SHA-256, in the order in which they follow. A
reader takes nothing that is not in it and misses nothing that is, so a file that was cut off or
changed on a disk is named and not restored. The format is in docs/formats/backup.md.
"""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Annotated, BinaryIO, Literal, cast

from pydantic import AfterValidator, Field, ValidationError

from fedtrace.client.files import OWNER_ONLY
from fedtrace.deploy.recovery.contents import Kind
from fedtrace.deploy.recovery.errors import BackupError
from fedtrace.deploy.recovery.sealing import MAGIC, SealedReader, SealedWriter
from fedtrace.governance.document import Name, Section, UtcDatetime
from fedtrace.server.files import flush_directory

MANIFEST = "manifest.json"

_MANIFEST_LIMIT_BYTES = 16 * 1024 * 1024
_PIECE_BYTES = 1024 * 1024


def _inside(path: str) -> str:
    parts = PurePosixPath(path).parts
    if not parts or path != "/".join(parts) or parts[0] == "/" or ".." in parts or "\0" in path:
        raise ValueError("a path that leads out of the home")
    return path


InsidePath = Annotated[str, Field(max_length=512), AfterValidator(_inside)]
"""A path below the home, with slashes."""


class StoredFile(Section):
    """One file of a backup."""

    path: InsidePath
    size_bytes: Annotated[int, Field(ge=0)]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Manifest(Section):
    """What a backup holds.

    Attributes:
        format: of this file.
        kind: whose home it is.
        name: the school's or the consortium's.
        made_at: when everything in it stood still.
        release: of the program that wrote it.
        with_keys: whether the secrets are in it.
        database: where the consortium keeps its database; one that is not SQLite is not in here.
        left_out: secrets of the home that are not in here; whoever restores has to bring them.
        files: what follows, in this order.
    """

    format: Literal["fedtrace-backup/1"] = "fedtrace-backup/1"
    kind: Kind
    name: Name
    made_at: UtcDatetime
    release: str
    with_keys: bool
    database: Literal["sqlite", "postgresql"]
    left_out: tuple[InsidePath, ...]
    files: tuple[StoredFile, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A file on its way into a backup: a place on disk, or bytes that must not touch another one.

    Attributes:
        path: its name below the home.
        content: a file that does not change any more, or what is in it.
    """

    path: str
    content: Path | bytes

    def described(self) -> StoredFile:
        """Its line in the manifest.

        Raises:
            OSError: it cannot be read.
        """
        digest, size = hashlib.sha256(), 0
        with self.opened() as file:
            while piece := file.read(_PIECE_BYTES):
                digest.update(piece)
                size += len(piece)
        return StoredFile(path=self.path, size_bytes=size, sha256=digest.hexdigest())

    def opened(self) -> BinaryIO:
        """Its bytes."""
        if isinstance(self.content, bytes):
            return io.BytesIO(self.content)
        return self.content.open("rb")


def is_sealed(path: Path) -> bool:
    """Whether a passphrase is needed to read this backup.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        return file.read(len(MAGIC)) == MAGIC


def write_bundle(
    path: Path, manifest: Manifest, sources: Sequence[Source], *, passphrase: str | None
) -> int:
    """Write a backup beside its place, then rename it.

    Args:
        path: where it goes; nothing is there yet.
        manifest: describes ``sources``, in their order.
        sources: the files.
        passphrase: None for a backup without secrets, which is not encrypted.

    Returns:
        Its size in bytes.

    Raises:
        FileExistsError: there is something at that path.
        OSError: it cannot be written, or a source changed meanwhile; nothing is left.
    """
    if path.exists():
        raise FileExistsError(f"{path} is there already; a backup never replaces another one")
    staged = path.with_name(f".{path.name}.new")
    staged.unlink(missing_ok=True)
    descriptor = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL, OWNER_ONLY)
    try:
        with os.fdopen(descriptor, "wb") as file:
            sealed = SealedWriter(file, passphrase) if passphrase is not None else None
            with tarfile.open(fileobj=cast("BinaryIO", sealed or file), mode="w|") as tar:
                content = manifest.model_dump_json(indent=1).encode()
                _add(tar, MANIFEST, io.BytesIO(content), len(content))
                for source, described in zip(sources, manifest.files, strict=True):
                    with source.opened() as opened:
                        _add(tar, source.path, opened, described.size_bytes)
            if sealed is not None:
                sealed.finish()
            file.flush()
            os.fsync(file.fileno())
            size = file.tell()
        staged.rename(path)
    except BaseException:
        staged.unlink(missing_ok=True)
        raise
    flush_directory(path.parent)
    return size


def unpack(path: Path, into: Path, *, passphrase: str | None = None) -> Manifest:
    """Write a backup's files below a new folder, each checked against the manifest.

    Args:
        path: the backup.
        into: a folder that is not there yet; private to its owner. What is in it after an error
            is not to be used.
        passphrase: needed for an encrypted one.

    Raises:
        BackupError: it is no backup, is damaged or cut off, or needs another passphrase.
        OSError: it cannot be read, or the folder not written.
    """
    into.mkdir(mode=0o700)
    with path.open("rb") as file, _named(path):
        reader = SealedReader(file, passphrase or "") if is_sealed(path) else None
        stream = cast("BinaryIO", reader or file)
        with tarfile.open(fileobj=stream, mode="r|") as tar:
            members = iter(tar)
            manifest = _read_manifest(tar, next(members, None))
            for expected in manifest.files:
                _extract(tar, next(members, None), expected, into)
            if next(members, None) is not None:
                raise BackupError("it holds files that its manifest does not name")
        while stream.read(_PIECE_BYTES):
            pass  # to the end, so that an encrypted file proves that nothing was cut off
    return manifest


def _add(tar: tarfile.TarFile, name: str, content: BinaryIO, size_bytes: int) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode = size_bytes, OWNER_ONLY
    tar.addfile(member, content)


def _read_manifest(tar: tarfile.TarFile, member: tarfile.TarInfo | None) -> Manifest:
    if member is None or member.name != MANIFEST or not member.isreg():
        raise BackupError(f"it does not begin with {MANIFEST}: it is no backup of fedtrace")
    opened = tar.extractfile(member)
    content = opened.read(_MANIFEST_LIMIT_BYTES) if opened is not None else b""
    try:
        manifest = Manifest.model_validate_json(content)
    except ValidationError as error:
        raise BackupError(
            f"its {MANIFEST} is damaged, or was written by a newer release of fedtrace"
        ) from error
    paths = [file.path for file in manifest.files]
    if len(set(paths)) != len(paths):
        raise BackupError(f"its {MANIFEST} names a file twice")
    return manifest


def _extract(
    tar: tarfile.TarFile, member: tarfile.TarInfo | None, expected: StoredFile, into: Path
) -> None:
    if member is None:
        raise BackupError(f"it ends before {expected.path}: it was cut off, or never finished")
    opened = tar.extractfile(member) if member.isreg() else None
    if opened is None or member.name != expected.path or member.size != expected.size_bytes:
        raise BackupError(f"where {expected.path} should follow there is something else")
    target = into / expected.path
    for folder in reversed(target.relative_to(into).parents):
        (into / folder).mkdir(mode=0o700, exist_ok=True)
    digest = hashlib.sha256()
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, OWNER_ONLY)
    with os.fdopen(descriptor, "wb") as file:
        while piece := opened.read(_PIECE_BYTES):
            digest.update(piece)
            file.write(piece)
        file.flush()
        os.fsync(file.fileno())
    if digest.hexdigest() != expected.sha256:
        raise BackupError(f"{expected.path} in it is not what was stored: it was damaged")


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Say which file it is, and what to do, whatever is wrong with it."""
    try:
        yield
    except (BackupError, tarfile.TarError, EOFError) as error:
        what = str(error) if isinstance(error, BackupError) else "it is cut off or damaged"
        raise BackupError(
            f"{path} cannot be used: {what}. Nothing was restored; take another backup"
        ) from error
