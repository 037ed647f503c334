"""A pack: what one law or contract asks, as data, and which evidence answers each line of it.

Packs are TOML files beside this module (docs/formats/pack-report.md). They hold words and names of
evidence, never code; a line that could be answered by nothing, or names evidence that does not
exist, does not load.
"""

from __future__ import annotations

import json
import tomllib
from importlib.resources import files
from typing import Annotated, Self, get_args

from pydantic import Field, model_validator

from fedtrace.deploy.packs.words import EvidenceName, PackName
from fedtrace.governance.document import Section

Words = Annotated[str, Field(min_length=10, max_length=600, pattern=r"^\S.*\S$")]


class Source(Section):
    """Where a pack's text can be read by whoever doubts it.

    Attributes:
        title: of the law, the rule or the contract.
        url: where it is published.
        version: as of when it was read for this pack.
    """

    title: Words
    url: Annotated[str, Field(pattern=r"^https://[A-Za-z0-9./?=&%_#:~+()-]+$", max_length=300)]
    version: Annotated[str, Field(min_length=4, max_length=200)]


class PackLine(Section):
    """One thing that is asked.

    Attributes:
        id: its name in the report, which stays when lines are added.
        cites: the section, article or clause.
        asks: what it asks, in plain words.
        evidence: what in the logs and plans answers it.
        person: what only a person can know or do; empty where the logs say it all.
    """

    id: Annotated[str, Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=60)]
    cites: Annotated[str, Field(min_length=3, max_length=160)]
    asks: Words
    evidence: tuple[EvidenceName, ...]
    person: Words | None = None

    @model_validator(mode="after")
    def _somebody_answers(self) -> Self:
        if not self.evidence and self.person is None:
            raise ValueError(f"{self.id} has neither evidence nor a person")
        if len(set(self.evidence)) != len(self.evidence):
            raise ValueError(f"{self.id} names the same evidence twice")
        return self


class Pack(Section):
    """One law or contract.

    Attributes:
        name: what ``--pack`` calls it.
        title: its full name.
        about: whom it concerns here, in one or two sentences.
        sources: where its text is.
        lines: what it asks, in its own order.
    """

    name: PackName
    title: Words
    about: Words
    sources: Annotated[tuple[Source, ...], Field(min_length=1)]
    lines: Annotated[tuple[PackLine, ...], Field(min_length=1, max_length=60)]

    @model_validator(mode="after")
    def _ids_are_names(self) -> Self:
        ids = [line.id for line in self.lines]
        doubled = sorted({each for each in ids if ids.count(each) > 1})
        if doubled:
            raise ValueError(f"two lines are called {doubled[0]}")
        return self


def read_pack(name: PackName) -> Pack:
    """A pack by its name.

    Raises:
        ValueError: the file is not a pack, or another one (a defect of this release).
    """
    source = files("fedtrace.deploy.packs").joinpath(f"{name}.toml").read_text("utf-8")
    pack = Pack.model_validate_json(json.dumps(tomllib.loads(source)))
    if pack.name != name:
        raise ValueError(f"{name}.toml holds the pack {pack.name}")
    return pack


def all_packs() -> tuple[Pack, ...]:
    """Every pack, in the order in which they are listed."""
    return tuple(read_pack(name) for name in get_args(PackName))
