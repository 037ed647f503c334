"""``make bench``: the file keeps its shape, and one benchmark does not lose another's numbers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from bench.__main__ import main, names, save
from support.measurement import Measurement
from support.tree import ROOT


def test_every_benchmark_has_a_run() -> None:
    assert names()
    for name in names():
        assert (
            "def run() -> list[Measurement]:"
            in (ROOT / "tests" / "bench" / f"bench_{name}.py").read_text()
        )


def test_saved_numbers_stay_until_measured_again(tmp_path: Path) -> None:
    path = tmp_path / "build" / "bench.json"
    first = Measurement(name="a", value=1.0, unit="s", spread=0.1)
    second = Measurement(name="b", value=2.0, unit="s", spread=0.1, baseline="a", ratio=0.5)
    save([first], path)
    save([second], path)
    assert json.loads(path.read_text()) == {
        "a": {"value": 1.0, "unit": "s", "spread": 0.1, "baseline": None, "ratio": None},
        "b": {"value": 2.0, "unit": "s", "spread": 0.1, "baseline": "a", "ratio": 0.5},
    }


def test_an_unknown_benchmark_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["nothing"]) == 2
    assert "no benchmark nothing; there are:" in capsys.readouterr().out
