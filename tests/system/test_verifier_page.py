"""The verifier's page in a real Chromium, against the corpus that the installed one is held to."""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.chromium import Page, chromium
from support.logs import charter_of, key_of, tell_story
from support.spoiling import SMALL_ORDER, copies_spoilt
from support.tampering import TAMPERINGS
from support.tampering.charters import SCHOOLS

from fedtrace.deploy.audit import verify_path
from fedtrace.deploy.proving import export_logs
from fedtrace.deploy.verifier.page import verifier_page
from fedtrace.governance.charter import CHARTER_TYPE, Charter
from fedtrace.governance.charter_history import CharterHistory
from fedtrace.governance.errors import Rejected
from fedtrace.governance.signing import KeySigner, SignatureError, sign_envelope
from fedtrace.privacy.accounting import GaussianEvent, epsilon

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


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three schools and a consortium, none of whom cheated."""
    return tell_story().write(tmp_path_factory.mktemp("whole"))


def _checked(page: Page, folder: Path) -> dict[str, Any]:
    """What the page finds in a folder, handed over as the browser hands it to the page."""
    pairs = [
        [str(path.relative_to(folder)), base64.b64encode(path.read_bytes()).decode()]
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    ]
    bundle = (
        f"new Map({json.dumps(pairs)}.map(([path, text]) => "
        "[path, Uint8Array.from(atob(text), (c) => c.charCodeAt(0))]))"
    )
    result: dict[str, Any] = page.evaluate(f"verifyBundle({bundle})")
    return result


def _named(result: dict[str, Any], status: str) -> set[str]:
    return {line["check"] for line in result["lines"] if line["status"] == status} - {"crosscheck"}


def test_what_is_whole_passes_every_check_that_the_program_has(page: Page, whole: Path) -> None:
    result = _checked(page, whole)
    assert (result["exitCode"], _named(result, "FAIL"), _named(result, "WARN")) == (0, set(), set())
    assert _named(result, "PASS") == {line.check for line in verify_path(whole).lines}


def test_a_log_that_goes_on_under_a_next_charter(page: Page, tmp_path: Path) -> None:
    story = tell_story()
    story.change_charter(threshold=3)
    folder = story.write(tmp_path / "all")
    for place in (folder, folder / "consortium", folder / "schools" / "school-2"):
        result = _checked(page, place)
        assert (result["exitCode"], _named(result, "FAIL")) == (0, set())
        assert _named(result, "PASS") == {line.check for line in verify_path(place).lines}


def test_the_page_finds_every_tampering_by_the_checks_that_the_program_names(
    page: Page, whole: Path, tmp_path: Path
) -> None:
    other = {}
    for number, each in enumerate(TAMPERINGS):
        folder = shutil.copytree(whole, tmp_path / str(number))
        each.act(folder)
        result = _checked(page, folder)
        found = (_named(result, "FAIL"), _named(result, "WARN"))
        if found != (set(each.fails), set(each.warns)):
            other[each.name] = (each.fails, each.warns, found)
    assert other == {}


def test_the_page_and_the_program_take_the_same_charters(page: Page) -> None:
    first = charter_of(SCHOOLS, threshold=2)
    changes = {"version": 2, "previous": first.digest(), "witness_quorum": 3}
    keys = [KeySigner(key_of(school)) for school in SCHOOLS]
    envelope = sign_envelope(first.model_copy(update=changes).to_bytes(), CHARTER_TYPE, keys)
    founding, history = first.to_bytes(), CharterHistory(versions=(first,))
    for whole, take, asked, spoilt in (
        (founding, Charter.from_bytes, "parseCharter(bytes)", 400),
        (envelope, history.extended, "nextVersion([await parseCharter(first)], bytes)", 200),
    ):
        key = first.members[0].public_key.encode()
        anybodys = [whole.replace(key, base64.b64encode(each)) for each in SMALL_ORDER]
        tried = [whole, *anybodys, *copies_spoilt(whole, spoilt)]
        texts = json.dumps([_base64(each) for each in [founding, *tried]])
        said = page.evaluate(
            f"((all) => Promise.all(all.slice(1).map(async (bytes) => {{ const first = all[0]; "
            f"try {{ await {asked}; return true; }} catch {{ return false; }} }})))"
            f"({texts}.map((text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0))))"
        )
        ours = [_takes(take, each) for each in tried]
        pairs = zip(said, ours, strict=True)
        assert [tried[at] for at, (page_s, our) in enumerate(pairs) if page_s != our] == []
        assert said[0]
        assert said.count(False) > spoilt // 2


def _takes(take: Callable[[bytes], object], content: bytes) -> bool:
    try:
        take(content)
    except (Rejected, SignatureError):
        return False
    return True


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()


def test_an_envelope_as_large_as_they_get_is_read(page: Page) -> None:
    content = _base64(bytes(1_000_000))
    assert page.evaluate(f"base64('{content}', 'input').length") == 1_000_000


def test_an_export_in_tiles_passes_and_a_changed_tile_fails(
    page: Page, whole: Path, tmp_path: Path
) -> None:
    export_logs(whole, tmp_path / "export")
    assert _checked(page, tmp_path / "export")["exitCode"] == 0
    tile = tmp_path / "export" / "consortium" / "log" / "tile" / "entries" / "000.p" / "20"
    tile.write_bytes(tile.read_bytes().replace(b"adam", b"mada"))
    assert _named(_checked(page, tmp_path / "export"), "FAIL") == {"log.root"}


def test_a_person_chooses_a_folder_and_reads_the_verdict(page: Page, whole: Path) -> None:
    page.choose("#files", [whole])
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
