"""``fedtrace plan propose``: one folder with all that others need, or none."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from click.testing import Result
from support.town import Run, Town, one_sentence


@pytest.fixture(scope="module")
def written(original: Path, run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A plan that `plan new` wrote, with its parameters."""
    folder = tmp_path_factory.mktemp("plan")
    options = ["--catalogue", original / "catalogue.json", "--out", folder]
    charter = ["--charter", original / "consortium" / "charter.json"]
    made = run("plan", "new", "pilot", *charter, *options, "--students", "3000")
    assert made.exit_code == 0, made.output
    return folder


def propose(run: Run, town: Town, folder: Path, **changed: Path) -> Result:
    options = {
        "key": town.home / "keys" / "school.pem",
        "charter": town.charter,
        "catalogue": town.catalogue,
        "initial": folder / "pilot.initial.safetensors",
        **changed,
    }
    words = [word for name, path in options.items() for word in (f"--{name}", path)]
    return run("plan", "propose", folder / "pilot.toml", *words)


def test_a_proposal_is_all_that_others_need(
    run: Run, town: Town, written: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(written, tmp_path / "plan")
    result = propose(run, town, folder)
    assert (result.exit_code, "by school-1" in result.stdout) == (0, True), result.output
    proposal = folder / "pilot-proposal"
    assert sorted(path.name for path in proposal.iterdir()) == [
        "catalogue.json",
        "explained.txt",
        "initial.safetensors",
        "label.txt",
        "plan.dsse.json",
        "plan.toml",
    ]
    page = run("plan", "explain", proposal / "plan.dsse.json").stdout
    assert (proposal / "explained.txt").read_text().strip() == page.strip()
    other = town.root / "schools" / "school-2" / "keys" / "school.pem"
    signed = run("plan", "sign", proposal / "plan.toml", "--key", other, "--charter", town.charter,
                 "--envelope", proposal / "plan.dsse.json")  # fmt: skip
    assert signed.exit_code == 0
    status = run("plan", "status", proposal / "plan.dsse.json", "--charter", town.charter)
    assert "signed by 2 members, 2 are needed: school-1, school-2" in status.stdout


def test_what_is_not_proposed_leaves_nothing_behind(
    run: Run, town: Town, written: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(written, tmp_path / "plan")
    stranger = town.home / "keys" / "log.pem"
    other = tmp_path / "other.json"
    other.write_text('{"skills": ["another"]}')
    for changed, sentence in (
        ({"catalogue": town.charter}, "not a catalogue of skills"),
        ({"catalogue": other}, "the plan names sha256:"),
        ({"initial": town.catalogue}, "the plan names sha256:"),
        ({"key": stranger}, "of nobody who signs for a member"),
        ({"key": town.catalogue}, "not a PEM private key"),
    ):
        result = propose(run, town, folder, **changed)
        assert (result.exit_code, sentence in one_sentence(result)) == (2, True), result.output
        assert not (folder / "pilot-proposal").exists()
    text = (folder / "pilot.toml").read_text()
    (folder / "pilot.toml").write_text(text.replace("delta = ", "delta = 0.5 #"))
    result = propose(run, town, folder)
    assert (result.exit_code, "was not signed" in one_sentence(result)) == (2, True)
    (folder / "pilot.toml").write_text(text)
    assert propose(run, town, folder).exit_code == 0
    again = propose(run, town, folder)
    assert (again.exit_code, "is there already" in again.stderr) == (2, True)
