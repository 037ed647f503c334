"""``fedtrace consortium activate``: a plan comes into force by the signatures of enough members."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from support.homes import CATALOGUE, INITIAL_PARAMETERS, make_homes
from support.town import Run, as_a_person_writes, one_sentence

from fedtrace.client.ingest.catalogue import Catalogue
from fedtrace.client.keys import load_keys
from fedtrace.governance.log.entries import PlanActivated
from fedtrace.governance.plan_signing import sign_plan
from fedtrace.server.consortium import find_plan, open_consortium


@dataclass(frozen=True)
class Files:
    """What an operator has: a home, two schools' envelopes of a new plan, and its two files."""

    home: Path
    envelopes: tuple[Path, Path]
    catalogue: Path
    initial: Path
    digest: str

    def arguments(self, *envelopes: Path, **changed: Path) -> list[object]:
        files = {"--catalogue": self.catalogue, "--initial": self.initial} | {
            f"--{name}": path for name, path in changed.items()
        }
        options = [part for pair in files.items() for part in pair]
        return ["consortium", "activate", *envelopes, "--home", self.home, *options]

    def activated(self) -> list[str]:
        with closing(open_consortium(self.home)) as consortium:
            entries = [logged.entry for logged in consortium.log.entries()]
        return [e.plan_digest for e in entries if isinstance(e, PlanActivated)]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    root = tmp_path_factory.mktemp("activate")
    homes = make_homes(root / "homes", now=datetime.now(UTC), rounds=(1,))
    plan = find_plan(homes.consortium, homes.plans[0]).plan.model_copy(update={"name": "second"})
    envelopes = []
    for name in ("school-1", "school-2"):
        path = root / f"{name}.dsse.json"
        path.write_bytes(sign_plan(plan, [load_keys(homes.schools[name] / "keys").signer]))
        envelopes.append(path)
    catalogue, initial = root / "catalogue.json", root / "initial.safetensors"
    catalogue.write_text(as_a_person_writes(CATALOGUE), encoding="utf-8")
    initial.write_bytes(INITIAL_PARAMETERS)
    return Files(homes.consortium, (envelopes[0], envelopes[1]), catalogue, initial, plan.digest())


def test_what_is_not_put_into_force(run: Run, files: Files) -> None:
    one, two = files.envelopes
    other = files.catalogue.with_name("other.json")
    other.write_text(as_a_person_writes(Catalogue(skills=["another"])), encoding="utf-8")
    before = files.activated()
    for code, sentence, arguments in (
        (3, "R01", files.arguments(one)),
        (3, "R01", files.arguments(one, one)),  # one school twice is one school
        (2, "not a catalogue of skills", files.arguments(one, two, catalogue=files.initial)),
        (2, "the catalogue is another one", files.arguments(one, two, catalogue=other)),
        (2, "initial parameters are others", files.arguments(one, two, initial=files.catalogue)),
        (2, f"{files.catalogue}: the envelope", files.arguments(one, files.catalogue)),
        (4, "no such file", files.arguments(one, files.home / "nothing.json")),
    ):
        result = run(*arguments)
        assert result.exit_code == code, result.output
        assert sentence in one_sentence(result)
    assert files.activated() == before


def test_signatures_that_were_given_apart_are_put_together(run: Run, files: Files) -> None:
    for _ in range(2):  # again changes nothing
        result = run(*files.arguments(*files.envelopes))
        assert result.exit_code == 0, result.output
        assert result.stdout.splitlines() == [
            f"second is active, {files.digest}",
            "signed by school-1, school-2",
        ]
        assert files.activated().count(files.digest) == 1
    told = result.stderr.split("send ")[1].split(",")[0]
    assert find_plan(files.home, "second").digest == files.digest
    assert Path("".join(told.split())).read_bytes().count(b'"sig"') == 2
