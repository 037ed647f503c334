"""The pages about a school's files say what the code does."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

from fedtrace.client.consent import COLUMNS, Notice, read_consent
from fedtrace.client.ingest.caliper import MAX_ATTEMPTS
from fedtrace.client.ingest.catalogue import MIN_STUDENTS_PER_SKILL, load_catalogue
from fedtrace.client.ingest.events import MAX_EVENT
from fedtrace.client.ingest.fields import MAX_SEEN
from fedtrace.client.ingest.formats import Format
from fedtrace.client.ingest.mapping import Columns, Mapping, load_mapping
from fedtrace.client.ingest.report import Merged, Reason
from fedtrace.client.ingest.zipped import MAX_BYTES, MAX_ENTRIES, MAX_RATIO
from fedtrace.client.vault import Fold
from fedtrace.governance.consent import Authority, ConsentState, Item

FORMATS = Path(__file__).resolve().parents[3] / "docs" / "formats"


def page(name: str) -> str:
    return (FORMATS / name).read_text(encoding="utf-8")


def block(text: str, language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", text, re.DOTALL)
    assert found is not None
    return found[1]


def test_the_mapping_page() -> None:
    text = page("csv-mapping.md")
    mapping = load_mapping(block(text, "toml"))
    assert mapping.delimiter == ";"
    assert mapping.columns.order == "Answered at"
    assert load_catalogue(block(text, "json").strip().encode()).to_json() in text.encode()
    for reason in Reason:
        assert f"| {reason} |" in text + page("importing.md")
    for key in (*(f"columns.{name}" for name in Columns.model_fields), *Mapping.model_fields):
        assert f"`{key}" in text or key in ("columns", "answers"), key
    defaults = Mapping(columns=mapping.columns).answers
    assert f"`{' '.join(defaults.right)}`" in text
    assert f"`{' '.join(defaults.wrong)}`" in text
    assert MIN_STUDENTS_PER_SKILL == 5


def test_the_page_of_exports() -> None:
    text = page("importing.md")
    for name in Format:
        assert f"`{name}`" in text
    for why in (Merged.LATER_ATTEMPT, Merged.NO_ANSWER):
        assert f"| merged: {why} |" in text
    for bound in (f"{MAX_ENTRIES} files", f"{MAX_BYTES // 1024**3} GiB", f"{MAX_RATIO} times"):
        assert bound in text
    assert (MAX_EVENT, MAX_ATTEMPTS, MAX_SEEN) == (1024 * 1024, 1_000_000, 10_000_000)


def test_the_consent_page(tmp_path: Path) -> None:
    text = page("consent-csv.md")
    example = tmp_path / "consent.csv"
    example.write_text(block(text, "csv"), encoding="utf-8")
    read = read_consent(
        example,
        {"4711": "a" * 32, "4712": "b" * 32}.get,
        request="0" * 32,
        notice=Notice(digest="sha256:" + "0" * 64, language="en"),
        now=datetime(2026, 9, 1, tzinfo=UTC),
    )
    assert [len(records) for records in read.changes.values()] == [2, 12]
    assert read.unknown_lines == ()
    for word in (*COLUMNS, *Item, *ConsentState, *Authority):
        assert f"`{word}`" in text


def test_the_vault_page() -> None:
    text = page("vault.md")
    for fold in Fold:
        assert f"`{fold}`" in text
    for label in ("record of", "data key of"):
        assert f"`fedtrace vault 1: {label} <token>`" in text
