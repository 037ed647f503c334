"""report.json keeps its names; the page is self-contained, escaped and says everything twice."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from pydantic import ValidationError
from support.reports import sample_report

from fedtrace.deploy.report import CONDITIONS, Report, VerificationLine, write_report
from fedtrace.deploy.report.model import worst_status
from fedtrace.deploy.report.render import gains, render_page


class Page(HTMLParser):
    """What a test wants to know about a page."""

    VOID = frozenset({"meta", "link", "br", "path", "use", "rect", "circle"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in self.VOID:
            self.open.append(tag)
        for name, value in attrs:
            self.attributes.append((tag, name, value or ""))
            if name == "id":
                self.ids.append(value or "")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def page() -> str:
    return render_page(sample_report())


def test_report_json_has_the_names_that_others_read() -> None:
    found = json.loads(sample_report().model_dump_json())
    promised = {"data", "schools", "students", "interactions", "rounds", "model", "epsilon"}
    promised |= {"delta", "unit", "adjacency", "trust_mode", "metrics", "seconds", "log_size"}
    assert promised | {"verification"} <= found.keys()
    assert found["metrics"]["private"]["pooled"]["auc"] == 0.709
    assert {"auc", "acc", "logloss"} <= found["metrics"]["centralised"]["pooled"].keys()
    assert set(found["metrics"]["local_only"]["per_school"]) == {"school-1", "school-2", "school-3"}


def test_report_json_reads_back_as_the_same_report() -> None:
    report = sample_report(bounded=False)
    assert Report.model_validate_json(report.model_dump_json()) == report


def test_writing_again_replaces_both_files_and_leaves_nothing_else(tmp_path: Path) -> None:
    write_report(sample_report(rounds=0, conditions=(), schools=2), tmp_path)
    write_report(sample_report(rounds=0, conditions=(), schools=5), tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"report.json", "report.html"}
    assert json.loads((tmp_path / "report.json").read_text())["schools"] == 5
    assert "5 schools" in (tmp_path / "report.html").read_text()


def test_the_page_fetches_nothing(page: str) -> None:
    for tag, name, value in Page(page).attributes:
        if name in ("src", "srcset", "action") or (name.endswith("href") and value):
            assert value.startswith("#"), f"<{tag} {name}={value!r}> leaves the page"
    style = re.search(r"<style>(.*?)</style>", page, re.DOTALL)
    assert style is not None
    assert "url(" not in style[1]
    assert "@import" not in style[1]
    assert "<script" not in page


def test_the_page_is_well_formed_and_its_ids_are_unique(page: str) -> None:
    found = Page(page)
    assert found.open == []
    assert len(found.ids) == len(set(found.ids))
    for tag, name, value in found.attributes:
        if name in ("aria-labelledby", "aria-describedby"):
            assert value in found.ids, f"<{tag} {name}> points to nothing"
        for target in re.findall(r"url\(#([^)]+)\)", value):
            assert target in found.ids


def test_every_chart_has_words_and_a_table(page: str) -> None:
    drawings = re.findall(r"<svg.*?</svg>", page, re.DOTALL)
    assert len(drawings) == 8
    for drawing in drawings:
        assert re.search(r"<title[^>]*>.+</title>", drawing)
        assert re.search(r"<desc[^>]*>.+</desc>", drawing)
        assert "#0" not in drawing, "a placeholder colour was left"
    for section in re.findall(r"<section.*?</section>", page, re.DOTALL):
        if "<svg" in section:
            assert "<table>" in section


def test_the_page_says_what_a_superintendent_asks(page: str) -> None:
    report = sample_report()
    for line in report.verification_lines:
        assert line.sentence in page
    for text in CONDITIONS.values():
        assert text.title in page
    assert report.epsilon_sentence in page
    assert "fedtrace audit verify" in page
    assert "not legal advice" in page
    assert "school-3 (R17)" in page
    for word in (report.unit, report.adjacency, report.trust_mode, "1e-05"):
        assert word in page


def test_names_from_outside_are_text_and_nothing_else() -> None:
    name = '<script>alert("x")</script> $x_1$ & 学校'
    page = render_page(sample_report(first_school=name, rounds=1, conditions=("private",)))
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert "学校" in page


def test_the_page_says_what_the_evaluation_cost() -> None:
    report = sample_report(conditions=(), rounds=1)
    last = report.epsilon_by_round[-1]
    assert last is not None
    assert "The evaluation after the last round" not in render_page(report)
    report = report.model_copy(update={"epsilon": last + 0.5, "timeline": ()})
    assert f"The evaluation after the last round brought it to {last + 0.5:.3f}" in render_page(
        report
    )


def test_a_run_without_noise_says_so() -> None:
    page = render_page(sample_report(bounded=False, conditions=()))
    assert "unbounded" in page
    assert 'id="epsilon-wide-title"' not in page


def test_a_single_condition_makes_no_claim_about_joining() -> None:
    report = sample_report(conditions=("private",))
    assert gains(report) == {}
    assert "Joining" not in render_page(report.model_copy(update={"timeline": ()}))


def test_gains_compare_what_a_school_would_use_with_staying_alone() -> None:
    found = gains(sample_report())
    assert found == pytest.approx(dict.fromkeys(("school-1", "school-2", "school-3"), 0.002))
    only_private = sample_report(conditions=("private", "local_only"))
    assert gains(only_private)["school-1"] == pytest.approx(-0.022)


@pytest.mark.system
def test_a_long_run_of_many_schools_stays_a_page_to_read() -> None:
    page = render_page(sample_report(schools=40, rounds=60))
    assert len(page) < 400_000
    assert "The 30 largest of 40 schools" in page
    assert page.count("school-40") >= 3


@pytest.mark.parametrize(
    ("statuses", "worst"),
    [((), "WARN"), (("PASS",), "PASS"), (("WARN", "PASS"), "WARN"), (("PASS", "FAIL"), "FAIL")],
)
def test_the_verification_is_its_worst_line(statuses: tuple[str, ...], worst: str) -> None:
    lines = tuple(
        VerificationLine.model_validate({"status": s, "check": "x", "sentence": "x"})
        for s in statuses
    )
    assert worst_status(lines) == worst


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("epsilon", float("nan")),
        ("epsilon", -1.0),
        ("delta", 0.0),
        ("verification", "PASS"),
        ("students", -1),
        ("surprise", 1),
    ],
)
def test_a_report_that_cannot_be_true_is_not_written(field: str, value: object) -> None:
    with pytest.raises(ValidationError):
        Report.model_validate({**sample_report().model_dump(), field: value})


def test_a_round_cannot_end_before_it_starts() -> None:
    record = sample_report().timeline[0]
    with pytest.raises(ValidationError, match="round 1 ends at"):
        type(record).model_validate({**record.model_dump(), "end": record.start.replace(year=2025)})
