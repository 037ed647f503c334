"""The register: everything that fedtrace keeps, why, how long, and what removes it.

It is data (``policies/register.toml``), which `fedtrace school retention explain` prints and a test
holds against every table and file, so that nothing can be kept of which it does not tell.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from importlib.resources import files
from typing import Literal

from pydantic import Field

from fedtrace.governance.document import Section
from fedtrace.governance.plan import Duration

Place = Literal[
    "school vault", "school store", "school home", "consortium store", "consortium home"
]
TABLES: tuple[Place, ...] = ("school vault", "school store", "consortium store")
"""Places that are databases; the others are folders."""


class Kept(Section):
    """One table, or some files.

    Attributes:
        place: where.
        name: the table's, or patterns of file names with spaces between them.
        about: whom it is about.
        why: what it is needed for.
        keep: how long.
        counted_from: what that counts from.
        removed_by: what removes it.
        columns: what each column is needed for; none for files.
    """

    place: Place
    name: str
    about: Literal["student", "pseudonym", "school", "nobody"]
    why: str
    keep: Duration
    counted_from: str = Field(alias="from")
    removed_by: str
    columns: Mapping[str, str] = Field(default_factory=dict)


class _Register(Section):
    kept: list[Kept]


def register() -> tuple[Kept, ...]:
    """Every line, in the order of the file."""
    text = files("fedtrace.deploy").joinpath("policies/register.toml").read_text("utf-8")
    return tuple(_Register.model_validate(tomllib.loads(text)).kept)
