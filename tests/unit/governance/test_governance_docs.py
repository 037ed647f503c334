"""The documents name every code, every clause and every key."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydantic import BaseModel

from fedtrace.governance.charter import Charter
from fedtrace.governance.document import Document
from fedtrace.governance.manifest import Manifest, RefusalNotice
from fedtrace.governance.orders import RoundOrder
from fedtrace.governance.plan import Plan
from fedtrace.governance.policy import SchoolPolicy
from fedtrace.governance.refusals import REFUSALS, RefusalCode, Refused

ROOT = Path(__file__).resolve().parents[3]
CODES = (ROOT / "docs" / "refusal-codes.md").read_text(encoding="utf-8")


def section(code: RefusalCode) -> str:
    """The text under one code's heading, on one line."""
    after = CODES.split(f"\n## {code}\n", maxsplit=1)[1]
    return " ".join(after.split("\n## ", maxsplit=1)[0].split())


def paths(model: type[BaseModel], prefix: str = "") -> set[str]:
    """``privacy.delta`` for every key of a document that is no table of its own."""
    found = set()
    for name, field in model.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            found |= paths(inner, f"{prefix}{name}.")
        else:
            found.add(f"{prefix}{name}")
    return found


def test_every_code_has_a_refusal() -> None:
    assert set(REFUSALS) == set(RefusalCode)
    assert [str(code) for code in RefusalCode] == [f"R{number:02d}" for number in range(1, 23)]


@pytest.mark.parametrize("code", RefusalCode)
def test_the_docs_say_what_the_tools_say(code: RefusalCode) -> None:
    text = section(code)
    assert f"**{REFUSALS[code].sentence}**" in text
    assert f"What to do: {REFUSALS[code].what_to_do}" in text
    assert f"`{REFUSALS[code].clause}`" in text


def test_every_clause_that_a_check_names_is_documented_under_its_code() -> None:
    source = (ROOT / "governance" / "checks.py").read_text(encoding="utf-8")
    source += (ROOT / "governance" / "decision.py").read_text(encoding="utf-8")
    raised = re.findall(r'RefusalCode\.(R\d\d), "([a-z_.]+)"', source)
    assert len(raised) > 30
    for code, clause in raised:
        assert f"`{clause}`" in section(RefusalCode(code)), (code, clause)


@pytest.mark.parametrize("code", RefusalCode)
def test_a_refusal_fits_its_notice_and_says_its_sentence(code: RefusalCode) -> None:
    refused = Refused(code)
    notice = RefusalNotice(
        school="school-1",
        plan_digest=None,
        run_id=None,
        round=None,
        code=code,
        clause=refused.clause,
    )
    assert RefusalNotice.from_bytes(notice.to_bytes()) == notice
    assert str(refused) == f"{code} ({refused.clause}): {REFUSALS[code].sentence}"


@pytest.mark.parametrize(
    ("document", "page"),
    [
        (Plan, "plan.md"),
        (Charter, "charter.md"),
        (SchoolPolicy, "school-policy.md"),
        (RoundOrder, "round-order.md"),
        (Manifest, "round-order.md"),
        (RefusalNotice, "round-order.md"),
    ],
)
def test_every_key_is_in_the_docs(document: type[Document], page: str) -> None:
    text = (ROOT / "docs" / "formats" / page).read_text(encoding="utf-8")
    shown = {path for path in paths(document) if f"`{path}`" in text or f'"{path}"' in text}
    told_once = {"privacy.clipping_norm", "privacy.noise_multiplier", "privacy.sampling_rate"}
    left = paths(document) - shown - (told_once if document is RoundOrder else set())
    assert not left
    assert document.payload_type in text or document is Charter
