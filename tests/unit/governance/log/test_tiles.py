"""A log as tiles: the paths and widths of the specification, and copies that were changed."""

from __future__ import annotations

import hashlib

import pytest
from support.witnesses import entries, tree_of

from fedtrace.governance.errors import Corrupt
from fedtrace.governance.log.merkle import MerkleTree
from fedtrace.governance.log.tiles import read_tiles, tile_path, tile_widths, write_tiles

SIZE = 300
LINES = entries(SIZE)
TILES = dict(write_tiles(LINES))


def test_paths_are_those_of_the_specification() -> None:
    assert tile_path(0, 1234067) == "tile/0/x001/x234/067"
    assert tile_path("entries", 0, 7) == "tile/entries/000.p/7"
    assert tile_path(2, 1000) == "tile/2/x001/000"


def test_widths_are_those_of_the_specification() -> None:
    """A tree of 70,000: 273 full tiles and 112; one full and 17; 1 at level 2."""
    level_0 = list(tile_widths(70_000))
    assert (len(level_0), level_0[-1]) == (274, (273, 112))
    level_1 = list(tile_widths(70_000 // 256))
    assert level_1 == [(0, 256), (1, 17)]
    assert list(tile_widths(70_000 // 256**2)) == [(0, 1)]
    assert list(tile_widths(256)) == [(0, 256)]
    assert list(tile_widths(0)) == []


def test_the_files_of_a_log() -> None:
    assert sorted(TILES) == [
        "tile/0/000",
        "tile/0/001.p/44",
        "tile/1/000.p/1",
        "tile/entries/000",
        "tile/entries/001.p/44",
    ]
    assert TILES["tile/0/000"][:32] == hashlib.sha256(b"\x00entry 0").digest()
    assert TILES["tile/1/000.p/1"] == tree_of(256).root()
    assert TILES["tile/entries/000"].startswith(b"\x00\x07entry 0\x00\x07entry 1")


@pytest.mark.parametrize("size", [0, 1, 255, 256, 257, SIZE])
def test_what_is_written_is_read(size: int) -> None:
    assert read_tiles(dict(write_tiles(LINES[:size])).get, size) == LINES[:size]


def test_a_full_tile_stands_for_a_partial_one_that_was_deleted() -> None:
    later = dict(write_tiles(entries(512)))
    copy = {path: TILES[path] for path in TILES if "001.p/44" not in path}
    copy |= {path: later[path] for path in ("tile/0/001", "tile/entries/001")}
    assert read_tiles(copy.get, SIZE) == LINES


def test_no_entries_are_no_tiles() -> None:
    assert dict(write_tiles([])) == {}
    assert len(MerkleTree()) == 0


@pytest.mark.parametrize("path", sorted(TILES))
@pytest.mark.parametrize("how", ["changed", "missing", "short"])
def test_a_damaged_copy_is_noticed(path: str, how: str) -> None:
    damaged = dict(TILES)
    if how == "missing":
        del damaged[path]
    elif how == "short":
        damaged[path] = damaged[path][:-1]
    else:
        damaged[path] = damaged[path][:-1] + bytes([damaged[path][-1] ^ 1])
    with pytest.raises(Corrupt, match="tile/"):
        read_tiles(damaged.get, SIZE)
