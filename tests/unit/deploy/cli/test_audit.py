"""``fedtrace audit``: lines, JSON and exit codes."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from support.town import Run, Town

from fedtrace.deploy.attacks.finding import AttackReport, AttackSettings, Finding, Status
from fedtrace.deploy.cli.output import print_checks
from fedtrace.governance.canonical import digest
from fedtrace.server.card import ModelCard
from fedtrace.server.registry import ModelRegistry


def test_a_whole_town_passes(run: Run, town: Town) -> None:
    result = run("audit", "verify", town.root)
    assert result.exit_code == 0, result.output
    assert all(line.startswith("PASS  ") for line in result.stdout.splitlines())


def test_members_that_are_not_here_are_a_warning(run: Run, town: Town) -> None:
    (town.root / "schools" / "school-3").rename(town.root / "elsewhere")
    result = run("audit", "verify", town.root)
    assert result.exit_code == 1
    assert "WARN  The logs of 1 of 3 members are not here" in result.stdout


def test_a_log_cut_short_fails_and_says_so_as_json(run: Run, town: Town) -> None:
    entries = town.home / "log" / "entries.jsonl"
    entries.write_bytes(b"".join(entries.read_bytes().splitlines(keepends=True)[:-1]))
    result = run("audit", "verify", town.home, "--json")
    found = json.loads(result.stdout)
    assert (result.exit_code, found["exit_code"]) == (2, 2)
    assert all(set(line) == {"status", "check", "sentence"} for line in found["lines"])
    assert any("has been cut short: 1 of 2" in line["sentence"] for line in found["lines"])


@pytest.mark.parametrize("path", ["nowhere", "plan.toml", "schools/school-1/keys"])
def test_a_path_without_a_log(run: Run, town: Town, path: str) -> None:
    result = run("audit", "verify", town.root / path)
    assert result.exit_code == 2
    assert result.stdout.startswith("FAIL  ")
    assert len(result.stdout.splitlines()) == 1


def test_a_terminal_gets_lines_that_fit(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "40")
    print_checks([("FAIL", "word " * 20), ("PASS", "short")])
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 40
    assert [line[:6] for line in lines] == ["FAIL  ", "      ", "      ", "PASS  "]


def test_an_attack_says_what_was_tried_and_found(run: Run) -> None:
    result = run("audit", "attack", "noise", "--short", "--seed", 0)
    assert result.exit_code == 0, result.output
    tried, bound, *findings = result.stdout.splitlines()
    assert tried.startswith("tried: ")
    assert bound.startswith("bound: ")
    assert all(line.startswith("PASS  ") for line in findings)
    as_json = json.loads(run("audit", "attack", "noise", "--short", "--seed", 0, "--json").stdout)
    assert as_json["exit_code"] == 0
    assert len(as_json["findings"]) == len(findings)
    assert as_json["numbers"]["local_p_scale"] > 0.001


@pytest.mark.parametrize(("status", "code"), [("PASS", 0), ("WARN", 1), ("FAIL", 2)])
def test_what_an_attack_found_is_the_exit_code(
    run: Run, monkeypatch: pytest.MonkeyPatch, status: Status, code: int
) -> None:
    finding = Finding(status=status, check="claim", sentence="a sentence.")
    report = AttackReport(attack="lira", tried="t.", bound="b.", findings=(finding,), numbers={})
    monkeypatch.setattr("fedtrace.deploy.attacks.attacks.carry_out", lambda *_: report)
    result = run("audit", "attack", "lira", "--epsilon", 1)
    assert result.exit_code == code
    assert result.stdout.splitlines() == ["tried: t.", "bound: b.", f"{status}  a sentence."]


def test_what_an_attack_found_goes_into_the_card_of_the_model(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = ModelRegistry(tmp_path / "models").publish(b"parameters", documented_card())
    before = (folder / "card.json").read_bytes()
    assert "Nothing yet" in (folder / "card.md").read_text("utf-8")
    seen = []

    def carry_out(attack: str, settings: AttackSettings) -> AttackReport:
        seen.append(settings.epsilon)
        sentence = f"sentence {len(seen)} of {attack}."
        finding = Finding(status="PASS", check="claim", sentence=sentence)
        return AttackReport(attack=attack, tried="t.", bound="b.", findings=(finding,), numbers={})

    monkeypatch.setattr("fedtrace.deploy.attacks.attacks.carry_out", carry_out)
    for attack in ("lira", "noise", "lira"):
        assert run("audit", "attack", attack, "--model", folder).exit_code == 0
    assert seen == [0.4, 0.4, 0.4]
    reports = json.loads((folder / "attacks.json").read_bytes())
    assert {name: each["findings"][0]["sentence"] for name, each in reports.items()} == {
        "lira": "sentence 3 of lira.",
        "noise": "sentence 2 of noise.",
    }
    text = (folder / "card.md").read_text("utf-8")
    assert "- lira, claim at epsilon 0.4: PASS, sentence 3 of lira." in text
    assert "sentence 1" not in text
    assert (folder / "card.json").read_bytes() == before


def test_an_attack_on_a_card_that_claims_nothing(run: Run, tmp_path: Path) -> None:
    card = documented_card()
    unbounded = card.model_copy(
        update={"privacy": card.privacy.model_copy(update={"epsilon": None})}
    )
    folder = ModelRegistry(tmp_path / "models").publish(b"parameters", unbounded)
    assert "nothing bounds" in run("audit", "attack", "noise", "--model", folder).stderr
    both = run("audit", "attack", "noise", "--model", folder, "--epsilon", 1)
    assert both.exit_code == 2
    assert run("audit", "attack", "noise", "--model", tmp_path).exit_code == 4


def documented_card() -> ModelCard:
    """The card of the documentation, for a model of one word."""
    page = Path(__file__).parents[4] / "docs" / "formats" / "model-card.md"
    example = page.read_text("utf-8").split("```json\n", 1)[1].split("```", 1)[0]
    card = ModelCard.model_validate_json(example)
    return card.model_copy(
        update={"model": card.model.model_copy(update={"digest": digest(b"parameters")})}
    )


def test_an_attack_that_does_not_exist(run: Run) -> None:
    assert run("audit", "attack", "other").exit_code == 2
