"""The verifier's page in a real Chromium, against the corpus that the installed one is held to."""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.bundles import CONSORTIUM, Files, honest, write
from support.chromium import Page, chromium
from support.tamper_files import ENTRIES, FILES, NOTES
from support.tamper_insiders import COLLUSION, SHAPES, WITNESSES

from fedtrace.deploy.proving import export_log
from fedtrace.deploy.verifier.page import verifier_page
from fedtrace.privacy.accounting import GaussianEvent, epsilon

CORPUS = (*FILES, *NOTES, *ENTRIES, *SHAPES, *WITNESSES, *COLLUSION)
BINARY = shutil.which("chromium") or shutil.which("google-chrome")

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(
        BINARY is None, reason="Chromium is not installed (Debian: apt install chromium)"
    ),
]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """The page, open."""
    folder = tmp_path_factory.mktemp("page")
    (folder / "check.html").write_text(verifier_page(), encoding="utf-8")
    with chromium(BINARY or "", folder / "profile") as opened:
        opened.open(folder / "check.html")
        yield opened


def _checked(page: Page, files: Files) -> dict[str, Any]:
    """What the page finds in a bundle."""
    pairs = [[path, base64.b64encode(content).decode()] for path, content in files.items()]
    bundle = (
        f"new Map({json.dumps(pairs)}.map(([path, text]) => "
        "[path, Uint8Array.from(atob(text), (c) => c.charCodeAt(0))]))"
    )
    result: dict[str, Any] = page.evaluate(f"verifyBundle({bundle})")
    return result


def _found(result: dict[str, Any]) -> set[tuple[str, str]]:
    return {(line["status"], line["check"]) for line in result["lines"] if line["status"] != "PASS"}


def test_what_is_whole_passes(page: Page) -> None:
    result = _checked(page, honest())
    assert (result["exitCode"], _found(result)) == (0, set())
    assert {"log.whole", "log.witnesses", "epsilon.recomputed"} <= {
        line["check"] for line in result["lines"]
    }


def test_the_page_finds_every_tampering_by_the_check_that_the_program_names(page: Page) -> None:
    missed = {}
    for each in CORPUS:
        result = _checked(page, each.make())
        expected = ("WARN", each.check) if each.warns else ("FAIL", each.check)
        if expected not in _found(result) or result["exitCode"] != (1 if each.warns else 2):
            missed[each.name] = _found(result)
    assert not missed


def test_an_export_in_tiles_passes_and_a_changed_tile_fails(page: Page, tmp_path: Path) -> None:
    export_log(write(honest(), tmp_path / "bundle") / CONSORTIUM, tmp_path / "export")
    files = {
        str(path.relative_to(tmp_path / "export")): path.read_bytes()
        for path in (tmp_path / "export").rglob("*")
        if path.is_file()
    }
    assert _checked(page, files)["exitCode"] == 0
    tile = "tile/entries/000.p/20"
    files[tile] = files[tile].replace(b"adam", b"mada")
    assert ("FAIL", "log.root") in _found(_checked(page, files))


def test_a_person_chooses_a_folder_and_reads_the_verdict(page: Page, tmp_path: Path) -> None:
    page.choose("#files", [write(honest(), tmp_path / "bundle")])
    verdict = page.evaluate(
        "new Promise(done => { const element = document.getElementById('verdict'); const look = "
        "() => element.textContent.endsWith('.') && !element.textContent.endsWith('...') ? "
        "done(element.textContent) : setTimeout(look, 10); look(); })"
    )
    assert verdict == "Every check passes."
    assert page.evaluate("document.querySelectorAll('#checks tbody tr').length") > 10
    assert page.evaluate("document.querySelectorAll('#limits li').length") > 2


def test_the_page_asks_nobody_for_anything_and_may_not(page: Page) -> None:
    refused = page.evaluate("fetch('http://127.0.0.1:9/').then(() => false, () => true)")
    assert refused is True
    assert any("Content Security Policy" in problem for problem in page.problems)
    assert {url.partition(":")[0] for url in page.requests} == {"file"}


@pytest.mark.parametrize(("noise", "rate", "rounds"), [(2.5, 0.5, 3), (1.0, 0.05, 40), (8, 1, 9)])
def test_its_epsilon_is_an_upper_bound_and_not_far_off(
    page: Page, noise: float, rate: float, rounds: int
) -> None:
    release = json.dumps({"noise": noise, "rate": rate})
    bound = page.evaluate(f"epsilonBound(Array({rounds}).fill({release}), 1e-5)")
    exact = epsilon([GaussianEvent(noise_multiplier=noise, sampling_rate=rate, count=rounds)], 1e-5)
    assert exact <= bound <= 1.25 * exact
