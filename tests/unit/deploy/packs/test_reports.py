"""A pack's report: what counts as evidence, what does not, and what a person reads first."""

from __future__ import annotations

import hashlib
import html
import re
import shutil
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import get_args

import pytest
from support.gate import plan_with
from support.logs import key_of
from support.packs import ENVELOPE, PLAN, eventful, told, write_homes

from fedtrace.client.mirror import MIRROR_FOLDER
from fedtrace.deploy.packs.build import ENTRIES_SHOWN, EVIDENCE, build_report
from fedtrace.deploy.packs.facts import Facts, read_facts
from fedtrace.deploy.packs.model import PackReport
from fedtrace.deploy.packs.pack import Pack, all_packs, read_pack
from fedtrace.deploy.packs.render import render_page
from fedtrace.deploy.packs.words import EvidenceName, LineStatus
from fedtrace.deploy.proving import export_logs
from fedtrace.governance.plan_signing import sign_plan
from fedtrace.governance.signing import KeySigner

NOW = datetime(2026, 11, 23, 8, tzinfo=UTC)


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A job in which nothing unusual happened."""
    return write_homes(told(), tmp_path_factory.mktemp("quiet") / "homes")


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A job in which everything happened once."""
    return write_homes(eventful(), tmp_path_factory.mktemp("busy") / "homes")


@pytest.fixture(scope="module")
def busy_facts(busy: Path) -> Facts:
    return read_facts(busy)


@pytest.fixture(scope="module")
def busy_report(busy_facts: Facts) -> PackReport:
    return build_report(read_pack("ferpa"), busy_facts, now=NOW)


def found(facts: Facts, name: EvidenceName) -> tuple[LineStatus, str, int]:
    finding = EVIDENCE[name](facts)
    return finding.status, finding.sentence, len(finding.entries)


def test_every_question_has_an_answer_and_every_answer_is_asked() -> None:
    assert set(EVIDENCE) == set(get_args(EvidenceName))


@pytest.mark.parametrize(
    ("name", "entries", "words"),
    [
        ("cohorts_removed", 1, "Who was in 1 round was destroyed"),
        ("consents", 1, "about 20-49 students: given 20-49, refused 1-9"),
        ("disclosures", 9, "9 protected updates went to the aggregator of county in 3 rounds"),
        ("epsilon", 1, "come to epsilon 2.085 at delta 1e-05"),
        ("erasures", 1, "1 student record destroyed on 2026-09-01"),
        ("evaluations", 1, "1 model judged"),
        ("fields", 4, "whether the answer was right"),
        ("history", 4, "of 4 logs were hashed again"),
        ("holds", 3, "2 holds placed, 1 still in force"),
        ("imports", 3, "3 imports on 2026-09-01: 12 columns kept, 27 columns dropped"),
        ("kill_switch", 1, "used 1 time on 2026-09-01; it is on now"),
        ("legal_basis", 4, "every family can opt out"),
        ("oversight", 4, "each school for itself"),
        ("policy", 4, "1 time anew"),
        ("access_given", 2, "1 time, and a proof about a round 1 time, on 2026-09-01"),
        ("purposes", 4, "to choose exercises that fit"),
        ("refusals", 1, "1 order refused by a school on 2026-09-01: R17 1x"),
        ("rejected_updates", 1, "A05 1x"),
        ("released_models", 1, "1 model released"),
        ("retention", 4, "updates are kept P0D"),
        ("revocations", 1, "1 plan revoked"),
        ("rounds", 9, "Before each of 9 rounds"),
        ("signers", 4, "by school-1, school-2"),
        ("terms", 4, "the model goes to the members"),
        ("trust", 4, "each school adds all of the noise itself"),
        ("witnesses", 0, "3 of 3 members cosigned"),
    ],
)
def test_what_happened_is_shown(
    busy_facts: Facts, name: EvidenceName, entries: int, words: str
) -> None:
    status, sentence, count = found(busy_facts, name)
    assert (status, count) == ("shown", entries)
    assert words in sentence


@pytest.mark.parametrize(
    "name",
    ["consents", "erasures", "holds", "kill_switch", "access_given", "cohorts_removed"],
)
def test_that_nothing_happened_is_for_a_person(quiet: Path, name: EvidenceName) -> None:
    assert found(read_facts(quiet), name)[::2] == ("needs_a_person", 0)


@pytest.mark.parametrize("name", ["refusals", "rejected_updates", "revocations"])
def test_that_the_program_had_no_occasion_is_shown(quiet: Path, name: EvidenceName) -> None:
    assert found(read_facts(quiet), name)[::2] == ("shown", 0)


def test_an_entry_is_named_so_that_it_can_be_looked_up(busy: Path, busy_facts: Facts) -> None:
    (erased,) = EVIDENCE["erasures"](busy_facts).entries
    assert erased.log == "county/schools/school-1"
    line = (busy / "schools/school-1/log/entries.jsonl").read_bytes().split(b"\n")[erased.index]
    assert b'"type":"record.erased"' in line
    assert erased.digest == f"sha256:{hashlib.sha256(line).hexdigest()}"


def test_of_many_entries_the_newest_are_shown_and_all_are_counted(busy_report: PackReport) -> None:
    evidence = [each for line in busy_report.lines for each in line.evidence]
    assert all(len(each.entries) == min(each.entries_in_all, ENTRIES_SHOWN) for each in evidence)
    assert busy_report.exit_code == 0
    assert busy_report.verification == "PASS"
    assert busy_report.plans == (PLAN.digest(),)


def test_logs_that_do_not_verify_are_no_evidence(tmp_path: Path) -> None:
    root = write_homes(told(), tmp_path / "homes")
    log = root / "schools/school-1/log/entries.jsonl"
    log.write_bytes(log.read_bytes().replace(b'"columns_kept":4', b'"columns_kept":5'))
    report = build_report(read_pack("ferpa"), read_facts(root), now=NOW)
    assert (report.verification, report.exit_code) == ("FAIL", 2)
    for line in report.lines:
        assert line.status == ("not_shown" if line.evidence else "needs_a_person")
        assert not any(each.entries for each in line.evidence)
    page = render_page(report)
    assert page.index("The logs do not verify") < page.index("<main")


def test_a_line_is_as_good_as_its_worst_answer(busy_facts: Facts, quiet: Path) -> None:
    pack = read_pack("ferpa")
    line = pack.lines[0].model_copy(update={"person": None, "evidence": ("purposes",)})
    alone = pack.model_copy(update={"lines": (line,)})
    assert build_report(alone, busy_facts, now=NOW).lines[0].status == "shown"
    both = line.model_copy(update={"evidence": ("purposes", "erasures")})
    alone = pack.model_copy(update={"lines": (both,)})
    assert build_report(alone, read_facts(quiet), now=NOW).lines[0].status == "needs_a_person"


def test_a_plan_that_rests_on_consent_needs_consent(quiet: Path) -> None:
    facts = read_facts(quiet)
    (signed,) = facts.plans
    plan = replace(signed, plan=PLAN.model_copy(update={"legal_basis": "consent"}))
    assert found(replace(facts, plans=(plan,)), "consents")[0] == "not_shown"


@pytest.mark.parametrize(
    ("home", "elsewhere"),
    [
        ("schools/school-1", {"epsilon", "rejected_updates", "released_models", "revocations"}),
        ("consortium", {"consents", "erasures", "holds", "imports", "kill_switch", "policy"}),
    ],
)
def test_what_another_log_would_show_is_elsewhere(
    busy: Path, home: str, elsewhere: set[EvidenceName]
) -> None:
    facts = read_facts(busy / home)
    for name in elsewhere:
        assert found(facts, name)[::2] == ("elsewhere", 0), name
    assert found(facts, "disclosures")[0] == "shown"
    assert found(facts, "purposes")[0] == "shown"


def test_what_a_missing_school_sent_the_consortium_tells(busy: Path, tmp_path: Path) -> None:
    root = shutil.copytree(busy, tmp_path / "homes")
    shutil.rmtree(root / "schools/school-1")
    facts = read_facts(root)
    assert facts.verdict.exit_code == 1  # a member's log is missing
    assert found(facts, "disclosures")[::2] == ("shown", 9)
    assert found(facts, "refusals")[::2] == ("shown", 1)
    assert found(facts, "history")[0] == "needs_a_person"
    assert build_report(read_pack("ferpa"), facts, now=NOW).exit_code == 1


def test_a_school_answers_for_itself_alone(busy: Path, tmp_path: Path) -> None:
    home = shutil.copytree(busy / "schools/school-2", tmp_path / "school-2")
    shutil.copytree(busy / "consortium/log", home / MIRROR_FOLDER)
    facts = read_facts(home)
    assert (facts.is_of_one_school, facts.verdict.exit_code) == (True, 0)
    assert found(facts, "disclosures")[::2] == ("shown", 3)
    assert found(facts, "refusals")[::2] == ("shown", 0)
    assert found(facts, "epsilon")[0] == "shown"
    assert found(facts, "purposes")[::2] == ("shown", 2)  # accepted here, activated there


def test_a_bundle_brings_its_plan(busy: Path, tmp_path: Path) -> None:
    export_logs(busy, tmp_path / "bundle")
    facts = read_facts(tmp_path / "bundle")
    assert facts.verdict.exit_code == 0
    assert found(facts, "purposes")[0] == "shown"


def test_a_log_without_its_plan_needs_it_by_name(busy: Path, tmp_path: Path) -> None:
    export_logs(busy / "consortium", tmp_path / "bundle")
    shutil.rmtree(tmp_path / "bundle" / "plans")
    facts = read_facts(tmp_path / "bundle")
    assert facts.verdict.exit_code == 1
    status, sentence, _ = found(facts, "purposes")
    assert (status, PLAN.digest() in sentence) == ("elsewhere", True)
    (tmp_path / "plan.dsse.json").write_bytes(ENVELOPE)
    named = read_facts(tmp_path / "bundle", [tmp_path / "plan.dsse.json"])
    assert found(named, "purposes")[0] == "shown"


@pytest.mark.parametrize(
    ("plan", "words"),
    [
        (None, "there is no plan at"),
        (b"{}", "is not signed by 2 members"),
        (
            sign_plan(PLAN, [KeySigner(key_of("school-1")), KeySigner(key_of("stranger"))]),
            "is not signed by 2 members",
        ),
        (
            sign_plan(
                plan_with({"name": "another"}),
                [KeySigner(key_of("school-1")), KeySigner(key_of("school-2"))],
            ),
            "which no log here knows",
        ),
    ],
    ids=["missing", "no envelope", "a stranger's", "unknown"],
)
def test_a_plan_that_no_log_proves_is_no_evidence(
    quiet: Path, tmp_path: Path, plan: bytes | None, words: str
) -> None:
    file = tmp_path / "plan.dsse.json"
    if plan is not None:
        file.write_bytes(plan)
    with pytest.raises(ValueError, match=words):
        read_facts(quiet, [file])


def test_the_json_reads_back_as_the_same_report(busy_report: PackReport) -> None:
    assert PackReport.model_validate_json(busy_report.model_dump_json()) == busy_report


class Page(HTMLParser):
    """Ids, references and addresses of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.labels: list[str] = []
        self.links: list[tuple[str, str, str]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name == "id":
                self.ids.append(value or "")
            elif name == "aria-labelledby":
                self.labels.append(value or "")
            elif name in ("src", "href", "action", "srcset"):
                self.links.append((tag, name, value or ""))


@pytest.mark.parametrize("pack", all_packs(), ids=lambda pack: pack.name)
def test_every_page_is_self_contained_and_says_it_all(pack: Pack, busy_facts: Facts) -> None:
    report = build_report(pack, busy_facts, now=NOW)
    text = render_page(report)
    page = Page(text)
    assert "default-src 'none'; style-src 'unsafe-inline'" in text
    assert "<script" not in text
    assert not re.search(r"url\(|@import", text)
    assert len(page.ids) == len(set(page.ids))
    assert set(page.labels) <= set(page.ids)
    sources = {source.url for source in report.sources}
    for tag, name, value in page.links:
        assert value.startswith("#") or ((tag, name) == ("a", "href") and value in sources)
    plain = html.unescape(text)
    for line in report.lines:
        assert line.asks in plain
        assert line.cites in plain
        assert line.person is None or line.person in plain
    assert "PASS: The logs that this report draws from verify" in text
    assert "not legal advice" in plain
    assert len(re.findall(r"<small>\d+ of \d+ answers? shown</small>", text)) == sum(
        bool(line.evidence) for line in report.lines
    )


def test_words_from_outside_are_text_and_nothing_else(busy_report: PackReport) -> None:
    report = busy_report.model_copy(update={"consortium": "<script>x</script>"})
    assert "<script" not in render_page(report)
