"""Packs are data that load strictly: no unknown key, no evidence that is not there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import ValidationError
from support.tree import ROOT, text

from fedtrace.deploy.packs.pack import Pack, all_packs, read_pack
from fedtrace.deploy.packs.words import PackName


@pytest.mark.parametrize("name", get_args(PackName))
def test_every_pack_loads_and_is_called_what_its_file_is(name: PackName) -> None:
    pack = read_pack(name)
    assert pack.name == name
    assert any(line.evidence for line in pack.lines)


def test_the_list_is_whole() -> None:
    assert [pack.name for pack in all_packs()] == list(get_args(PackName))


@pytest.mark.parametrize("pack", all_packs(), ids=lambda pack: pack.name)
def test_every_command_and_document_that_a_pack_names_exists(pack: Pack) -> None:
    cli = text(Path("docs/cli.md"))
    for line in pack.lines:
        for command in re.findall(r"fedtrace(?: [a-z]+)+", line.person or ""):
            names = [" ".join(command.split()[:words]) for words in (3, 4)]
            assert any(f"## {name}\n" in cli for name in names), f"{pack.name}: {command}"
        for document in re.findall(r"docs/[a-z/-]+\.md", line.person or ""):
            assert (ROOT / document).exists(), f"{pack.name}: {document}"


def _changed(**changes: Any) -> dict[str, Any]:
    plain = read_pack("ferpa").model_dump(mode="python")
    plain["lines"] = (plain["lines"][0] | changes, plain["lines"][1])
    return plain


@pytest.mark.parametrize(
    "changes",
    [
        {"unknown": "key"},
        {"evidence": ("magic",)},
        {"evidence": ("holds", "holds")},
        {"evidence": (), "person": None},
        {"asks": "short"},
        {"id": "inspect"},
        {"id": 'a"b'},
    ],
    ids=str,
)
def test_a_line_that_cannot_be_answered_does_not_load(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Pack.model_validate(_changed(**changes))
    assert Pack.model_validate(_changed()).name == "ferpa"


@pytest.mark.parametrize("url", ["http://example.org/", "javascript:alert(1)", 'https://a"b'])
def test_a_source_is_an_address_that_a_page_can_hold(url: str) -> None:
    plain = _changed()
    plain["sources"] = ({**plain["sources"][0], "url": url},)
    with pytest.raises(ValidationError):
        Pack.model_validate(plain)
