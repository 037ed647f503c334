"""A zip of flat files, opened only when nothing in its directory can do harm.

Nothing is ever unpacked onto the disk. Names that lead elsewhere, zips within the zip, encrypted
entries and contents beyond the bounds are refused before a byte of content is read; the library
never gives more bytes than the directory declared, so the bounds hold for what is read too.
"""

from __future__ import annotations

import errno
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MAX_ENTRIES = 200
MAX_BYTES = 4 * 1024**3
MAX_RATIO = 200
"""How many times its compressed size an entry may have; gradebooks reach about 30."""

_SMALL = 1024 * 1024
_ENCRYPTED = 0x1
_DAMAGED = "the zip file is damaged or cut short"
_DAMAGE = (
    *(zipfile.BadZipFile, zlib.error, struct.error),
    *(EOFError, NotImplementedError, UnicodeDecodeError),
)
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


@contextmanager
def open_zip(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open a zip whose directory is harmless.

    Raises:
        ValueError: it is damaged, also while reading, or refused; no name of an entry is in the
            sentence.
        OSError: the file cannot be read.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            _require_harmless(archive.infolist())
            yield archive
    except _DAMAGE as error:
        raise ValueError(_DAMAGED) from error
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        raise ValueError(_DAMAGED) from error  # the directory points outside the file


def _require_harmless(entries: list[zipfile.ZipInfo]) -> None:
    if len(entries) > MAX_ENTRIES:
        raise ValueError(f"the zip holds {len(entries):,} files; {MAX_ENTRIES} are the most")
    if len({entry.filename for entry in entries}) != len(entries):
        raise ValueError("the zip holds two files of one name: make it again")
    total = sum(entry.file_size for entry in entries)
    if total > MAX_BYTES:
        raise ValueError(f"the zip would unpack to {total:,} bytes; {MAX_BYTES:,} are the most")
    for number, entry in enumerate(entries, 1):
        name = entry.filename
        if any(part in name for part in ("/", "\\", "\0", ":")) or name in ("", ".", ".."):
            raise ValueError(
                f"file {number} of the zip lies in a folder: zip the CSV files themselves"
            )
        if name.lower().endswith((".zip", ".gz", ".xz", ".7z")):
            raise ValueError(f"file {number} of the zip is an archive itself: unpack it first")
        if entry.flag_bits & _ENCRYPTED:
            raise ValueError(f"file {number} of the zip is encrypted: make it without a password")
        if entry.compress_type not in _METHODS:
            raise ValueError(f"file {number} of the zip is not deflated: zip it in the usual way")
        if entry.file_size > max(_SMALL, MAX_RATIO * entry.compress_size):
            raise ValueError(
                f"file {number} of the zip is compressed more than {MAX_RATIO} times "
                f"({entry.compress_size:,} to {entry.file_size:,} bytes): it is no gradebook"
            )
