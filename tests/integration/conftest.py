"""The consortium that every integration test starts from: built once, copied for each."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from support.federation import Federation, build_federation, copy_of

MEMORY = Path("/dev/shm")
"""Homes wait for the disk at every step; here nothing has to survive a power cut."""


@pytest.fixture(scope="session")
def folder() -> Iterator[Path]:
    """Where homes are, in memory where the machine has such a place."""
    parent = MEMORY if MEMORY.is_dir() else None
    with tempfile.TemporaryDirectory(prefix="fedtrace-tests-", dir=parent) as name:
        yield Path(name)


@pytest.fixture(scope="session")
def template(folder: Path) -> Federation:
    """A consortium that has run nothing yet."""
    return build_federation(folder / "template", tables=folder / "tables", now=datetime.now(UTC))


@pytest.fixture
def federation(template: Federation, folder: Path) -> Iterator[Federation]:
    """A copy of it that a test may spoil."""
    with copy_of(template, folder / "workspace") as copied:
        yield copied
