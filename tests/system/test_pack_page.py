"""A pack's page in a real Chromium: its policy holds, it fits a telephone, and it can be read."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import pairwise

import pytest
from support.chromium import Page, chromium
from support.packs import eventful, write_homes

from fedtrace.deploy.packs.build import build_report
from fedtrace.deploy.packs.facts import read_facts
from fedtrace.deploy.packs.pack import read_pack
from fedtrace.deploy.packs.write import write_report

BINARY = shutil.which("chromium") or shutil.which("google-chrome")

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(
        BINARY is None, reason="Chromium is not installed (Debian: apt install chromium)"
    ),
]

CONTRASTS = """
(() => {
  const rgb = (text) => text.match(/[0-9.]+/g).map(Number);
  const light = (c) => {
    const [r, g, b] = c.map((v) => (v / 255 <= 0.04045 ? v / 255 / 12.92
      : ((v / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (element) => {
    for (let each = element; each; each = each.parentElement) {
      const found = rgb(getComputedStyle(each).backgroundColor);
      if (found.length === 3 || found[3] > 0) return found.slice(0, 3);
    }
    return [255, 255, 255];
  };
  return [...document.querySelectorAll("body *")]
    .filter((each) => [...each.childNodes].some((n) => n.nodeType === 3 && n.data.trim()))
    .map((each) => {
      const [a, b] = [light(rgb(getComputedStyle(each).color).slice(0, 3)), light(behind(each))];
      return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    });
})()
"""
"""WCAG 2.2's contrast ratio of every text against what is behind it."""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """A report of everything that can happen, open."""
    folder = tmp_path_factory.mktemp("page")
    facts = read_facts(write_homes(eventful(), folder / "homes"))
    now = datetime(2026, 11, 23, tzinfo=UTC)
    write_report(build_report(read_pack("gdpr"), facts, now=now), folder / "gdpr.html")
    with chromium(BINARY or "", folder / "profile") as opened:
        opened.open(folder / "gdpr.html", ready="document.fonts.status === 'loaded'")
        yield opened


def test_the_page_asks_nobody_for_anything_and_may_not(page: Page) -> None:
    assert page.problems == []
    refused = page.evaluate("fetch('http://127.0.0.1:9/').then(() => false, () => true)")
    assert refused is True
    assert {url.partition(":")[0] for url in page.requests} == {"file"}


@pytest.mark.parametrize("width", [320, 768, 1280])
def test_nothing_is_wider_than_the_window(page: Page, width: int) -> None:
    page.call(
        "Emulation.setDeviceMetricsOverride",
        width=width,
        height=800,
        deviceScaleFactor=1,
        mobile=width < 700,
    )
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("media", ["screen", "print"])
def test_every_text_has_the_contrast_that_wcag_asks_for(
    page: Page, media: str, scheme: str
) -> None:
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    page.call("Emulation.setEmulatedMedia", media=media, features=features)
    found = page.evaluate(CONTRASTS)
    assert len(found) > 200
    assert min(found) >= 4.5


def test_headings_skip_no_level(page: Page) -> None:
    levels = page.evaluate(
        "[...document.querySelectorAll('h1,h2,h3,h4')].map((each) => Number(each.tagName[1]))"
    )
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
