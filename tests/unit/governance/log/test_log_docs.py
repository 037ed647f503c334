"""docs/formats/log.md names every entry type, every key and every check."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from support.logs import charter_of, key_of, public

from fedtrace.governance.log.checkpoint import open_checkpoint
from fedtrace.governance.log.entries import (
    CONSORTIUM_ENTRIES,
    SCHOOL_ENTRIES,
    Entry,
    decode_entry,
)
from fedtrace.governance.log.merkle import MerkleTree, leaf_hash
from fedtrace.governance.log.quorum import parse_policy
from fedtrace.governance.witnessing import consortium_policy

ROOT = Path(__file__).parents[4]
PAGE = (ROOT / "docs" / "formats" / "log.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("kind", [*SCHOOL_ENTRIES, *CONSORTIUM_ENTRIES], ids=lambda k: k.type)
def test_every_type_and_its_keys_are_documented(kind: type[Entry]) -> None:
    row = next(line for line in PAGE.splitlines() if line.startswith(f"| `{kind.type}` |"))
    assert re.findall(r"`(\w+)`", re.sub(r"\(each.*?\)", "", row.split("|")[2])) == list(
        kind.model_fields
    )


def test_every_check_is_documented() -> None:
    documented = set(re.findall(r"`([a-z]+\.[a-z]+|input|charter|members|crosscheck)`", PAGE))
    sources = [
        *(ROOT / "governance" / "log").glob("*.py"),
        ROOT / "deploy" / "audit.py",
        ROOT / "deploy" / "proving.py",
    ]
    code = "\n".join(path.read_text(encoding="utf-8") for path in sources)
    named = set(re.findall(r'check="([a-z.]+)"', code))
    named |= set(re.findall(r'(?:line|_Failed|_failed)\(\s*"([a-z]+\.[a-z]+)"', code))
    named |= {f"entry.{name}" for name in re.findall(r'Rejected\(\s*"([a-z]+)"', code)}
    named |= {f"checkpoint.{name}" for name in re.findall(r'NoteError\(\s*"([a-z]+)"', code)}
    assert named == documented & named
    assert len(named) > 25


def test_the_example_is_a_log_that_verifies() -> None:
    blocks = [block.strip("\n") for block in re.findall(r"```(?:json)?\n(.*?)```", PAGE, re.S)]
    shown, note, trust = blocks
    line = "".join(part.strip() for part in shown.splitlines()).encode()
    checkpoint = open_checkpoint(
        f"{note}\n".encode(), origin="county/log", public_key=public(key_of("county/log"))
    )
    assert MerkleTree([leaf_hash(line)]).root() == checkpoint.root
    assert decode_entry(line, index=0, origin="county/log").entry.type == "update.received"
    witnessed = parse_policy(f"{trust}\n".encode()).open(f"{note}\n".encode())
    assert sorted(witnessed.times) == ["school-1", "school-2"]


def test_the_example_of_a_trust_policy_is_the_charters() -> None:
    trust = consortium_policy(charter_of(["school-1", "school-2"])).to_text()
    assert f"```\n{trust}```" in PAGE
