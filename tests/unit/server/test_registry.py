"""Released models: whole or absent, the same twice, and a card that says what was promised."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest
from support.scripted_schools import World, build_world, refusal

from fedtrace.governance.canonical import digest
from fedtrace.governance.errors import Corrupt
from fedtrace.governance.refusals import RefusalCode
from fedtrace.server.card import ModelCard, ModelSection, PrivacySection, RunSection
from fedtrace.server.codec import checkpoint_spec, decode
from fedtrace.server.outcome import JobOutcome
from fedtrace.server.registry import ModelRegistry
from fedtrace.server.round import run_job


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> tuple[World, JobOutcome]:
    world = build_world(tmp_path_factory.mktemp("registry") / "home")

    def fault(school, order, reply):  # type: ignore[no-untyped-def]
        refuses = (school, order.round) == ("school-003", 2)
        return [refusal(world, school, order, RefusalCode.R17)] if refuses else [reply]

    with closing(world.open()) as consortium:
        outcome = run_job(
            consortium,
            world.plan_digest,
            world.transport(fault),
            world.clock,
            progress=lambda event: None,
        )
    return world, outcome


def test_the_card_says_what_was_promised_and_to_whom(
    released: tuple[World, JobOutcome],
) -> None:
    world, outcome = released
    registry = ModelRegistry(world.home / "models")
    (name,) = registry.names()
    model, card = registry.load(name)
    assert digest(model) == card.model.digest == outcome.model_digest
    assert decode(model, checkpoint_spec(8)).shape == (8,)
    privacy = card.privacy
    assert (privacy.unit, privacy.adjacency, privacy.trust_mode, privacy.delta) == (
        "student",
        "add-or-remove-one",
        "local",
        1e-5,
    )
    assert privacy.epsilon == outcome.epsilon == pytest.approx(0.4)
    assert (privacy.training_releases, privacy.evaluation_releases) == (3, 1)
    assert "student" in privacy.sentence
    assert [(s.name, s.answered, s.refused) for s in card.schools] == [
        ("school-001", 3, {}),
        ("school-002", 3, {}),
        ("school-003", 2, {"R17": 1}),
    ]
    assert card.metrics is not None
    assert outcome.evaluation is not None
    assert card.metrics.auc == outcome.evaluation.pooled.auc


def test_the_text_card_repeats_the_promise(released: tuple[World, JobOutcome]) -> None:
    world, outcome = released
    assert outcome.model_path is not None
    text = outcome.model_path.with_name("card.md").read_text("utf-8")
    _, card = ModelRegistry(world.home / "models").load(outcome.model_path.parent.name)
    for expected in (card.privacy.sentence, card.model.digest, "R17 (1)", *card.limits):
        assert expected in text


def test_publishing_again_changes_nothing_and_another_model_is_refused(
    released: tuple[World, JobOutcome], tmp_path: Path
) -> None:
    world, _ = released
    (name,) = ModelRegistry(world.home / "models").names()
    model, card = ModelRegistry(world.home / "models").load(name)
    registry = ModelRegistry(tmp_path)
    left_over = tmp_path / f".{name}.staging"
    left_over.mkdir()
    (left_over / "model.safetensors").write_bytes(b"half")
    path = registry.publish(model, card)
    assert registry.publish(model, card) == path
    assert registry.names() == (name,)
    other = b"other" + model
    described = card.model_copy(
        update={"model": card.model.model_copy(update={"digest": digest(other)})}
    )
    with pytest.raises(Corrupt, match="another model"):
        registry.publish(other, described)
    with pytest.raises(Corrupt, match="another file"):
        registry.publish(other, card)


@pytest.mark.parametrize("file", ["model.safetensors", "card.json"])
def test_a_changed_release_is_noticed(
    file: str, released: tuple[World, JobOutcome], tmp_path: Path
) -> None:
    world, _ = released
    (name,) = ModelRegistry(world.home / "models").names()
    registry = ModelRegistry(tmp_path)
    path = registry.publish(*ModelRegistry(world.home / "models").load(name)) / file
    path.write_bytes(path.read_bytes()[:-3] + b"???")
    with pytest.raises(Corrupt):
        registry.load(name)


def test_a_name_cannot_lead_out_of_the_registry(tmp_path: Path) -> None:
    with pytest.raises(Corrupt, match="no model"):
        ModelRegistry(tmp_path / "models").load("../other")


def test_the_documented_card_is_a_card() -> None:
    page = Path(__file__).parents[3].joinpath("docs", "formats", "model-card.md").read_text("utf-8")
    example = page.split("```json\n", 1)[1].split("```", 1)[0]
    ModelCard.model_validate_json(example)
    for section in (ModelCard, ModelSection, RunSection, PrivacySection):
        for field in section.model_fields:
            assert field in page
