"""Packs are data that load strictly: no unknown key, no evidence that is not there."""

from __future__ import annotations

from typing import Any, get_args

import pytest
from pydantic import ValidationError

from fedtrace.deploy.packs.pack import Pack, all_packs, read_pack
from fedtrace.deploy.packs.words import PackName


@pytest.mark.parametrize("name", get_args(PackName))
def test_every_pack_loads_and_is_called_what_its_file_is(name: PackName) -> None:
    pack = read_pack(name)
    assert pack.name == name
    assert any(line.evidence for line in pack.lines)


def test_the_list_is_whole() -> None:
    assert [pack.name for pack in all_packs()] == list(get_args(PackName))


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
