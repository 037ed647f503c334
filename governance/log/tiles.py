"""A log as C2SP tiles (https://c2sp.org/tlog-tiles): plain files that any web server can hand out.

::

    checkpoint                    the signed checkpoint, with its cosignatures
    tile/0/000, tile/0/001.p/12   leaf hashes, 32 bytes each, 256 to a full tile
    tile/1/000.p/1                the root of each full tile below
    tile/entries/000, ...         the entries, each after its length in 2 bytes, big-endian

The log itself stays one file of lines (docs/adr/0008-tiles-are-an-export.md); this is how it is
handed to somebody else, and how a copy comes back.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence

from fedtrace.governance.errors import Corrupt
from fedtrace.governance.log.merkle import leaf_hash, node_hash

TILE_WIDTH = 256
"""Hashes in a full tile."""

ENTRY_BUNDLES = "entries"
"""Stands in the place of a level for the entries."""

_LENGTH = struct.Struct(">H")


def tile_path(level: int | str, number: int, width: int = TILE_WIDTH) -> str:
    """Where a tile lies: ``tile/0/x001/x234/067``, and ``.p/<width>`` behind a partial one."""
    parts = [f"{number % 1000:03d}"]
    while number >= 1000:
        number //= 1000
        parts.insert(0, f"x{number % 1000:03d}")
    partial = "" if width == TILE_WIDTH else f".p/{width}"
    return f"tile/{level}/{'/'.join(parts)}{partial}"


def tile_widths(hashes: int) -> Iterator[tuple[int, int]]:
    """Number and width of every tile of a level with so many hashes; an empty one has none."""
    for number in range(hashes // TILE_WIDTH):
        yield number, TILE_WIDTH
    if hashes % TILE_WIDTH:
        yield hashes // TILE_WIDTH, hashes % TILE_WIDTH


def write_tiles(lines: Sequence[bytes]) -> Iterator[tuple[str, bytes]]:
    """Every tile of a log with these entries: path and content.

    Args:
        lines: the entries, each shorter than 65,536 bytes.
    """
    for number, width in tile_widths(len(lines)):
        entries = lines[number * TILE_WIDTH : number * TILE_WIDTH + width]
        bundle = b"".join(_LENGTH.pack(len(entry)) + entry for entry in entries)
        yield tile_path(ENTRY_BUNDLES, number, width), bundle
    level, hashes = 0, [leaf_hash(line) for line in lines]
    while hashes:
        for number, width in tile_widths(len(hashes)):
            tile = hashes[number * TILE_WIDTH : number * TILE_WIDTH + width]
            yield tile_path(level, number, width), b"".join(tile)
        hashes = [
            _tile_root(hashes[number * TILE_WIDTH : (number + 1) * TILE_WIDTH])
            for number in range(len(hashes) // TILE_WIDTH)
        ]
        level += 1


def read_tiles(read: Callable[[str], bytes | None], size: int) -> list[bytes]:
    """The entries of a log from its tiles; every hash tile must be the one that they lead to.

    Args:
        read: path -> content, None where there is nothing.
        size: of the tree, from its checkpoint.

    Raises:
        Corrupt: a tile is missing, or not what the entries hash to.
    """
    lines: list[bytes] = []
    for number, width in tile_widths(size):
        path = tile_path(ENTRY_BUNDLES, number, width)
        bundle = _read_bundle(read, number, width)
        if len(bundle) != width:
            raise Corrupt(f"{path} has {len(bundle)} entries, not {width}")
        lines += bundle
    for path, expected in write_tiles(lines):
        if f"tile/{ENTRY_BUNDLES}/" in path:
            continue
        found = read(path)
        if found is None:
            # A log may delete a partial tile once the full one is there.
            whole = read(path.partition(".p/")[0])
            found = whole[: len(expected)] if whole is not None else None
        if found is None:
            raise Corrupt(f"{path} is missing")
        if found != expected:
            raise Corrupt(f"{path} does not hold the hashes of the entries")
    return lines


def _read_bundle(read: Callable[[str], bytes | None], number: int, width: int) -> list[bytes]:
    path = tile_path(ENTRY_BUNDLES, number, width)
    bundle = read(path)
    if bundle is None and width < TILE_WIDTH:
        bundle = read(tile_path(ENTRY_BUNDLES, number))
    if bundle is None:
        raise Corrupt(f"{path} is missing")
    entries: list[bytes] = []
    offset = 0
    while offset < len(bundle) and len(entries) < width:
        if offset + _LENGTH.size > len(bundle):
            raise Corrupt(f"{path} ends in the middle of an entry")
        (length,) = _LENGTH.unpack_from(bundle, offset)
        offset += _LENGTH.size
        if offset + length > len(bundle):
            raise Corrupt(f"{path} ends in the middle of an entry")
        entries.append(bundle[offset : offset + length])
        offset += length
    return entries


def _tile_root(hashes: Sequence[bytes]) -> bytes:
    """The root over the 256 hashes of a full tile."""
    level = list(hashes)
    while len(level) > 1:
        level = [node_hash(level[i], level[i + 1]) for i in range(0, len(level), 2)]
    return level[0]
